// The products of one variant. Lanes are weight rows: an output is one lane of one total, summed over the
// units of columns in order, so that its bits depend neither on the batch nor on how the work is cut.
//
//   exact  within a unit: a chain of multiply-adds over its 32 columns, in order; units: added in order
//   fast   within a group: an exact integer; then total ← scale · activation scale · integer + total
#include <array>
#include <bit>
#include <utility>

#include "layouts.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

// Widths of a wide tile: as many totals as there are registers for.
#if defined(__AVX512VNNI__)
constexpr int wide_fast = 16, wide_exact = 12;
#elif defined(__AVX2__)
constexpr int wide_fast = 4, wide_exact = 6;
#else
constexpr int wide_fast = 4, wide_exact = 4;
#endif

template <int... i>
constexpr void unrolled(std::integer_sequence<int, i...>, const auto& body) {
    (body(std::integral_constant<int, i>{}), ...);
}

template <int count>
constexpr void unrolled(const auto& body) {
    unrolled(std::make_integer_sequence<int, count>{}, body);
}

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

// The 32 columns of one unit and slice as float32 weights, the bits of `decode`.
template <typename L>
struct ExactUnit {
    Bytes codes[8];
    Floats scale[2], minimum[2];
    const std::uint8_t* block;
    int slice;

    ExactUnit(const std::uint8_t* block, int unit, int slice) : block(block), slice(slice) {
        if constexpr (!L::is_float) {
            read_signed<L>(block, unit, slice, codes);
            L::read_scales(block, unit, slice, scale, minimum);
        }
    }

    template <int column>
    Floats weight() const {
        if constexpr (L::is_float) {
            return L::read_weights(block, column, slice);
        } else {
            constexpr int group = column * L::groups / 32;
            const Floats code = to_floats(signed_byte<column % 4>(codes[column / 4]));
            if constexpr (L::has_minimum) return multiply_add(code, scale[group], minimum[group]);
            return code * scale[group];
        }
    }
};

// ---- exact ----

template <typename L, int width>
void vector_exact(const std::uint8_t* panel, std::size_t units, const float* x, float* out,
                  std::size_t stride) {
    Floats total[slices][width] = {};
    for (std::size_t first = 0; first < units; first += L::units, panel += L::bytes) {
        for (int u = 0; u < L::units; ++u, x += 32 * width) {
            for_slices([&](int s) {
                const ExactUnit<L> unit(panel, u, s);
                Floats part[width];
                unrolled<32>([&](auto column) {
                    const Floats weight = unit.template weight<column>();
                    for (int j = 0; j < width; ++j) {
                        const Floats activation = splat(x[column * width + j]);
                        part[j] = column == 0 ? weight * activation
                                              : multiply_add(weight, activation, part[j]);
                    }
                });
                for (int j = 0; j < width; ++j) total[s][j] += part[j];
            });
        }
    }
    for (int s = 0; s < slices; ++s)
        for (int j = 0; j < width; ++j) store(out + j * stride + s * lanes, total[s][j]);
}

template <typename L>
void unpack_exact(const Panel& panel, std::size_t unit, std::size_t units, float* out) {
    const std::uint8_t* block = panel.data + unit / L::units * L::bytes;
    for (std::size_t first = 0; first < units; first += L::units, block += L::bytes)
        for (int u = 0; u < L::units; ++u, out += 32 * 16)
            for_slices([&](int s) {
                const ExactUnit<L> weights(block, u, s);
                unrolled<32>([&](auto column) {
                    store(out + column * 16 + s * lanes, weights.template weight<column>());
                });
            });
}

// Any format: each row's blocks through its decoder, then transposed. Rows may end within a unit.
void unpack_blocks(const Panel& panel, std::size_t unit, std::size_t units, float* out) {
    const std::size_t size = panel.codec->block_size, bytes = panel.codec->block_bytes;
    const std::size_t first = unit * unit_columns / size;
    const std::size_t left = panel.row_bytes / bytes - first;
    const std::size_t wanted = units * unit_columns / size;
    const std::size_t blocks = wanted < left ? wanted : left;
    const std::uint8_t* from = panel.data + first * bytes;
    alignas(64) float row[exact_block_units * unit_columns] = {};
    for (int r = 0; r < 16; ++r, from += panel.row_bytes) {
        panel.codec->decode(from, row, blocks);
        for (std::size_t c = 0; c < units * unit_columns; ++c) out[c * 16 + r] = row[c];
    }
}

template <int width>
void multiply_exact(const float* weights, std::size_t units, const float* x, float* out,
                    std::size_t stride, bool resume) {
    Floats total[slices][width] = {};
    if (resume)
        for (int s = 0; s < slices; ++s)
            for (int j = 0; j < width; ++j) total[s][j] = load<Floats>(out + j * stride + s * lanes);
    for (std::size_t u = 0; u < units; ++u) {
        Floats part[slices][width];
        for (int s = 0; s < slices; ++s)
            for (int j = 0; j < width; ++j)
                part[s][j] = load<Floats>(weights + s * lanes) * splat(x[j]);
        weights += 16, x += width;
        for (int column = 1; column < 32; ++column, weights += 16, x += width) {
            Floats weight[slices];
            for (int s = 0; s < slices; ++s) weight[s] = load<Floats>(weights + s * lanes);
            for (int j = 0; j < width; ++j) {
                const Floats activation = splat(x[j]);
                for (int s = 0; s < slices; ++s)
                    part[s][j] = multiply_add(weight[s], activation, part[s][j]);
            }
        }
        for (int s = 0; s < slices; ++s)
            for (int j = 0; j < width; ++j) total[s][j] += part[s][j];
    }
    for (int s = 0; s < slices; ++s)
        for (int j = 0; j < width; ++j) store(out + j * stride + s * lanes, total[s][j]);
}

// ---- fast ----

// How codes are multiplied: what a layout's fast kernels depend on, its planes and headers apart.
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

// The same from codes.
template <typename P, int width>
inline Floats add_products(Floats total, const Bytes* codes, const Floats* scale, const Floats* minimum,
                           const FastTile& x, std::size_t unit, int j) {
    constexpr int words = 8 / P::groups;
    Ints sum[P::groups];
    for (int g = 0; g < P::groups; ++g)
        sum[g] = dot<P::bits, words>(codes + g * words, x.codes + (unit * 8 + g * words) * width + j, width,
                                     start_of<P, width>(x, unit, g, j));
    return add_unit<P, width>(total, sum, scale, minimum, x, unit, j);
}

template <typename L, int width>
void vector_fast(const std::uint8_t* panel, std::size_t units, FastTile x, float* out,
                 std::size_t stride) {
    Floats total[slices][width] = {};
    for (std::size_t first = 0; first < units; first += L::units, panel += L::bytes)
        for (int u = 0; u < L::units; ++u)
            for_slices([&](int s) {
                Bytes codes[8];
                Floats scale[2], minimum[2];
                if constexpr (uses_signed<L>)
                    read_signed<L>(panel, u, s, codes);
                else
                    L::read_codes(panel, u, s, codes);
                L::read_scales(panel, u, s, scale, minimum);
                for (int j = 0; j < width; ++j)
                    total[s][j] = add_products<ProductOf<L>, width>(total[s][j], codes, scale, minimum,
                                                                    x, first + u, j);
            });
    for (int s = 0; s < slices; ++s)
        for (int j = 0; j < width; ++j) store(out + j * stride + s * lanes, total[s][j]);
}

template <typename L>
void unpack_fast(const Panel& panel, std::size_t unit, std::size_t units, Unpacked& out) {
    const std::uint8_t* block = panel.data + unit / L::units * L::bytes;
    std::size_t at = 0;
    for (std::size_t first = 0; first < units; first += L::units, block += L::bytes)
        for (int u = 0; u < L::units; ++u, ++at)
            for_slices([&](int s) {
                Bytes codes[8];
                Floats scale[2], minimum[2];
                if constexpr (uses_signed<L>)
                    read_signed<L>(block, u, s, codes);
                else
                    L::read_codes(block, u, s, codes);
                L::read_scales(block, u, s, scale, minimum);
                for (int t = 0; t < 8; ++t)
                    store(out.codes + (at * 8 + t) * 64 + 4 * lanes * s, codes[t]);
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
void multiply_fast(const Unpacked& panel, std::size_t units, FastTile x, float* out, std::size_t stride,
                   bool resume) {
    Floats total[slices][width] = {};
    if (resume)
        for (int s = 0; s < slices; ++s)
            for (int j = 0; j < width; ++j) total[s][j] = load<Floats>(out + j * stride + s * lanes);
    for (std::size_t u = 0; u < units; ++u) {
#if defined(__AVX2__) && !defined(__AVX512VNNI__)
        constexpr int words = 8 / P::groups;
        Ints sum[P::groups][slices * width];
        for (int g = 0; g < P::groups; ++g) {
            for (int i = 0; i < slices * width; ++i) sum[g][i] = start_of<P, width>(x, u, g, i % width);
            dots<P::bits, words, width>(panel.codes + (u * 8 + g * words) * 64,
                                        x.codes + (u * 8 + g * words) * width, sum[g]);
        }
        for (int s = 0; s < slices; ++s) {
            Floats scale[2], minimum[2];
            load_scales<P>(panel, u, s, scale, minimum);
            for (int j = 0; j < width; ++j) {
                Ints both[P::groups];
                for (int g = 0; g < P::groups; ++g) both[g] = sum[g][s * width + j];
                total[s][j] = add_unit<P, width>(total[s][j], both, scale, minimum, x, u, j);
            }
        }
#else
        for_slices([&](int s) {
            Bytes codes[8];
            Floats scale[2], minimum[2];
            for (int t = 0; t < 8; ++t)
                codes[t] = load<Bytes>(panel.codes + (u * 8 + t) * 64 + 4 * lanes * s);
            load_scales<P>(panel, u, s, scale, minimum);
            for (int j = 0; j < width; ++j)
                total[s][j] = add_products<P, width>(total[s][j], codes, scale, minimum, x, u, j);
        });
#endif
    }
    for (int s = 0; s < slices; ++s)
        for (int j = 0; j < width; ++j) store(out + j * stride + s * lanes, total[s][j]);
}

// Activations: q = round(x / scale), scale = max |x| / 127 of 32 columns. Below 1e-30 all codes are 0.
void round_tile(const float* x, std::size_t stride, int width, std::size_t columns, std::int32_t* codes,
                float* scales, std::int32_t* sums) {
    for (int j = 0; j < width; ++j, x += stride) {
        for (std::size_t u = 0; u < columns / 32; ++u) {
            const float* from = x + 32 * u;
            Ints largest{};
            for (int i = 0; i < 32 / lanes; ++i) {
                const Ints magnitude = load<Ints>(from + i * lanes) & 0x7fffffff;
                largest = magnitude > largest ? magnitude : largest;
            }
            std::int32_t bits = 0;
            for (int i = 0; i < lanes; ++i) bits = largest[i] > bits ? largest[i] : bits;
            const float peak = std::bit_cast<float>(bits);
            scales[u * width + j] = peak / 127.0f;
            const Floats inverse = splat(peak < 1e-30f ? 0.0f : 127.0f / peak);
            // Adding 1.5 · 2^23 leaves the rounded integer (ties to even) in the low bits.
            const Floats magic = splat(12582912.0f);
            std::int32_t sum[2] = {};
            for (int i = 0; i < 32 / lanes; ++i) {
                const Ints code =
                    (Ints)(load<Floats>(from + i * lanes) * inverse + magic) - 0x4b400000;
                for (int k = 0; k < lanes / 4; ++k) {
                    const int c = i * lanes + 4 * k;
                    const std::int32_t q[4] = {code[4 * k], code[4 * k + 1], code[4 * k + 2],
                                               code[4 * k + 3]};
                    sum[c / 16] += std::int8_t(q[0]) + std::int8_t(q[1]) + std::int8_t(q[2]) +
                                   std::int8_t(q[3]);
                    codes[(u * 8 + c / 4) * width + j] =
                        std::int32_t((q[0] & 255u) | (q[1] & 255u) << 8 | (q[2] & 255u) << 16 |
                                     (q[3] & 255u) << 24);
                }
            }
            sums[(2 * u) * width + j] = sum[0];
            sums[(2 * u + 1) * width + j] = sum[1];
        }
    }
}

// ---- tables ----

template <typename L>
constexpr LayoutKernels kernels_of() {
    LayoutKernels row{};
    unrolled<narrow_width>([&](auto i) { row.vector_exact[i] = vector_exact<L, i + 1>; });
    row.unpack_exact = unpack_exact<L>;
    if constexpr (!L::is_float) {
        using P = ProductOf<L>;
        row.groups = L::groups;
        row.zero_point = P::is_corrected ? L::zero_point : 0;
        row.has_minimum = L::has_minimum;
        row.unpack_fast = unpack_fast<L>;
        unrolled<narrow_width>([&](auto i) {
            row.vector_fast[i] = vector_fast<L, i + 1>;
            row.multiply_fast[i] = multiply_fast<P, i + 1>;
        });
        row.multiply_fast[narrow_width] = multiply_fast<P, wide_fast>;
    }
    return row;
}

constexpr auto all_layouts() {
    std::array<LayoutKernels, std::size_t(Layout::count)> rows{};
    const auto set = [&](Layout layout, const LayoutKernels& row) { rows[std::size_t(layout)] = row; };
    set(Layout::f32, kernels_of<F32>());
    set(Layout::f16, kernels_of<F16>());
    set(Layout::bf16, kernels_of<BF16>());
    set(Layout::q8_0, kernels_of<Q8_0>());
    set(Layout::q4_0, kernels_of<Q4_0>());
    set(Layout::q4_1, kernels_of<Q4_1>());
    set(Layout::q5_0, kernels_of<Q5_0>());
    set(Layout::q5_1, kernels_of<Q5_1>());
    set(Layout::q2_k, kernels_of<Q2_K>());
    set(Layout::q3_k, kernels_of<Q3_K>());
    set(Layout::q4_k, kernels_of<Q4_K>());
    set(Layout::q5_k, kernels_of<Q5_K>());
    set(Layout::q6_k, kernels_of<Q6_K>());
    set(Layout::iq4_nl, kernels_of<IQ4_NL>());
    set(Layout::iq4_xs, kernels_of<IQ4_XS>());
    set(Layout::tq2_0, kernels_of<TQ2_0>());
    set(Layout::mxfp4, kernels_of<MXFP4>());
    set(Layout::nvfp4, kernels_of<NVFP4>());
    set(Layout::q1_0, kernels_of<Q1_0>());
    set(Layout::q2_0, kernels_of<Q2_0>());
    LayoutKernels blocks{};
    blocks.unpack_exact = unpack_blocks;
    set(Layout::blocks, blocks);
    return rows;
}

constexpr auto layouts = all_layouts();

constexpr MatmulKernels all_kernels() {
    MatmulKernels kernels{};
    kernels.layouts = layouts.data();
    unrolled<narrow_width>([&](auto i) { kernels.multiply_exact[i] = multiply_exact<i + 1>; });
    kernels.multiply_exact[narrow_width] = multiply_exact<wide_exact>;
    kernels.fast_width = wide_fast;
    kernels.exact_width = wide_exact;
    kernels.round_tile = round_tile;
    return kernels;
}

constexpr MatmulKernels kernels = all_kernels();

}  // namespace

const MatmulKernels& matmul_kernels() { return kernels; }

}  // namespace zeropoint::ZEROPOINT_VARIANT
