// Extracts one row from the intermediate values of the 16 rows that a kernel computes side by side.
#include "matmul/trace.hpp"

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/cpu.hpp"

namespace zeropoint {
namespace {

const LayoutKernels& kernels_of(const PackedMatrix& weights) {
    return ZEROPOINT_PICK(matmul_kernels)().layouts[std::size_t(weights.layout())];
}

const std::uint8_t* panel_of(const PackedMatrix& weights, std::size_t row) {
    if (row >= weights.rows())
        throw std::out_of_range("row " + std::to_string(row) + " of " + std::to_string(weights.rows()));
    return weights.panel(row / panel_rows);
}

// Values of 16 rows side by side, `count` each; copy_row copies those of one row to `to`.
template <typename T>
struct Columns {
    std::vector<T> all;
    std::size_t lane;

    Columns(std::size_t count, std::size_t row) : all(count * panel_rows), lane(row % panel_rows) {}
    void copy_row(T* to) const {
        for (std::size_t i = 0; i < all.size() / panel_rows; ++i) to[i] = all[i * panel_rows + lane];
    }
};

}  // namespace

ProductShape product_shape(const PackedMatrix& weights) {
    const LayoutKernels& kernel = kernels_of(weights);
    return {kernel.groups, kernel.zero_point, kernel.has_minimum};
}

float trace_fast(const PackedMatrix& weights, std::size_t row, const float* x, const FastRow& to) {
    const LayoutKernels& kernel = kernels_of(weights);
    if (!kernel.trace_fast) throw std::invalid_argument("weights that are floats have no fast product");
    const std::uint8_t* panel = panel_of(weights, row);
    Activations activations;
    activations.assign(x, 1, weights.columns(), weights.columns(), Mode::fast, 1);
    activations.prepare(weights.layout(), 1);
    const FastTile tile = activations.fast(weights.layout());
    const std::size_t units = weights.units(), groups = units * std::size_t(kernel.groups);
    Columns<std::uint32_t> codes(units * 8, row);
    Columns<std::int32_t> dots(groups, row);
    Columns<float> scales(groups, row), minimums(groups, row), totals(units, row);
    float out[panel_rows];
    kernel.trace_fast(panel, units, tile, out,
                      {reinterpret_cast<std::uint8_t*>(codes.all.data()), dots.all.data(), scales.all.data(),
                       minimums.all.data(), totals.all.data()});
    std::vector<std::uint32_t> words(units * 8);
    codes.copy_row(words.data());
    std::memcpy(to.codes, words.data(), units * 32);
    dots.copy_row(to.dots);
    scales.copy_row(to.scales);
    minimums.copy_row(to.minimums);
    totals.copy_row(to.totals);
    std::memcpy(to.activation_codes, tile.codes, units * 32);
    std::memcpy(to.activation_scales, tile.scales, units * sizeof(float));
    if (kernel.zero_point) std::memcpy(to.starts, tile.corrections, groups * sizeof(std::int32_t));
    if (kernel.has_minimum) std::memcpy(to.activation_sums, tile.sums, groups * sizeof(float));
    return out[row % panel_rows];
}

float trace_exact(const PackedMatrix& weights, std::size_t row, const float* x, const ExactRow& to) {
    const std::uint8_t* panel = panel_of(weights, row);
    Activations activations;
    activations.assign(x, 1, weights.columns(), weights.columns(), Mode::exact, 1);
    activations.prepare(weights.layout(), 1);
    const std::size_t units = weights.units();
    Columns<float> values(units * 32, row), chains(units * 32, row), totals(units, row);
    float out[panel_rows];
    kernels_of(weights).trace_exact(panel, units, activations.exact(), out,
                                    {values.all.data(), chains.all.data(), totals.all.data()});
    values.copy_row(to.weights);
    chains.copy_row(to.chains);
    totals.copy_row(to.totals);
    return out[row % panel_rows];
}

}  // namespace zeropoint
