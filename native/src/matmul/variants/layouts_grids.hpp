// The layouts whose codes name points of grids: eight weights (IQ1, IQ2) or four (IQ3) at once.
//
// Lanes are rows here too, so each lane looks up its own point, and two vectors hold the two halves of
// the points. Signs are applied to bytes. Levels of IQ1 are shifted by ±1/8: codes are 8 · level ± 1, scales an
// eighth.
#pragma once
#include "matmul/variants/layouts.hpp"
#include "grids.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

[[maybe_unused]] inline Ints read_words(const std::uint8_t* words, int slice) {
    return load<Ints>(words + 4 * lanes * slice);
}

[[maybe_unused]] inline Ints read_shorts(const std::uint8_t* shorts, int slice) {
    return shorts_to_ints(shorts + 2 * lanes * slice);
}

// Looks up grid points of eight bytes: the first four bytes of each lane's point, and the last four.
[[maybe_unused]] inline void grid_lookup(const std::uint64_t* grid, Ints index, Bytes* first, Bytes* last) {
#if defined(ZEROPOINT_AVX512)
    const __m256i half[2] = {_mm512_maskz_extracti32x8_epi32(0xff, (__m512i)index, 0),
                             _mm512_maskz_extracti32x8_epi32(0xff, (__m512i)index, 1)};
    const __m512i none{};
    const __m512i a = _mm512_mask_i32gather_epi64(none, 0xff, half[0], grid, 8);
    const __m512i b = _mm512_mask_i32gather_epi64(none, 0xff, half[1], grid, 8);
    const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    *first = (Bytes)_mm512_permutex2var_epi32(a, even, b);
    *last = (Bytes)_mm512_permutex2var_epi32(a, (__m512i)((Ints)even + 1), b);
#elif defined(__AVX2__)
    // Rows 0 1 4 5 in one register, 2 3 6 7 in the other: a shuffle separates the halves. Loads, because
    // gathers are slow on most processors that have no AVX-512.
    alignas(32) std::uint32_t at[lanes];
    store(at, index);
    const auto two = [&](int row) {
        const __m128i low = _mm_loadl_epi64((const __m128i*)(grid + at[row]));
        return _mm_loadh_pi(_mm_castsi128_ps(low), (const __m64*)(grid + at[row + 1]));
    };
    const __m256 a = _mm256_set_m128(two(4), two(0)), b = _mm256_set_m128(two(6), two(2));
    *first = (Bytes)_mm256_shuffle_ps(a, b, 0x88);
    *last = (Bytes)_mm256_shuffle_ps(a, b, 0xdd);
#else
    Words low, high;
    for (int i = 0; i < lanes; ++i) {
        low[i] = std::uint32_t(grid[index[i]]);
        high[i] = std::uint32_t(grid[index[i]] >> 32);
    }
    *first = (Bytes)low;
    *last = (Bytes)high;
#endif
}

// Looks up grid points of four bytes.
[[maybe_unused]] inline Bytes grid_lookup(const std::uint32_t* grid, Ints index) {
#if defined(ZEROPOINT_AVX512)
    return (Bytes)_mm512_mask_i32gather_epi32(__m512i{}, 0xffff, (__m512i)index, grid, 4);
#else
    alignas(32) std::uint32_t at[lanes];
    store(at, index);
    Words points;
    for (int i = 0; i < lanes; ++i) points[i] = grid[at[i]];
    return (Bytes)points;
#endif
}

// Copies the lowest byte of each lane to all four bytes of the lane.
[[maybe_unused]] inline Bytes spread(Ints value) {
#if defined(ZEROPOINT_AVX512)
    const __m512i from = _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0);
    return (Bytes)_mm512_maskz_shuffle_epi8(~0ull, (__m512i)value, from);
#elif defined(__AVX2__)
    const __m256i from =
        _mm256_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c, 0, 0x04040404, 0x08080808, 0x0c0c0c0c);
    return (Bytes)_mm256_shuffle_epi8((__m256i)value, from);
#else
    const Ints two = value | value << 8;
    return (Bytes)(two | two << 16);
#endif
}

// ± magnitude + bias per byte; the sign is minus if the byte's bit in `bits` is set.
template <int bias>
[[maybe_unused]] inline Bytes with_signs(Bytes magnitude, Bytes signs, std::uint32_t bits) {
    const Bytes asked = (Bytes)splat(bits);
#if defined(ZEROPOINT_AVX512)
    const __mmask64 minus = _mm512_test_epi8_mask((__m512i)signs, (__m512i)asked);
    const __m512i zero = (__m512i)splat_bytes(bias);
    return (Bytes)_mm512_mask_sub_epi8((__m512i)(magnitude + splat_bytes(bias)), minus, zero,
                                       (__m512i)magnitude);
#else
    const Bytes minus = (Bytes)((signs & asked) == asked);  // 255 or 0
    return (magnitude ^ minus) + (splat_bytes(bias) - minus);
#endif
}

// Signs of eight weights, in the low byte of each lane: first for bytes 0 to 3, then for bytes 4 to 7.
template <int bias>
[[maybe_unused]] inline void apply_signs(Ints signs, Bytes* codes) {
    const Bytes spread_signs = spread(signs);
    codes[0] = with_signs<bias>(codes[0], spread_signs, 0x08040201u);
    codes[1] = with_signs<bias>(codes[1], spread_signs, 0x80402010u);
}

// Seven signs, and an eighth that makes their number even.
[[maybe_unused]] inline Ints even_signs_of(Ints bits7) {
    Ints parity = bits7 ^ bits7 >> 4;
    parity ^= parity >> 2;
    parity ^= parity >> 1;
    return bits7 | (parity & 1) << 7;
}

// `Codes` must have read<bias>(block, unit, slice, codes).
template <typename Codes, int code_bits, int zero>
struct Points : Codes {
    static constexpr int bits = code_bits, zero_point = zero;
    static void read_codes(const std::uint8_t* block, int unit, int slice, Bytes* codes) {
        Codes::template read<zero>(block, unit, slice, codes);
    }
    static void read_signed(const std::uint8_t* block, int unit, int slice, Bytes* codes) {
        Codes::template read<0>(block, unit, slice, codes);
    }
};

// scale = d · (0.5 + s) · factor
[[maybe_unused]] inline Floats half_scale(const std::uint8_t* block, int slice, Ints s, float factor) {
    return read_halves(block, slice) * (splat(0.5f) + to_floats(s)) * splat(factor);
}

// Units of 128 bytes: 4 planes of codes, then words of four times seven signs and a scale.
struct IQ2_XXSCodes : Shape<Layout::iq2_xxs> {
    template <int bias>
    static void read(const std::uint8_t* block, int unit, int slice, Bytes* codes) {
        const std::uint8_t* from = block + 32 + 128 * unit;
        const Ints words = read_words(from + 64, slice);
        for (int l = 0; l < 4; ++l) {
            grid_lookup(grid_iq2_xxs, read_bytes(from + 16 * l, slice), codes + 2 * l, codes + 2 * l + 1);
            apply_signs<bias>(even_signs_of(words >> 7 * l & 127), codes + 2 * l);
        }
    }
    static void read_scales(const std::uint8_t* block, int unit, int slice, Floats* scale, Floats*) {
        const Words words = (Words)read_words(block + 32 + 128 * unit + 64, slice);
        scale[0] = half_scale(block, slice, (Ints)(words >> 28), 0.25f);
    }
};
using IQ2_XXS = Points<IQ2_XXSCodes, 7, 64>;

// Units of 144 bytes: 4 planes of 9 bits of code and 7 of signs, then bytes of two scales.
struct IQ2_XSCodes : Shape<Layout::iq2_xs> {
    static constexpr int groups = 2;
    template <int bias>
    static void read(const std::uint8_t* block, int unit, int slice, Bytes* codes) {
        for (int l = 0; l < 4; ++l) {
            const Ints both = read_shorts(block + 32 + 144 * unit + 32 * l, slice);
            grid_lookup(grid_iq2_xs, both & 511, codes + 2 * l, codes + 2 * l + 1);
            apply_signs<bias>(even_signs_of(both >> 9), codes + 2 * l);
        }
    }
    static void read_scales(const std::uint8_t* block, int unit, int slice, Floats* scale, Floats*) {
        const Ints both = read_bytes(block + 32 + 144 * unit + 128, slice);
        scale[0] = half_scale(block, slice, both & 15, 0.25f);
        scale[1] = half_scale(block, slice, both >> 4, 0.25f);
    }
};
using IQ2_XS = Points<IQ2_XSCodes, 7, 64>;

// Units of 160 bytes: 4 planes of codes, 4 of signs, then bytes of high 2 bits, and of two scales.
struct IQ2_SCodes : Shape<Layout::iq2_s> {
    static constexpr int groups = 2;
    template <int bias>
    static void read(const std::uint8_t* block, int unit, int slice, Bytes* codes) {
        const std::uint8_t* from = block + 32 + 160 * unit;
        const Ints high = read_bytes(from + 128, slice);
        for (int l = 0; l < 4; ++l) {
            const Ints index = read_bytes(from + 16 * l, slice) | (high >> 2 * l & 3) << 8;
            grid_lookup(grid_iq2_s, index, codes + 2 * l, codes + 2 * l + 1);
            apply_signs<bias>(read_bytes(from + 64 + 16 * l, slice), codes + 2 * l);
        }
    }
    static void read_scales(const std::uint8_t* block, int unit, int slice, Floats* scale, Floats*) {
        const Ints both = read_bytes(block + 32 + 160 * unit + 144, slice);
        scale[0] = half_scale(block, slice, both & 15, 0.25f);
        scale[1] = half_scale(block, slice, both >> 4, 0.25f);
    }
};
using IQ2_S = Points<IQ2_SCodes, 7, 64>;

// Units of 192 bytes: 8 planes of codes, then words of four times seven signs and a scale.
struct IQ3_XXSCodes : Shape<Layout::iq3_xxs> {
    template <int bias>
    static void read(const std::uint8_t* block, int unit, int slice, Bytes* codes) {
        const std::uint8_t* from = block + 32 + 192 * unit;
        const Ints words = read_words(from + 128, slice);
        for (int l = 0; l < 4; ++l) {
            for (int t = 2 * l; t < 2 * l + 2; ++t)
                codes[t] = grid_lookup(grid_iq3_xxs, read_bytes(from + 16 * t, slice));
            apply_signs<bias>(even_signs_of(words >> 7 * l & 127), codes + 2 * l);
        }
    }
    static void read_scales(const std::uint8_t* block, int unit, int slice, Floats* scale, Floats*) {
        const Words words = (Words)read_words(block + 32 + 192 * unit + 128, slice);
        scale[0] = half_scale(block, slice, (Ints)(words >> 28), 0.5f);
    }
};
using IQ3_XXS = Points<IQ3_XXSCodes, 7, 64>;

// Header: d, bytes of two units' scales (4 · 16). Units of 208 bytes: 8 planes of codes, one of their
// ninth bits, 4 of signs.
struct IQ3_SCodes : Shape<Layout::iq3_s> {
    template <int bias>
    static void read(const std::uint8_t* block, int unit, int slice, Bytes* codes) {
        const std::uint8_t* from = block + 96 + 208 * unit;
        const Ints ninth = read_bytes(from + 128, slice);
        for (int l = 0; l < 4; ++l) {
            for (int t = 2 * l; t < 2 * l + 2; ++t)
                codes[t] = grid_lookup(grid_iq3_s, read_bytes(from + 16 * t, slice) | (ninth >> t & 1) << 8);
            apply_signs<bias>(read_bytes(from + 144 + 16 * l, slice), codes + 2 * l);
        }
    }
    static void read_scales(const std::uint8_t* block, int unit, int slice, Floats* scale, Floats*) {
        const Ints s = read_bytes(block + 32 + 16 * (unit / 2), slice) >> 4 * (unit % 2) & 15;
        scale[0] = read_halves(block, slice) * to_floats(1 + 2 * s);
    }
};
using IQ3_S = Points<IQ3_SCodes, 5, 16>;

// Levels −1, 0, 1 of bytes to 8 · level + 1 + bias, or − 1 where `minus` (a lane's bit 0) is set.
template <int bias>
[[maybe_unused]] inline void shift_levels(Ints minus, Bytes* codes) {
    const Bytes shift = splat_bytes(bias + 1) - (Bytes)spread((minus & 1) << 1);
    for (int i = 0; i < 2; ++i) codes[i] = (Bytes)((Words)codes[i] << 3 & splat(0xf8f8f8f8u)) + shift;
}

// Units of 96 bytes: 4 planes of codes, 16-bit words of their high bits, the scale and the shift's sign.
struct IQ1_SCodes : Shape<Layout::iq1_s> {
    template <int bias>
    static void read(const std::uint8_t* block, int unit, int slice, Bytes* codes) {
        const std::uint8_t* from = block + 32 + 96 * unit;
        const Ints words = read_shorts(from + 64, slice);
        for (int l = 0; l < 4; ++l) {
            const Ints index = read_bytes(from + 16 * l, slice) | (words >> 3 * l & 7) << 8;
            grid_lookup(grid_iq1_s, index, codes + 2 * l, codes + 2 * l + 1);
            shift_levels<bias>(words >> 15, codes + 2 * l);
        }
    }
    static void read_scales(const std::uint8_t* block, int unit, int slice, Floats* scale, Floats*) {
        const Ints s = read_shorts(block + 32 + 96 * unit + 64, slice) >> 12 & 7;
        scale[0] = read_halves(block, slice) * to_floats(1 + 2 * s) * splat(0.125f);
    }
};
using IQ1_S = Points<IQ1_SCodes, 5, 16>;

// Header: 4 planes of 16-bit words: four 3-bit scales and a quarter of d each. Units of 96 bytes: 4 planes
// of codes, 2 of bytes: for two codes three high bits and the shift's sign.
struct IQ1_MCodes : Shape<Layout::iq1_m> {
    static constexpr int groups = 2;
    template <int bias>
    static void read(const std::uint8_t* block, int unit, int slice, Bytes* codes) {
        const std::uint8_t* from = block + 128 + 96 * unit;
        for (int l = 0; l < 4; ++l) {
            const Ints high = read_bytes(from + 64 + 16 * (l / 2), slice) >> 4 * (l % 2);
            const Ints index = read_bytes(from + 16 * l, slice) | (high & 7) << 8;
            grid_lookup(grid_iq1_s, index, codes + 2 * l, codes + 2 * l + 1);
            shift_levels<bias>(high >> 3, codes + 2 * l);
        }
    }
    static void read_scales(const std::uint8_t* block, int unit, int slice, Floats* scale, Floats*) {
        Ints half{};
        for (int i = 0; i < 4; ++i) half |= read_shorts(block + 32 * i, slice) >> 12 << 4 * i;
        std::uint16_t halves[lanes];
        for (int i = 0; i < lanes; ++i) halves[i] = std::uint16_t(half[i]);
        const Floats step = halves_to_floats((const std::uint8_t*)halves) * splat(0.125f);
        const Ints scales = read_shorts(block + 32 * (unit / 2), slice) >> 6 * (unit % 2);
        scale[0] = step * to_floats(1 + 2 * (scales & 7));
        scale[1] = step * to_floats(1 + 2 * (scales >> 3 & 7));
    }
};
using IQ1_M = Points<IQ1_MCodes, 5, 16>;

}  // namespace
}  // namespace zeropoint::ZEROPOINT_VARIANT
