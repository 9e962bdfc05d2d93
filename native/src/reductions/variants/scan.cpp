// The inner loops of scan.hpp. Eight lanes each, so that every instruction set adds in the same order.
#include <algorithm>
#include <bit>
#include <cstring>

#include "reductions/scan.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

constexpr std::size_t lanes = 8;
constexpr int half_bins = histogram_bins / 2;
constexpr float half = half_bins;

std::uint32_t magnitude(float value) { return std::bit_cast<std::uint32_t>(value) & 0x7fffffffu; }

double tree(const double (&sum)[lanes]) {
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

std::uint32_t largest(const float* values, std::size_t count) {
    std::uint32_t result = 0;
    for (std::size_t i = 0; i < count; ++i) result = std::max(result, magnitude(values[i]));
    return result;
}

// Calls `add(i, lane)` for each i; whole groups of eight in a loop that becomes vectors.
template <typename Add>
void in_lanes(std::size_t count, const Add& add) {
    std::size_t i = 0;
    for (; i + lanes <= count; i += lanes)
        for (std::size_t lane = 0; lane < lanes; ++lane) add(i + lane, lane);
    for (; i < count; ++i) add(i, i % lanes);
}

template <bool Decoded, bool Importance>
double row_error(const float* weights, const float* decoded, const float* importance, std::size_t columns) {
    double sum[lanes] = {};
    in_lanes(columns, [&](std::size_t i, std::size_t lane) {
        const double error = Decoded ? double(weights[i]) - double(decoded[i]) : double(weights[i]);
        sum[lane] += Importance ? double(importance[i]) * (error * error) : error * error;
    });
    return tree(sum);
}

double any_row_error(const float* weights, const float* decoded, const float* importance,
                     std::size_t columns) {
    if (decoded)
        return importance ? row_error<true, true>(weights, decoded, importance, columns)
                          : row_error<true, false>(weights, decoded, importance, columns);
    return importance ? row_error<false, true>(weights, decoded, importance, columns)
                      : row_error<false, false>(weights, decoded, importance, columns);
}

typedef double Doubles __attribute__((vector_size(8 * lanes)));
typedef float Singles __attribute__((vector_size(4 * lanes)));

Doubles load_doubles(const float* from) {
    Singles values;
    std::memcpy(&values, from, sizeof values);
    return __builtin_convertvector(values, Doubles);
}

// Some rows at a time: the additions of one row wait for each other.
template <std::size_t Rows, bool Importance>
void errors_of(const float* weights, const float* decoded, const float* importance, std::size_t columns,
               RowErrors* result) {
    Doubles error[Rows] = {}, power[Rows] = {};
    const std::size_t whole = columns / lanes * lanes;
    for (std::size_t i = 0; i < whole; i += lanes) {
        const Doubles cost = Importance ? load_doubles(importance + i) : Doubles{};
        for (std::size_t row = 0; row < Rows; ++row) {
            const Doubles weight = load_doubles(weights + row * columns + i);
            const Doubles rest = weight - load_doubles(decoded + row * columns + i);
            error[row] += Importance ? cost * (rest * rest) : rest * rest;
            power[row] += Importance ? cost * (weight * weight) : weight * weight;
        }
    }
    for (std::size_t row = 0; row < Rows; ++row) {
        double errors[lanes], powers[lanes];
        std::memcpy(errors, &error[row], sizeof errors);
        std::memcpy(powers, &power[row], sizeof powers);
        for (std::size_t i = whole; i < columns; ++i) {
            const double weight = weights[row * columns + i], rest = weight - decoded[row * columns + i];
            errors[i % lanes] += Importance ? double(importance[i]) * (rest * rest) : rest * rest;
            powers[i % lanes] += Importance ? double(importance[i]) * (weight * weight) : weight * weight;
        }
        result[row] = {tree(errors), tree(powers)};
    }
}

void row_errors(const float* weights, const float* decoded, const float* importance, std::size_t rows,
                std::size_t columns, RowErrors* result) {
    const auto pair = importance ? errors_of<2, true> : errors_of<2, false>;
    const auto single = importance ? errors_of<1, true> : errors_of<1, false>;
    for (std::size_t row = 0; row < rows; row += 2)
        (row + 1 < rows ? pair : single)(weights + row * columns, decoded + row * columns, importance,
                                         columns, result + row);
}

Part part(const float* values, std::size_t count) {
    double sum[lanes] = {}, squares[lanes] = {};
    std::uint32_t largest[lanes] = {};
    in_lanes(count, [&](std::size_t i, std::size_t lane) {
        const double value = values[i];
        sum[lane] += value;
        squares[lane] += value * value;
        largest[lane] = std::max(largest[lane], magnitude(values[i]));
    });
    return {tree(sum), tree(squares), *std::max_element(largest, largest + lanes)};
}

// Any value gets a bin of the table, NaN the lowest; false: a value was NaN.
bool bins(const float* values, std::size_t count, float scale, std::int32_t* result) {
    std::int32_t nans = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const float place = values[i] * scale;  // exact: a power of two
        nans |= place != place;
        // In this order of arguments, max turns NaN into -half.
        std::int32_t bin = std::int32_t(std::min(std::max(-half, place), half));
        bin -= float(bin) > place;  // the cast rounds to zero; a bin reaches down from its edge
        result[i] = std::min(std::max(bin + half_bins, 0), int(histogram_bins) - 1);
    }
    return !nans;
}

}  // namespace

Passes passes() { return {largest, any_row_error, row_errors, part, bins}; }

}  // namespace zeropoint::ZEROPOINT_VARIANT
