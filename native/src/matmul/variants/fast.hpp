// Products with activations of 8 bits: exact integers within a group, then scales in float32.
#pragma once
#include <algorithm>
#include <bit>

#include "matmul/variants/layouts.hpp"
#include "matmul/variants/layouts_grids.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

// Multiplication of codes: everything a layout's fast kernels depend on except its planes and headers.
template <int code_bits, int scale_groups, bool corrected, bool minimum>
struct Product {
    static constexpr int bits = code_bits, groups = scale_groups;
    static constexpr bool is_corrected = corrected, has_minimum = minimum;
};

template <typename L>
constexpr bool uses_signed = L::bits == 8 && dots_signed_bytes;

template <typename L>
using ProductOf = Product<L::bits, L::groups, L::zero_point != 0 && !uses_signed<L>, L::has_minimum>;

// The integers that a unit's dot products start from.
template <typename P, int width>
inline Ints start_of(const FastTile& x, std::size_t unit, int group, int j) {
    if constexpr (P::is_corrected) return splat(x.corrections[(unit * P::groups + group) * width + j]);
    return Ints{};
}

// One unit's contribution to the total of one activation, from its dot products and scales.
template <typename P, int width>
inline Floats add_unit(Floats total, const Ints* sum, const Floats* scale, const Floats* minimum,
                       const FastTile& x, std::size_t unit, int j) {
    const Floats step = splat(x.scales[unit * width + j]);
    if constexpr (P::groups == 1) {
        total = multiply_add(to_floats(sum[0]), scale[0] * step, total);
    } else {
        const Floats both = multiply_add(to_floats(sum[1]), scale[1], to_floats(sum[0]) * scale[0]);
        total = multiply_add(both, step, total);
    }
    if constexpr (P::has_minimum)
        for (int g = 0; g < P::groups; ++g)
            total = multiply_add(minimum[g], splat(x.sums[(unit * P::groups + g) * width + j]), total);
    return total;
}

// One unit's dot products with one activation, by groups; they are exact integers.
template <typename P, int width>
inline void dot_unit(Ints* sum, const Bytes* codes, const FastTile& x, std::size_t unit, int j) {
    constexpr int words = 8 / P::groups;
    for (int g = 0; g < P::groups; ++g)
        sum[g] = dot<P::bits, words>(codes + g * words, x.codes + (unit * 8 + g * words) * width + j, width,
                                     start_of<P, width>(x, unit, g, j));
}

template <typename L>
void read_codes(const std::uint8_t* block, int unit, int slice, Bytes* codes) {
    if constexpr (uses_signed<L>)
        read_signed<L>(block, unit, slice, codes);
    else
        L::read_codes(block, unit, slice, codes);
}

// Multiplies one activation with a panel. `watch` is called for each unit and slice with the codes, the integers, the
// scales, the minimums and the total so far.
template <typename L>
ZEROPOINT_INLINE void vector_fast(const std::uint8_t* panel, std::size_t units, const FastTile& x, float* out,
                                  const auto& watch) {
    using P = ProductOf<L>;
    Floats total[slices] = {};
    for (std::size_t first = 0; first < units; first += L::units, panel += L::bytes)
        for_slices([&](int s) {
            Floats sum = total[s];
            for (int u = 0; u < L::units; ++u) {  // inside, so that a block's header is read once
                prefetch_ahead<L>(panel, u, s);
                Bytes codes[8];
                Floats scale[2], minimum[2];
                read_codes<L>(panel, u, s, codes);
                L::read_scales(panel, u, s, scale, minimum);
                Ints dots[P::groups];
                dot_unit<P, 1>(dots, codes, x, first + u, 0);
                sum = add_unit<P, 1>(sum, dots, scale, minimum, x, first + u, 0);
                watch(first + u, s, codes, dots, scale, minimum, sum);
            }
            total[s] = sum;
        });
    for (int s = 0; s < slices; ++s) store(out + s * lanes, total[s]);
}

template <typename L>
void vector_fast(const std::uint8_t* panel, std::size_t units, const FastTile& x, float* out) {
    vector_fast<L>(panel, units, x, out, [](auto&&...) ZEROPOINT_INLINE_LAMBDA {});
}

// The same product, with all intermediate values recorded.
template <typename L>
void trace_fast(const std::uint8_t* panel, std::size_t units, const FastTile& x, float* out,
                const FastTrace& to) {
    const auto keep = [&](std::size_t unit, int slice, const Bytes* codes, const Ints* dots,
                          const Floats* scale, const Floats* minimum, Floats total) {
        for (int t = 0; t < 8; ++t) store(to.codes + (unit * 8 + t) * 64 + 4 * lanes * slice, codes[t]);
        for (int g = 0; g < L::groups; ++g) {
            const std::size_t at = (unit * L::groups + g) * 16 + lanes * slice;
            store(to.dots + at, dots[g]);
            store(to.scales + at, scale[g]);
            if constexpr (L::has_minimum) store(to.minimums + at, minimum[g]);
        }
        store(to.totals + unit * 16 + lanes * slice, total);
    };
    vector_fast<L>(panel, units, x, out, keep);
}

template <typename L>
void unpack_fast(const std::uint8_t* panel, std::size_t unit, std::size_t units, Unpacked& out) {
    const std::uint8_t* block = panel + unit / L::units * L::bytes;
    std::size_t at = 0;
    for (std::size_t first = 0; first < units; first += L::units, block += L::bytes)
        for (int u = 0; u < L::units; ++u, ++at)
            for_slices([&](int s) {
                Bytes codes[8];
                Floats scale[2], minimum[2];
                read_codes<L>(block, u, s, codes);
                L::read_scales(block, u, s, scale, minimum);
                for (int t = 0; t < 8; ++t) store(out.codes + (at * 8 + t) * 64 + 4 * lanes * s, codes[t]);
                for (int g = 0; g < L::groups; ++g) {
                    store(out.scales + (at * L::groups + g) * 16 + lanes * s, scale[g]);
                    if constexpr (L::has_minimum)
                        store(out.minimums + (at * L::groups + g) * 16 + lanes * s, minimum[g]);
                }
            });
}

template <typename P>
inline void load_scales(const Unpacked& panel, std::size_t unit, int slice, Floats* scale, Floats* minimum) {
    for (int g = 0; g < P::groups; ++g) {
        const std::size_t at = (unit * P::groups + g) * 16 + lanes * slice;
        scale[g] = load<Floats>(panel.scales + at);
        if constexpr (P::has_minimum) minimum[g] = load<Floats>(panel.minimums + at);
    }
}

template <typename P, int width>
void multiply_fast(const Unpacked& panel, std::size_t units, const FastTile& x, float* out,
                   std::size_t stride, bool resume) {
    constexpr int words = 8 / P::groups, part = std::min(width, dots_at_once);
    Floats total[slices][width] = {};
    if (resume)
        for (int s = 0; s < slices; ++s)
            for (int j = 0; j < width; ++j) total[s][j] = load<Floats>(out + j * stride + s * lanes);
    for (std::size_t u = 0; u < units; ++u) {
        unrolled<width / part>([&](auto i) ZEROPOINT_INLINE_LAMBDA {
            constexpr int first = i * part;
            Ints sum[P::groups][slices * part];
            for (int g = 0; g < P::groups; ++g) {
                unrolled<slices * part>([&](auto k) ZEROPOINT_INLINE_LAMBDA {
                    sum[g][k] = start_of<P, width>(x, u, g, first + k % part);
                });
                dots<P::bits, words, part>(panel.codes + (u * 8 + g * words) * 64,
                                           x.codes + (u * 8 + g * words) * width + first, width, sum[g]);
            }
            unrolled<slices>([&](auto s) ZEROPOINT_INLINE_LAMBDA {
                Floats scale[2], minimum[2];
                load_scales<P>(panel, u, s, scale, minimum);
                unrolled<part>([&](auto j) ZEROPOINT_INLINE_LAMBDA {
                    Ints both[P::groups];
                    for (int g = 0; g < P::groups; ++g) both[g] = sum[g][s * part + j];
                    Floats& to = total[s][first + j];
                    to = add_unit<P, width>(to, both, scale, minimum, x, u, first + j);
                });
            });
        });
    }
    for (int s = 0; s < slices; ++s)
        for (int j = 0; j < width; ++j) store(out + j * stride + s * lanes, total[s][j]);
}

// Activations: q = round(x / scale), scale = max |x| / 127 of 32 columns. Below 1e-30 all codes are 0.
void round_tile(const float* x, std::size_t stride, int width, std::size_t columns, std::int32_t* codes,
                float* scales, std::int32_t* sums) {
    constexpr int vectors = 32 / lanes;
    for (int j = 0; j < width; ++j, x += stride) {
        for (std::size_t u = 0; u < columns / 32; ++u) {
            Floats values[vectors];
            Ints largest{};
            for (int i = 0; i < vectors; ++i) {
                values[i] = load<Floats>(x + 32 * u + i * lanes);
                const Ints magnitude = (Ints)values[i] & 0x7fffffff;  // ordered as the floats are
                largest = magnitude > largest ? magnitude : largest;
            }
            const float peak =
                std::bit_cast<float>(over_lanes(largest, [](auto a, auto b) { return a > b ? a : b; }));
            scales[u * width + j] = peak / 127.0f;
            const Floats inverse = splat(peak < 1e-30f ? 0.0f : 127.0f / peak);
            // Adding 1.5 · 2^23 leaves the rounded integer (ties to even) in the low bits.
            const Floats magic = splat(12582912.0f);
            std::int8_t bytes[32];
            for (int half = 0; half < 2; ++half) {
                Ints sum{};
                for (int i = half * vectors / 2; i < (half + 1) * vectors / 2; ++i) {
                    const Ints code = (Ints)(values[i] * inverse + magic) - 0x4b400000;
                    put_low_bytes(bytes + i * lanes, code);
                    sum += (code << 24) >> 24;
                }
                sums[(2 * u + half) * width + j] = over_lanes(sum, [](auto a, auto b) { return a + b; });
            }
            for (int t = 0; t < 8; ++t) std::memcpy(codes + (u * 8 + t) * width + j, bytes + 4 * t, 4);
        }
    }
}

}  // namespace
}  // namespace zeropoint::ZEROPOINT_VARIANT
