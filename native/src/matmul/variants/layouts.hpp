// Reads blocks of each layout (see panels.hpp) as vectors of codes and scales, a slice of a panel (`lanes` of
// its 16 rows) at a time.
//
// Exactness. Every scale is an exact float32: a float16 or a power of two, times at most 6 bits. Times a
// code of at most 8 bits it is still exact, so adding a minimum with or without FMA rounds once, and
// scale · code + minimum is what the format's decoder gives, bit for bit.
#pragma once
#include "simd/row_vectors.hpp"
#include "matmul/panels.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

constexpr int slices = 16 / lanes;

// Runs body(slice) for each slice of a panel, as a loop: unrolled it fills the instruction cache.
[[maybe_unused]] inline void for_slices(const auto& body) {
    if constexpr (slices == 1) {
        body(0);
    } else {
        for (int slice = 0; slice < slices; ++slice) {
            asm("" : "+r"(slice));  // the compiler cannot count what it cannot see
            body(slice);
        }
    }
}

// Words of four codes: plane `j` of 64 bytes.
[[maybe_unused]] inline Words plane(const std::uint8_t* planes, int j, int slice) {
    return load<Words>(planes + 64 * j + 4 * lanes * slice);
}

// Bits `mask` of every byte, after moving them right by `from` and left by `to`.
[[maybe_unused]] inline Words pick(Words word, int from, int to, std::uint32_t mask) {
    return (from >= to ? word >> (from - to) : word << (to - from)) & splat(mask << to);
}

[[maybe_unused]] inline void read_nibbles(const std::uint8_t* planes, int slice, Bytes* codes) {
    for (int j = 0; j < 4; ++j) {
        const Words word = plane(planes, j, slice);
        codes[j] = (Bytes)pick(word, 0, 0, 0x0f0f0f0fu);
        codes[j + 4] = (Bytes)pick(word, 4, 0, 0x0f0f0f0fu);
    }
}

[[maybe_unused]] inline void read_2_bits(const std::uint8_t* planes, int slice, Bytes* codes, int to = 0) {
    for (int i = 0; i < 2; ++i) {
        const Words word = plane(planes, i, slice);
        for (int k = 0; k < 4; ++k) codes[4 * i + k] |= (Bytes)pick(word, 2 * k, to, 0x03030303u);
    }
}

[[maybe_unused]] inline void read_bits(const std::uint8_t* planes, int slice, Bytes* codes, int to = 0) {
    const Words word = plane(planes, 0, slice);
    for (int k = 0; k < 8; ++k) codes[k] |= (Bytes)pick(word, k, to, 0x01010101u);
}

[[maybe_unused]] inline Floats read_halves(const std::uint8_t* halves, int slice) {
    return halves_to_floats(halves + 2 * lanes * slice);
}

[[maybe_unused]] inline Ints read_bytes(const std::uint8_t* bytes, int slice) {
    return bytes_to_ints(bytes + lanes * slice);
}

template <Layout layout>
struct Shape {
    static constexpr int units = int(layout_shape(layout).units);
    static constexpr std::size_t bytes = layout_shape(layout).bytes;
    static constexpr int groups = 1;  // scales per unit
    static constexpr bool is_float = false;
    static constexpr bool has_minimum = false;
    static constexpr bool is_table = false;  // codes go through a table, which sets their sign
};

// Prefetches the size of one unit, 4 KiB ahead: the processor's own prefetching stops at the ends of pages,
// and with one activation memory is the limit (1.5 times as fast; docs/log.md, 2026-11-21).
template <typename L>
[[maybe_unused]] inline void prefetch_ahead(const std::uint8_t* block, int unit, int slice) {
    constexpr std::size_t unit_bytes = L::bytes / L::units;
    for (std::size_t line = 0; line < unit_bytes; line += 64 * slices)
        __builtin_prefetch(block + unit * unit_bytes + line + 64 * slice + 4096);
}

// One float16 scale per block, and a minimum if `minimum` is true.
template <Layout layout, bool minimum = false>
struct OneScale : Shape<layout> {
    static constexpr bool has_minimum = minimum;
    static void read_scales(const std::uint8_t* block, int, int slice, Floats* scale, Floats* low) {
        scale[0] = read_halves(block, slice);
        if constexpr (minimum) low[0] = read_halves(block + 32, slice);
    }
};

struct Q4_0 : OneScale<Layout::q4_0> {
    static constexpr int bits = 4, zero_point = 8;
    static void read_codes(const std::uint8_t* block, int, int slice, Bytes* codes) {
        read_nibbles(block + 32, slice, codes);
    }
};

struct Q4_1 : OneScale<Layout::q4_1, true> {
    static constexpr int bits = 4, zero_point = 0;
    static void read_codes(const std::uint8_t* block, int, int slice, Bytes* codes) {
        read_nibbles(block + 64, slice, codes);
    }
};

struct Q5_0 : OneScale<Layout::q5_0> {
    static constexpr int bits = 5, zero_point = 16;
    static void read_codes(const std::uint8_t* block, int, int slice, Bytes* codes) {
        read_nibbles(block + 96, slice, codes);
        read_bits(block + 32, slice, codes, 4);
    }
};

struct Q5_1 : OneScale<Layout::q5_1, true> {
    static constexpr int bits = 5, zero_point = 0;
    static void read_codes(const std::uint8_t* block, int, int slice, Bytes* codes) {
        read_nibbles(block + 128, slice, codes);
        read_bits(block + 64, slice, codes, 4);
    }
};

struct Q8_0 : OneScale<Layout::q8_0> {
    static constexpr int bits = 8, zero_point = 128;
    static void read_codes(const std::uint8_t* block, int, int slice, Bytes* codes) {
        for (int t = 0; t < 8; ++t) codes[t] = (Bytes)plane(block + 32, t, slice) ^ splat_bytes(0x80);
    }
    static void read_signed(const std::uint8_t* block, int, int slice, Bytes* codes) {
        for (int t = 0; t < 8; ++t) codes[t] = (Bytes)plane(block + 32, t, slice);
    }
};

struct TQ2_0 : OneScale<Layout::tq2_0> {
    static constexpr int bits = 2, zero_point = 1;
    static void read_codes(const std::uint8_t* block, int unit, int slice, Bytes* codes) {
        for (int t = 0; t < 8; ++t) codes[t] = Bytes{};
        read_2_bits(block + 32 + 128 * unit, slice, codes);
    }
};

struct Q2_0 : OneScale<Layout::q2_0> {
    static constexpr int bits = 2, zero_point = 1;
    static constexpr auto read_codes = TQ2_0::read_codes;
};

// One bit: w = ±scale = 2 · scale · q − scale.
struct Q1_0 : Shape<Layout::q1_0> {
    static constexpr int bits = 1, zero_point = 0;
    static constexpr bool has_minimum = true;
    static void read_codes(const std::uint8_t* block, int unit, int slice, Bytes* codes) {
        for (int t = 0; t < 8; ++t) codes[t] = Bytes{};
        read_bits(block + 32 + 64 * unit, slice, codes);
    }
    static void read_scales(const std::uint8_t* block, int, int slice, Floats* scale, Floats* low) {
        const Floats half = read_halves(block, slice);
        scale[0] = half + half;
        low[0] = -half;
    }
};

// 16 codes through a table. The unsigned table is the signed one plus the zero point.
template <typename Base, int codes_bits, int zero, typename Values>
struct Table : Base {
    static constexpr int bits = codes_bits, zero_point = zero;
    static constexpr bool is_table = true;
    static void read_table(const std::uint8_t (&table)[16], const std::uint8_t* block, int unit, int slice,
                           Bytes* codes) {
        read_nibbles(Base::planes(block, unit), slice, codes);
        for (int t = 0; t < 8; ++t) codes[t] = lookup(table, codes[t]);
    }
    static void read_codes(const std::uint8_t* block, int unit, int slice, Bytes* codes) {
        static constexpr auto biased = make(zero);
        read_table(biased.bytes, block, unit, slice, codes);
    }
    static void read_signed(const std::uint8_t* block, int unit, int slice, Bytes* codes) {
        static constexpr auto plain = make(0);
        read_table(plain.bytes, block, unit, slice, codes);
    }

private:
    struct Entries {
        std::uint8_t bytes[16];
    };
    static constexpr Entries make(int bias) {
        Entries entries{};
        for (int i = 0; i < 16; ++i) entries.bytes[i] = std::uint8_t(Values::values[i] + bias);
        return entries;
    }
};

struct NonlinearValues {  // ggml's IQ4 codes
    static constexpr int values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                       1,    13,   25,  38,  53,  69,  89,  113};
};
struct FloatValues {  // twice the values of E2M1; the scales are halved
    static constexpr int values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
};

struct IQ4_NLBase : OneScale<Layout::iq4_nl> {
    static const std::uint8_t* planes(const std::uint8_t* block, int) { return block + 32; }
};
using IQ4_NL = Table<IQ4_NLBase, 8, 128, NonlinearValues>;

struct IQ4_XSBase : Shape<Layout::iq4_xs> {
    static const std::uint8_t* planes(const std::uint8_t* block, int unit) {
        return block + 128 + 256 * unit;
    }
    // Header: scales (16 f16), low nibbles of 8 group scales (4 · 16), their high 2 bits (2 · 16).
    static void read_scales(const std::uint8_t* block, int unit, int slice, Floats* scale, Floats*) {
        const Ints low = read_bytes(block + 32 + 16 * (unit / 2), slice) >> (4 * (unit % 2));
        const Ints high = read_bytes(block + 96 + 16 * (unit / 4), slice) >> (2 * (unit % 4));
        const Ints factor = ((low & 15) | (high & 3) << 4) - 32;
        scale[0] = read_halves(block, slice) * to_floats(factor);
    }
};
using IQ4_XS = Table<IQ4_XSBase, 8, 128, NonlinearValues>;

struct MXFP4Base : Shape<Layout::mxfp4> {
    static const std::uint8_t* planes(const std::uint8_t* block, int) { return block + 16; }
    // Half of 2^(e − 127); 2^-127 and 2^-128 are subnormal.
    static void read_scales(const std::uint8_t* block, int, int slice, Floats* scale, Floats*) {
        const Ints exponent = read_bytes(block, slice);
        scale[0] = (Floats)(exponent < 2 ? splat(0x00200000) << exponent : (exponent - 1) << 23);
    }
};
using MXFP4 = Table<MXFP4Base, 5, 16, FloatValues>;

struct NVFP4Base : Shape<Layout::nvfp4> {
    static constexpr int groups = 2;
    static const std::uint8_t* planes(const std::uint8_t* block, int unit) { return block + 64 + 256 * unit; }
    // Unsigned E4M3: 2^(e−7) · (1 + m/8), subnormal 2^-9 · m, halved; 0x7f is zero, the sign bit ignored.
    static void read_scales(const std::uint8_t* block, int unit, int slice, Floats* scale, Floats*) {
        for (int g = 0; g < 2; ++g) {
            const Ints byte = read_bytes(block + 16 * (2 * unit + g), slice);
            const Ints magnitude = byte & 0x7f;
            const Floats normal = (Floats)((magnitude << 20) + (119 << 23));
            const Floats subnormal = to_floats(magnitude) * splat(0x1p-10f);
            const Floats value = magnitude < 8 ? subnormal : normal;
            scale[g] = byte == 0x7f ? Floats{} : value;
        }
    }
};
using NVFP4 = Table<NVFP4Base, 5, 16, FloatValues>;

struct Q2_K : Shape<Layout::q2_k> {
    static constexpr int groups = 2, bits = 2, zero_point = 0;
    static constexpr bool has_minimum = true;
    // Header: scales, minimums (16 f16 each), 16 bytes per group: scale | minimum << 4.
    static void read_codes(const std::uint8_t* block, int unit, int slice, Bytes* codes) {
        for (int t = 0; t < 8; ++t) codes[t] = Bytes{};
        read_2_bits(block + 320 + 128 * unit, slice, codes);
    }
    static void read_scales(const std::uint8_t* block, int unit, int slice, Floats* scale, Floats* low) {
        const Floats step = read_halves(block, slice), depth = read_halves(block + 32, slice);
        for (int g = 0; g < 2; ++g) {
            const Ints both = read_bytes(block + 64 + 16 * (2 * unit + g), slice);
            scale[g] = step * to_floats(both & 15);
            low[g] = -(depth * to_floats(both >> 4));
        }
    }
};

// Two 6-bit numbers per unit: low nibbles of both in a byte, high 2 bits of two units in a byte.
[[maybe_unused]] inline void read_6_bits(const std::uint8_t* packed, int unit, int slice, Ints* first,
                                         Ints* second) {
    const Ints low = read_bytes(packed + 16 * unit, slice);
    const Ints high = read_bytes(packed + 128 + 16 * (unit / 2), slice) >> (4 * (unit % 2));
    *first = (low & 15) | (high & 3) << 4;
    *second = low >> 4 | (high & 12) << 2;
}

struct Q3_K : Shape<Layout::q3_k> {
    static constexpr int groups = 2, bits = 3, zero_point = 4;
    // Header: scales (16 f16), 6-bit group scales (12 · 16). Units: 2-bit codes (128), high bits (64).
    static void read_codes(const std::uint8_t* block, int unit, int slice, Bytes* codes) {
        for (int t = 0; t < 8; ++t) codes[t] = Bytes{};
        read_2_bits(block + 224 + 192 * unit, slice, codes);
        read_bits(block + 224 + 192 * unit + 128, slice, codes, 2);
    }
    static void read_scales(const std::uint8_t* block, int unit, int slice, Floats* scale, Floats*) {
        Ints factor[2];
        read_6_bits(block + 32, unit, slice, &factor[0], &factor[1]);
        const Floats step = read_halves(block, slice);
        for (int g = 0; g < 2; ++g) scale[g] = step * to_floats(factor[g] - 32);
    }
};

// Header: scales, minimums (16 f16 each), 6-bit scale and minimum per unit (12 · 16).
template <Layout layout>
struct ScaleAndMinimum : Shape<layout> {
    static constexpr bool has_minimum = true;
    static void read_scales(const std::uint8_t* block, int unit, int slice, Floats* scale, Floats* low) {
        Ints factor, depth;
        read_6_bits(block + 64, unit, slice, &factor, &depth);
        scale[0] = read_halves(block, slice) * to_floats(factor);
        low[0] = -(read_halves(block + 32, slice) * to_floats(depth));
    }
};

struct Q4_K : ScaleAndMinimum<Layout::q4_k> {
    static constexpr int bits = 4, zero_point = 0;
    static void read_codes(const std::uint8_t* block, int unit, int slice, Bytes* codes) {
        read_nibbles(block + 256 + 256 * unit, slice, codes);
    }
};

struct Q5_K : ScaleAndMinimum<Layout::q5_k> {
    static constexpr int bits = 5, zero_point = 0;
    static void read_codes(const std::uint8_t* block, int unit, int slice, Bytes* codes) {
        read_nibbles(block + 256 + 320 * unit, slice, codes);
        read_bits(block + 256 + 320 * unit + 256, slice, codes, 4);
    }
};

struct Q6_K : Shape<Layout::q6_k> {
    static constexpr int groups = 2, bits = 6, zero_point = 32;
    // Header: scales (16 f16), signed group scales (16 · 16 bytes).
    static void read_codes(const std::uint8_t* block, int unit, int slice, Bytes* codes) {
        read_nibbles(block + 288 + 384 * unit, slice, codes);
        read_2_bits(block + 288 + 384 * unit + 256, slice, codes, 4);
    }
    static void read_scales(const std::uint8_t* block, int unit, int slice, Floats* scale, Floats*) {
        const Floats step = read_halves(block, slice);
        for (int g = 0; g < 2; ++g)
            scale[g] =
                step * to_floats(signed_bytes_to_ints(block + 32 + 16 * (2 * unit + g) + lanes * slice));
    }
};

// The same codes minus the zero point, which the exact products multiply by the scale.
template <typename L>
void read_signed(const std::uint8_t* block, int unit, int slice, Bytes* codes) {
    if constexpr (requires { L::read_signed; }) {
        L::read_signed(block, unit, slice, codes);
    } else {
        L::read_codes(block, unit, slice, codes);
        if constexpr (L::zero_point != 0)
            for (int t = 0; t < 8; ++t) codes[t] -= splat_bytes(L::zero_point);
    }
}

// Weights that are floats: each unit has (32, 16) floats, in order of columns.
struct F32 : Shape<Layout::f32> {
    static constexpr bool is_float = true;
    static Floats read_weights(const std::uint8_t* unit, int column, int slice) {
        return load<Floats>(unit + 64 * column + 4 * lanes * slice);
    }
};

struct F16 : Shape<Layout::f16> {
    static constexpr bool is_float = true;
    static Floats read_weights(const std::uint8_t* unit, int column, int slice) {
        return read_halves(unit + 32 * column, slice);
    }
};

struct BF16 : Shape<Layout::bf16> {
    static constexpr bool is_float = true;
    static Floats read_weights(const std::uint8_t* unit, int column, int slice) {
        return (Floats)(shorts_to_ints(unit + 32 * column + 2 * lanes * slice) << 16);
    }
};

}  // namespace
}  // namespace zeropoint::ZEROPOINT_VARIANT
