// The states of heads that all positions of a sequence change one after another.
#include "transformer/layer_pass.hpp"

namespace zeropoint {
namespace {

constexpr std::size_t task_columns = 32;  // of a head's state

}  // namespace

// Queries, keys and values lie `stride` apart from row to row. One task: all positions of a sequence, for some
// columns of one head's state.
void LayerPass::advance_states(const HeadStates& part, const float* queries, const float* keys,
                               const float* values, const float* rates, const float* decays,
                               float* out) const {
    const std::size_t heads = part.heads, shared = heads / part.groups, pitch = state_pitch(part.columns);
    const std::size_t blocks = (part.columns + task_columns - 1) / task_columns;
    parallel_for(pass_.batch * heads * blocks, pass_.threads, [&](std::size_t task) {
        const std::size_t column = task % blocks * task_columns, head = task / blocks;
        const std::size_t sequence = head / heads, h = head % heads, row = sequence * pass_.count;
        const std::size_t source = part.tiled ? h % part.groups : h / shared;
        float* state = cache_of<RecurrentCache>(sequence).states + h * part.rows * pitch + column;
        if (pass_.starts[sequence] == 0)
            for (std::size_t i = 0; i < part.rows; ++i) std::fill_n(state + i * pitch, task_columns, 0.0f);
        const std::size_t from = row * part.stride, factors = from + source * part.rows;
        kernels().delta_rule({state, part.rows, pitch, std::min(task_columns, part.columns - column),
                              pass_.count, queries + factors, keys + factors,
                              values + from + h * part.columns + column, rates + row * heads + h,
                              decays + row * heads + h, out + (row * heads + h) * part.columns + column,
                              part.stride, heads, heads * part.columns, part.corrects});
    });
}

}  // namespace zeropoint
