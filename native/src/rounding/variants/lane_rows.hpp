// Copies of `lanes` rows of a panel in contiguous memory: with a stride of many rows, the columns of a panel
// would compete for a few sets of the cache.
#pragma once
#include <algorithm>
#include <cstring>

#include "rounding/panels.hpp"
#include "simd/block_vectors.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

// `count` <= lanes rows of one column; the others are 0.
[[maybe_unused]] inline Floats load_rows(const float* from, std::size_t count) {
    Floats values{};
    if (count == std::size_t(lanes)) return load(from);
    std::memcpy(&values, from, count * sizeof(float));
    return values;
}

template <typename Vector>
[[maybe_unused]] inline void store_rows(void* to, Vector values, std::size_t count) {
    std::memcpy(to, &values, count * 4);
}

// Calls work(first row, rows) for each vector of rows.
template <typename Work>
[[maybe_unused]] inline void for_lane_rows(std::size_t rows, const Work& work) {
    for (std::size_t row = 0; row < rows; row += std::size_t(lanes))
        work(row, std::min(std::size_t(lanes), rows - row));
}

}  // namespace
}  // namespace zeropoint::ZEROPOINT_VARIANT
