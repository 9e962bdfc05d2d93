#include "reductions/scan.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "runtime/cpu.hpp"
#include "runtime/float_mode.hpp"
#include "runtime/pool.hpp"

namespace zeropoint {
namespace {

constexpr std::size_t values_per_task = 1 << 16;

Passes active_passes() { return ZEROPOINT_PICK(passes)(); }

}  // namespace

std::size_t first_beyond(const float* values, std::size_t count, float limit, int threads) {
    const Passes passes = active_passes();
    const std::uint32_t bound = std::bit_cast<std::uint32_t>(limit);
    const std::size_t tasks = (count + values_per_task - 1) / values_per_task;
    std::vector<std::size_t> first(tasks, count);
    parallel_for(tasks, threads, [&](std::size_t task) {
        const std::size_t begin = task * values_per_task, end = std::min(count, begin + values_per_task);
        if (passes.largest(values + begin, end - begin) < bound) return;
        for (std::size_t i = begin; i < end && first[task] == count; ++i)
            if (passes.largest(values + i, 1) >= bound) first[task] = i;
    });
    return tasks ? *std::min_element(first.begin(), first.end()) : count;
}

double weighted_error(const float* weights, const float* decoded, const float* importance, std::size_t rows,
                      std::size_t columns, int threads) {
    const Passes passes = active_passes();
    std::vector<double> errors(rows);
    const std::size_t chunk = std::max<std::size_t>(1, values_per_task / std::max<std::size_t>(1, columns));
    parallel_for((rows + chunk - 1) / chunk, threads, [&](std::size_t task) {
        const FloatMode mode;
        for (std::size_t row = task * chunk; row < std::min(rows, (task + 1) * chunk); ++row)
            errors[row] = passes.row_error(weights + row * columns,
                                           decoded ? decoded + row * columns : nullptr, importance, columns);
    });
    double total = 0;
    for (double error : errors) total += error;
    return total;
}

Moments moments(const float* values, std::size_t count, int threads) {
    const Passes passes = active_passes();
    const std::size_t tasks = (count + values_per_task - 1) / values_per_task;
    std::vector<Part> parts(tasks);
    parallel_for(tasks, threads, [&](std::size_t task) {
        const std::size_t begin = task * values_per_task;
        parts[task] = passes.part(values + begin, std::min(values_per_task, count - begin));
    });
    Moments result{0, 0, 0};
    std::size_t where = 0;
    for (std::size_t task = 0; task < tasks; ++task) {
        result.sum += parts[task].sum;
        result.squares += parts[task].squares;
        if (parts[task].largest > parts[where].largest) where = task;
    }
    result.largest = where * values_per_task;
    while (passes.largest(values + result.largest, 1) != parts[where].largest) ++result.largest;
    return result;
}

void histogram(const float* values, std::size_t count, double limit, std::int64_t* counts, int threads) {
    const Passes passes = active_passes();
    constexpr std::size_t step = 4096;
    const float scale = float(double(histogram_bins / 2) / limit);
    if (!(scale > 0 && std::isfinite(scale)))
        throw std::invalid_argument("histogram: the limit must be positive, finite and at least 2^-120");
    const std::size_t tasks = (count + values_per_task - 1) / values_per_task;
    std::vector<std::array<std::int64_t, histogram_bins>> parts(tasks);
    parallel_for(tasks, threads, [&](std::size_t task) {
        const FloatMode mode;
        const std::size_t end = std::min(count, (task + 1) * values_per_task);
        std::int32_t bins[step];
        for (std::size_t at = task * values_per_task; at < end; at += step) {
            const std::size_t n = std::min(step, end - at);
            if (!passes.bins(values + at, n, scale, bins))
                throw std::invalid_argument("histogram: a value is NaN");
            for (std::size_t i = 0; i < n; ++i) ++parts[task][std::size_t(bins[i])];
        }
    });
    for (const auto& part : parts)
        for (std::size_t bin = 0; bin < histogram_bins; ++bin) counts[bin] += part[bin];
}

WorstBlock worst_block(const float* weights, const float* decoded, const float* importance, std::size_t rows,
                       std::size_t columns, std::size_t block_size, int threads) {
    const Passes passes = active_passes();
    const std::size_t blocks = columns / block_size;
    const std::size_t chunk = std::max<std::size_t>(1, values_per_task / std::max<std::size_t>(1, columns));
    const std::size_t tasks = (rows + chunk - 1) / chunk;
    std::vector<WorstBlock> worst(tasks, WorstBlock{0, -1.0});
    parallel_for(tasks, threads, [&](std::size_t task) {
        const FloatMode mode;
        for (std::size_t row = task * chunk; row < std::min(rows, (task + 1) * chunk); ++row) {
            for (std::size_t block = 0; block < blocks; ++block) {
                const std::size_t column = block * block_size, at = row * columns + column;
                const double error = passes.row_error(weights + at, decoded + at,
                                                      importance ? importance + column : nullptr, block_size);
                if (error > worst[task].error) worst[task] = {row * blocks + block, error};
            }
        }
    });
    WorstBlock result{0, -1.0};
    for (const WorstBlock& found : worst)
        if (found.error > result.error) result = found;
    return result;
}

}  // namespace zeropoint
