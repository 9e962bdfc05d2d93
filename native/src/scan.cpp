#include "zeropoint/scan.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "zeropoint/pool.hpp"

namespace zeropoint {
namespace {

constexpr std::size_t values_per_task = 1 << 17;

bool all_below(const float* values, std::size_t count, float limit) {
    std::uint32_t largest = 0;
    for (std::size_t i = 0; i < count; ++i)
        largest = std::max(largest, std::bit_cast<std::uint32_t>(values[i]) & 0x7fffffffu);
    return largest < std::bit_cast<std::uint32_t>(limit);
}

double row_error(const float* weights, const float* decoded, const float* importance, std::size_t columns) {
    double lanes[8] = {};
    const auto add = [&](std::size_t column, std::size_t lane) {
        const double error = double(weights[column]) - double(decoded[column]);
        lanes[lane] += (importance ? double(importance[column]) : 1.0) * (error * error);
    };
    std::size_t column = 0;
    for (; column + 8 <= columns; column += 8)
        for (std::size_t lane = 0; lane < 8; ++lane) add(column + lane, lane);
    for (; column < columns; ++column) add(column, column % 8);
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

}  // namespace

std::size_t first_beyond(const float* values, std::size_t count, float limit, int threads) {
    const std::size_t tasks = (count + values_per_task - 1) / values_per_task;
    std::vector<std::size_t> first(tasks, count);
    parallel_for(tasks, threads, [&](std::size_t task) {
        const std::size_t begin = task * values_per_task, end = std::min(count, begin + values_per_task);
        if (all_below(values + begin, end - begin, limit)) return;
        for (std::size_t i = begin; i < end && first[task] == count; ++i)
            if (!all_below(values + i, 1, limit)) first[task] = i;
    });
    return tasks ? *std::min_element(first.begin(), first.end()) : count;
}

double weighted_error(const float* weights, const float* decoded, const float* importance,
                      std::size_t rows, std::size_t columns, int threads) {
    std::vector<double> errors(rows);
    const std::size_t chunk = std::max<std::size_t>(1, values_per_task / std::max<std::size_t>(1, columns));
    parallel_for((rows + chunk - 1) / chunk, threads, [&](std::size_t task) {
        for (std::size_t row = task * chunk; row < std::min(rows, (task + 1) * chunk); ++row)
            errors[row] = row_error(weights + row * columns, decoded + row * columns, importance, columns);
    });
    double total = 0;
    for (double error : errors) total += error;
    return total;
}

}  // namespace zeropoint
