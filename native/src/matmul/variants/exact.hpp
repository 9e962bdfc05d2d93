// Products with float32 activations: weights are decoded to the bits of `decode`.
#pragma once
#include "matmul/variants/layouts.hpp"
#include "matmul/variants/layouts_grids.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

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

// Multiplies one activation with a panel. `watch` is called with the weight and the chain of multiply-adds so far for
// each column and slice, and with the total at the end of each unit.
template <typename L>
ZEROPOINT_INLINE void vector_exact(const std::uint8_t* panel, std::size_t units, const float* x, float* out,
                                   const auto& watch) {
    Floats total[slices] = {};
    for (std::size_t first = 0; first < units; first += L::units, panel += L::bytes)
        for_slices([&](int s) {
            const float* activations = x + 32 * first;
            for (int u = 0; u < L::units; ++u, activations += 32) {
                prefetch_ahead<L>(panel, u, s);
                const ExactUnit<L> unit(panel, u, s);
                Floats part;
                unrolled<32>([&](auto column) ZEROPOINT_INLINE_LAMBDA {
                    const Floats weight = unit.template weight<column>();
                    const Floats activation = splat(activations[column]);
                    part = column == 0 ? weight * activation : multiply_add(weight, activation, part);
                    watch(32 * (first + u) + column, s, weight, part);
                });
                total[s] += part;
                watch(first + u, s, total[s]);
            }
        });
    for (int s = 0; s < slices; ++s) store(out + s * lanes, total[s]);
}

template <typename L>
void vector_exact(const std::uint8_t* panel, std::size_t units, const float* x, float* out) {
    vector_exact<L>(panel, units, x, out, [](auto&&...) ZEROPOINT_INLINE_LAMBDA {});
}

struct KeepExact {
    const ExactTrace& to;

    void operator()(std::size_t column, int slice, Floats weight, Floats part) const {
        store(to.weights + column * 16 + lanes * slice, weight);
        store(to.chains + column * 16 + lanes * slice, part);
    }
    void operator()(std::size_t unit, int slice, Floats total) const {
        store(to.totals + unit * 16 + lanes * slice, total);
    }
};

// The same product, with all intermediate values recorded.
template <typename L>
void trace_exact(const std::uint8_t* panel, std::size_t units, const float* x, float* out,
                 const ExactTrace& to) {
    vector_exact<L>(panel, units, x, out, KeepExact{to});
}

template <typename L>
void unpack_exact(const std::uint8_t* panel, std::size_t unit, std::size_t units, float* out) {
    const std::uint8_t* block = panel + unit / L::units * L::bytes;
    for (std::size_t first = 0; first < units; first += L::units, block += L::bytes)
        for (int u = 0; u < L::units; ++u, out += 32 * 16)
            for_slices([&](int s) {
                const ExactUnit<L> weights(block, u, s);
                unrolled<32>([&](auto column) ZEROPOINT_INLINE_LAMBDA {
                    store(out + column * 16 + s * lanes, weights.template weight<column>());
                });
            });
}

template <int width>
void multiply_exact(const float* weights, std::size_t units, const float* x, float* out, std::size_t stride,
                    bool resume) {
    Floats total[slices][width] = {};
    if (resume)
        for (int s = 0; s < slices; ++s)
            for (int j = 0; j < width; ++j) total[s][j] = load<Floats>(out + j * stride + s * lanes);
    for (std::size_t u = 0; u < units; ++u) {
        Floats part[slices][width];
        for (int s = 0; s < slices; ++s)
            for (int j = 0; j < width; ++j) part[s][j] = load<Floats>(weights + s * lanes) * splat(x[j]);
        weights += 16, x += width;
        for (int column = 1; column < 32; ++column, weights += 16, x += width) {
            Floats weight[slices];
            for (int s = 0; s < slices; ++s) weight[s] = load<Floats>(weights + s * lanes);
            for (int j = 0; j < width; ++j) {
                const Floats activation = splat(x[j]);
                for (int s = 0; s < slices; ++s) part[s][j] = multiply_add(weight[s], activation, part[s][j]);
            }
        }
        for (int s = 0; s < slices; ++s)
            for (int j = 0; j < width; ++j) total[s][j] += part[s][j];
    }
    for (int s = 0; s < slices; ++s)
        for (int j = 0; j < width; ++j) store(out + j * stride + s * lanes, total[s][j]);
}

}  // namespace
}  // namespace zeropoint::ZEROPOINT_VARIANT
