// Scans of whole tensors, at memory bandwidth.
#pragma once
#include <cstddef>
#include <cstdint>

namespace zeropoint {

// Index of the first value whose magnitude is not below `limit`, or `count`. NaN counts as not below it.
std::size_t first_beyond(const float* values, std::size_t count, float limit, int threads);

// Sum of importance · (weights − decoded)² in double. Each row is summed in 8 lanes (column modulo 8), the
// lanes as a tree, the rows in order: the same bits for any number of threads and any instruction set.
// `importance` null: ones; `decoded` null: zeros.
double weighted_error(const float* weights, const float* decoded, const float* importance, std::size_t rows,
                      std::size_t columns, int threads);

struct Moments {
    double sum;
    double squares;       // not finite if any value is not
    std::size_t largest;  // index of the first value of largest magnitude
};

// Sums in 8 lanes over pieces of fixed length, which are added in order. `count` must not be 0.
Moments moments(const float* values, std::size_t count, int threads);

constexpr std::size_t histogram_bins = 256;

// Adds the number of values in each of 256 equal bins from −limit to limit (a power of two) to `counts`. A
// bin includes its lower edge. Values outside count in the outermost bins. Throws std::invalid_argument,
// before `counts` is changed, if a value is NaN or 128 / limit is not a positive finite float32.
void histogram(const float* values, std::size_t count, double limit, std::int64_t* counts, int threads);

struct WorstBlock {
    std::size_t index;  // of the first block with the largest error, blocks counted in row-major order
    double error;       // its sum of importance · (weights − decoded)²
};

WorstBlock worst_block(const float* weights, const float* decoded, const float* importance, std::size_t rows,
                       std::size_t columns, std::size_t block_size, int threads);

// The kernels of the scans, for one variant.
struct Part {
    double sum, squares;
    std::uint32_t largest;  // bits of the largest magnitude: they order like the magnitudes
};
struct RowErrors {
    double error;  // sum of importance · (weight − decoded)² of a row
    double power;  // sum of importance · weight²
};
struct Passes {
    std::uint32_t (*largest)(const float* values, std::size_t count);  // bits of the largest magnitude
    double (*row_error)(const float* weights, const float* decoded, const float* importance,
                        std::size_t columns);
    // What `row_error` returns for each row, with `decoded` and without.
    void (*row_errors)(const float* weights, const float* decoded, const float* importance, std::size_t rows,
                       std::size_t columns, RowErrors* result);
    Part (*part)(const float* values, std::size_t count);
    bool (*bins)(const float* values, std::size_t count, float scale, std::int32_t* bins);
};

namespace baseline {
Passes passes();
}
#ifdef ZEROPOINT_HAS_avx2
namespace avx2 {
Passes passes();
}
#endif
#ifdef ZEROPOINT_HAS_avx512
namespace avx512 {
Passes passes();
}
#endif

}  // namespace zeropoint
