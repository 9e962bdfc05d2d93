#include "zeropoint/scan.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "zeropoint/cpu.hpp"
#include "zeropoint/pool.hpp"

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

double weighted_error(const float* weights, const float* decoded, const float* importance,
                      std::size_t rows, std::size_t columns, int threads) {
    const Passes passes = active_passes();
    std::vector<double> errors(rows);
    const std::size_t chunk = std::max<std::size_t>(1, values_per_task / std::max<std::size_t>(1, columns));
    parallel_for((rows + chunk - 1) / chunk, threads, [&](std::size_t task) {
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

}  // namespace zeropoint
