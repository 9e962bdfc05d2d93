#include "codecs/transcode.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <vector>

#include "reductions/scan.hpp"
#include "runtime/cpu.hpp"
#include "runtime/float_mode.hpp"
#include "runtime/pool.hpp"

namespace zeropoint {
namespace {

// A tile of weights and what they decode to: 0.5 MiB of float32, which the L2 cache holds.
constexpr std::size_t tile_weights = 1 << 16;

}  // namespace

Transcoded transcode(const Codec& from, const std::uint8_t* stored, const Codec& to, std::uint8_t* blocks,
                     const Rows& rows, int threads) {
    const Passes passes = ZEROPOINT_PICK(passes)();
    const std::size_t columns = rows.columns;
    const std::size_t row_bytes_from = columns / from.block_size * from.block_bytes;
    const std::size_t blocks_per_row = columns / to.block_size,
                      row_bytes_to = blocks_per_row * to.block_bytes;
    const std::uint32_t limit = std::bit_cast<std::uint32_t>(rows.limit);
    const std::size_t tile_rows = std::max<std::size_t>(1, tile_weights / std::max<std::size_t>(1, columns));
    std::vector<RowErrors> sums(rows.count);
    std::atomic<bool> encoded{true};
    parallel_for((rows.count + tile_rows - 1) / tile_rows, threads, [&](std::size_t task) {
        const std::size_t first = task * tile_rows, count = std::min(tile_rows, rows.count - first);
        static thread_local std::vector<float> weights, decoded;
        weights.resize(count * columns);
        decoded.resize(count * columns);
        const FloatMode mode;
        from.decode(stored + first * row_bytes_from, weights.data(), count * columns / from.block_size);
        if (passes.largest(weights.data(), weights.size()) >= limit) encoded = false;
        if (!encoded) return;
        std::uint8_t* const out = blocks + first * row_bytes_to;
        to.encode({weights.data(), rows.importance, std::max<std::size_t>(1, blocks_per_row)}, out, 0,
                  count * blocks_per_row);
        to.decode(out, decoded.data(), count * blocks_per_row);
        passes.row_errors(weights.data(), decoded.data(), rows.importance, count, columns,
                          sums.data() + first);
    });
    Transcoded result{0, 0, encoded};
    for (const RowErrors& row : sums) {
        result.error += row.error;
        result.power += row.power;
    }
    return result;
}

}  // namespace zeropoint
