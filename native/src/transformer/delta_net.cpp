// Gated delta nets: src/zeropoint/models/mixers/delta_net.py is the twin in numpy.
#include <cmath>
#include <cstring>

#include "transformer/layer_pass.hpp"

namespace zeropoint {
namespace {

constexpr float length_epsilon = 1e-6f;
constexpr std::size_t task_columns = 32;  // of a head's state

float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

float softplus(float x) { return x > 20.0f ? x : std::log1p(std::exp(x)); }

}  // namespace

void LayerPass::delta_net() {
    const DeltaNetConfig& part = layer_.delta_net;
    const std::size_t channels = part.channels(), values = part.value_heads * part.size;
    const float* x = normed(layer_.attn_norm);
    float* inputs = rows_of(buffers_.joined, rows_, channels);
    float* gates = rows_of(buffers_.gates, rows_, values);
    multiply({{&part.qkv, "attn_qkv", inputs}, {&part.gate, "attn_gate", gates}}, x, rows_, width_,
             buffers_.activations);
    float* rates = rows_of(buffers_.rates, rows_, 2 * part.value_heads);
    float* decays = rates + rows_ * part.value_heads;
    gate_rates(x, rates, decays);
    float* qkv = rows_of(buffers_.queries, rows_, channels);
    convolve(inputs, part.convolution, part.kernel, channels, qkv);
    prepare_heads(qkv);
    mixed_ = rows_of(buffers_.mixed, rows_, values);
    advance_states(qkv, rates, decays, mixed_);
    for_rows(rows_, pass_.threads, [&](std::size_t first, std::size_t last) {
        for (std::size_t h = first * part.value_heads; h < last * part.value_heads; ++h) {
            float *head = mixed_ + h * part.size, *gate = gates + h * part.size;
            kernels().rms_norm(head, part.norm.data(), epsilon_, part.size, head);
            kernels().gate(Activation::silu, gate, head, part.size, head);
        }
    });
    float* out = rows_of(buffers_.out, rows_, width_);
    multiply({{&part.output, "ssm_out", out}}, mixed_, rows_, values, buffers_.activations);
    finish_part(out, layer_.post_attention_norm);
}

// β and g of each row and head of values.
void LayerPass::gate_rates(const float* x, float* rates, float* decays) const {
    const DeltaNetConfig& part = layer_.delta_net;
    const std::size_t heads = part.value_heads, shared = heads / part.key_heads;
    if (part.both) {
        float* both = rows_of(buffers_.ups, rows_, 2 * heads);
        multiply({{&part.both, "ssm_ba", both}}, x, rows_, width_, buffers_.activations);
        for (std::size_t h = 0; h < rows_ * heads; ++h) {
            const float* group = both + h / shared * 2 * shared;
            rates[h] = group[h % shared], decays[h] = group[shared + h % shared];
        }
    } else {
        multiply({{&part.beta, "ssm_beta", rates}, {&part.alpha, "ssm_alpha", decays}}, x, rows_, width_,
                 buffers_.activations);
    }
    for (std::size_t h = 0; h < rows_ * heads; ++h) {
        rates[h] = sigmoid(rates[h]);
        decays[h] = std::exp(softplus(decays[h] + part.shift[h % heads]) * part.decay[h % heads]);
    }
}

// Activates queries, keys and values, and gives queries and keys a length per head.
void LayerPass::prepare_heads(float* qkv) const {
    const DeltaNetConfig& part = layer_.delta_net;
    const std::size_t channels = part.channels();
    const float scale = 1.0f / std::sqrt(float(part.size));
    for_rows(rows_, pass_.threads, [&](std::size_t first, std::size_t last) {
        std::vector<float> ones(channels, 1.0f);
        for (std::size_t r = first; r < last; ++r) {
            float* row = qkv + r * channels;
            kernels().gate(Activation::silu, row, ones.data(), channels, row);
            for (std::size_t h = 0; h < 2 * part.key_heads; ++h)
                kernels().unit_length(row + h * part.size, length_epsilon, h < part.key_heads ? scale : 1.0f,
                                      part.size);
        }
    });
}

// One task: all positions of a sequence, for some columns of one head's state.
void LayerPass::advance_states(const float* qkv, const float* rates, const float* decays, float* out) const {
    const DeltaNetConfig& part = layer_.delta_net;
    const std::size_t size = part.size, pitch = part.pitch(), heads = part.value_heads;
    const std::size_t channels = part.channels(), shared = heads / part.key_heads;
    const std::size_t blocks = (size + task_columns - 1) / task_columns;
    parallel_for(pass_.batch * heads * blocks, pass_.threads, [&](std::size_t task) {
        const std::size_t column = task % blocks * task_columns, head = task / blocks;
        const std::size_t sequence = head / heads, h = head % heads, row = sequence * pass_.count;
        const std::size_t source = part.tiled ? h % part.key_heads : h / shared;
        float* state = cache_of<RecurrentCache>(sequence).states + h * size * pitch + column;
        if (pass_.starts[sequence] == 0)
            for (std::size_t i = 0; i < size; ++i) std::fill_n(state + i * pitch, task_columns, 0.0f);
        const float* from = qkv + row * channels;
        kernels().delta_rule({state, size, pitch, std::min(task_columns, size - column), pass_.count,
                              from + source * size, from + (part.key_heads + source) * size,
                              from + (2 * part.key_heads + h) * size + column, rates + row * heads + h,
                              decays + row * heads + h, out + (row * heads + h) * size + column, channels,
                              heads, heads * size});
    });
}

}  // namespace zeropoint
