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

// `panels` panels, unpacked one after the other, with `width` activations. The chains of a unit fill the
// registers; the totals stay in `out`, which is read and written once per unit, so that two panels of 16 lanes
// can share each load of an activation.
template <int panels, int width>
void multiply_exact(const float* weights, std::size_t units, const float* x, float* out, std::size_t stride,
                    bool resume) {
    constexpr int vectors = panels * slices;
    const auto load_weights = [&](Floats(&weight)[vectors]) ZEROPOINT_INLINE_LAMBDA {
        for (int v = 0; v < vectors; ++v)
            weight[v] = load<Floats>(weights + v / slices * exact_block_floats + v % slices * lanes);
        weights += 16;
    };
    for (std::size_t u = 0; u < units; ++u) {
        Floats part[width][vectors], weight[vectors];
        load_weights(weight);
        for (int j = 0; j < width; ++j)
            for (int v = 0; v < vectors; ++v) part[j][v] = weight[v] * splat(x[j]);
        x += width;
        for (int column = 1; column < 32; ++column, x += width) {
            load_weights(weight);
            for (int j = 0; j < width; ++j) {
                const Floats activation = splat(x[j]);
                for (int v = 0; v < vectors; ++v)
                    part[j][v] = multiply_add(weight[v], activation, part[j][v]);
            }
        }
        const bool begins = u == 0 && !resume;
        for (int j = 0; j < width; ++j)
            for (int v = 0; v < vectors; ++v) {
                float* total = out + j * stride + v * lanes;
                store(total, (begins ? Floats{} : load<Floats>(total)) + part[j][v]);
            }
    }
}

}  // namespace
}  // namespace zeropoint::ZEROPOINT_VARIANT
