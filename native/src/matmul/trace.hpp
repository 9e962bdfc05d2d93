// The product of one row with one activation, with all intermediate values of the kernel.
#pragma once
#include <cstddef>
#include <cstdint>

#include "matmul/matmul.hpp"

namespace zeropoint {

// The properties of a layout's fast product; see LayoutKernels.
struct ProductShape {
    int groups;  // scales per 32 columns; 0: float weights, which are multiplied as they are
    int zero_point;
    bool has_minimum;
};
ProductShape product_shape(const PackedMatrix& weights);

// Destination of the row's intermediate values; `units` of 32 columns each.
struct FastRow {
    std::uint8_t* codes;            // (units, 32)
    std::int32_t* dots;             // (units, groups)
    float *scales, *minimums;       // (units, groups)
    float* totals;                  // (units)
    std::int8_t* activation_codes;  // (units, 32)
    float* activation_scales;       // (units)
    std::int32_t* starts;           // (units, groups): the initial values of the dots
    float* activation_sums;         // (units, groups): the factors of the minimums
};
struct ExactRow {
    float *weights, *chains;  // (units, 32)
    float* totals;            // (units)
};

// Both return the output, the bits of `multiply` with this row and these activations (columns floats).
// Throw std::out_of_range if there is no such row; trace_fast throws std::invalid_argument for floats.
float trace_fast(const PackedMatrix& weights, std::size_t row, const float* x, const FastRow& to);
float trace_exact(const PackedMatrix& weights, std::size_t row, const float* x, const ExactRow& to);

}  // namespace zeropoint
