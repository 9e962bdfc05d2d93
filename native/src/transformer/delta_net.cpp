// Gated delta nets: src/zeropoint/models/mixers/delta_net.py is the twin in numpy.
#include <cmath>

#include "transformer/layer_pass.hpp"

namespace zeropoint {
namespace {

constexpr float length_epsilon = 1e-6f;

float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

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
    advance_states({.heads = part.value_heads,
                    .groups = part.key_heads,
                    .rows = part.size,
                    .columns = part.size,
                    .stride = channels,
                    .tiled = part.tiled,
                    .corrects = true},
                   qkv, qkv + part.key_heads * part.size, qkv + 2 * part.key_heads * part.size, rates, decays,
                   mixed_);
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

}  // namespace zeropoint
