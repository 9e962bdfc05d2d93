// Passes over whole tensors that need no variant: they run at the speed of memory.
#pragma once
#include <cstddef>

namespace zeropoint {

// Index of the first value whose magnitude is not below `limit`, or `count`. NaN is below nothing.
std::size_t first_beyond(const float* values, std::size_t count, float limit, int threads);

// Sum of importance · (weights − decoded)² in double. Each row is summed in 8 lanes (column modulo 8), the
// lanes as a tree, the rows in order: the same bits for any number of threads. `importance` null: ones.
double weighted_error(const float* weights, const float* decoded, const float* importance,
                      std::size_t rows, std::size_t columns, int threads);

}  // namespace zeropoint
