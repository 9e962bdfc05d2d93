// Mamba-2: src/zeropoint/models/mixers/mamba2.py is the twin in numpy.
#include <cmath>

#include "transformer/layer_pass.hpp"

namespace zeropoint {

void LayerPass::mamba2() {
    const Mamba2Config& part = layer_.mamba2;
    const std::size_t inner = part.inner(), channels = part.channels();
    const float* x = normed(layer_.attn_norm);
    float* joined = rows_of(buffers_.joined, rows_, part.joined());
    multiply({{&part.in, "ssm_in", joined}}, x, rows_, width_, buffers_.activations);
    float* inputs = rows_of(buffers_.gates, rows_, channels);
    float* times = rows_of(buffers_.rates, rows_, 2 * part.heads);
    float* decays = times + rows_ * part.heads;
    split_joined(joined, inputs, times, decays);
    float* line = rows_of(buffers_.queries, rows_, channels);
    convolve(inputs, part.convolution, part.kernel, channels, line);
    for_rows(rows_, pass_.threads, [&](std::size_t first, std::size_t last) {
        const std::vector<float> ones(channels, 1.0f);
        for (std::size_t r = first; r < last; ++r) {
            float* row = line + r * channels;
            for (std::size_t i = 0; i < part.shift.size(); ++i) row[i] += part.shift[i];
            kernels().gate(Activation::silu, row, ones.data(), channels, row);
        }
    });
    mixed_ = rows_of(buffers_.mixed, rows_, inner);
    const float* keys = line + inner;
    advance_states({.heads = part.heads,
                    .groups = part.groups,
                    .rows = part.state_size,
                    .columns = part.size,
                    .stride = channels,
                    .tiled = false,
                    .corrects = false},
                   keys + part.groups * part.state_size, keys, line, times, decays, mixed_);
    gate_groups(joined, line);
    float* out = rows_of(buffers_.out, rows_, width_);
    multiply({{&part.out, "ssm_out", out}}, mixed_, rows_, inner, buffers_.activations);
    finish_part(out, layer_.post_attention_norm);
}

// The inputs of the convolution, Δ and g of each row.
void LayerPass::split_joined(const float* joined, float* inputs, float* times, float* decays) const {
    const Mamba2Config& part = layer_.mamba2;
    const std::size_t inner = part.inner(), channels = part.channels(), heads = part.heads;
    for_rows(rows_, pass_.threads, [&](std::size_t first, std::size_t last) {
        for (std::size_t r = first; r < last; ++r) {
            const float* row = joined + r * part.joined() + inner;
            std::copy_n(row, channels, inputs + r * channels);
            for (std::size_t h = 0; h < heads; ++h) {
                const float time = softplus(row[channels + h] + part.time[h]);
                times[r * heads + h] = time;
                decays[r * heads + h] = std::exp(time * part.decay[h]);
            }
        }
    });
}

// Adds D · x, multiplies by silu(z), and norms each group.
void LayerPass::gate_groups(const float* joined, const float* line) const {
    const Mamba2Config& part = layer_.mamba2;
    const std::size_t inner = part.inner(), group = inner / part.groups;
    for_rows(rows_, pass_.threads, [&](std::size_t first, std::size_t last) {
        for (std::size_t r = first; r < last; ++r) {
            float* row = mixed_ + r * inner;
            const float* heads = line + r * part.channels();
            for (std::size_t i = 0; i < inner; ++i) row[i] += part.direct[i / part.size] * heads[i];
            kernels().gate(Activation::silu, joined + r * part.joined(), row, inner, row);
            for (std::size_t at = 0; at < inner; at += group)
                kernels().rms_norm(row + at, part.norm.data() + at, epsilon_, group, row + at);
        }
    });
}

}  // namespace zeropoint
