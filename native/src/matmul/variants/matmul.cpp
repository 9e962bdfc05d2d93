// The products of one variant. Lanes are weight rows: an output is one lane of one total, summed over the
// units of columns in order, so that its bits depend neither on the batch nor on how the work is cut.
//
//   exact  within a unit: a chain of multiply-adds over its 32 columns, in order; units: added in order
//   fast   within a group: an exact integer; then total ← scale · activation scale · integer + total
#include <array>

#include "matmul/variants/exact.hpp"
#include "matmul/variants/fast.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

// Widths of tiles; the last one uses all registers that can hold totals.
#if defined(ZEROPOINT_AVX512)
constexpr int fast_widths[tile_widths] = {1, 4, 16}, widest_exact = 12, most_panels = 2;
#elif defined(__AVX2__)
constexpr int fast_widths[tile_widths] = {1, 2, 4}, widest_exact = 6, most_panels = 1;
#else
constexpr int fast_widths[tile_widths] = {1, 2, 4}, widest_exact = 4, most_panels = 1;
#endif

template <typename L>
constexpr LayoutKernels kernels_of() {
    LayoutKernels row{};
    row.vector_exact = vector_exact<L>;
    row.trace_exact = trace_exact<L>;
    row.unpack_exact = unpack_exact<L>;
    if constexpr (!L::is_float) {
        using P = ProductOf<L>;
        row.groups = L::groups;
        row.zero_point = P::is_corrected ? L::zero_point : 0;
        row.has_minimum = L::has_minimum;
        row.vector_fast = vector_fast<L>;
        row.trace_fast = trace_fast<L>;
        row.unpack_fast = unpack_fast<L>;
        unrolled<tile_widths>([&](auto i) { row.multiply_fast[i] = multiply_fast<P, fast_widths[i]>; });
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
    set(Layout::iq1_s, kernels_of<IQ1_S>());
    set(Layout::iq1_m, kernels_of<IQ1_M>());
    set(Layout::iq2_xxs, kernels_of<IQ2_XXS>());
    set(Layout::iq2_xs, kernels_of<IQ2_XS>());
    set(Layout::iq2_s, kernels_of<IQ2_S>());
    set(Layout::iq3_xxs, kernels_of<IQ3_XXS>());
    set(Layout::iq3_s, kernels_of<IQ3_S>());
    return rows;
}

constexpr auto layouts = all_layouts();

constexpr MatmulKernels all_kernels() {
    MatmulKernels kernels{};
    kernels.layouts = layouts.data();
    unrolled<tile_widths>([&](auto i) { kernels.fast_widths[i] = fast_widths[i]; });
    unrolled<most_panels>([&](auto p) {
        unrolled<widest_exact>(
            [&](auto i) { kernels.multiply_exact[p][i + 1] = multiply_exact<p + 1, i + 1>; });
    });
    kernels.exact_panels = most_panels;
    kernels.exact_width = widest_exact;
    kernels.round_tile = round_tile;
    return kernels;
}

constexpr MatmulKernels kernels = all_kernels();

}  // namespace

const MatmulKernels& matmul_kernels() { return kernels; }

}  // namespace zeropoint::ZEROPOINT_VARIANT
