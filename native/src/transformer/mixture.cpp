// Layers of experts: each row goes through the few that its router prefers.
#include <cmath>
#include <cstring>
#include <numeric>

#include "transformer/layer_pass.hpp"

namespace zeropoint {

// The experts of each row, best first; of equals the lower number.
std::vector<std::vector<LayerPass::Choice>> LayerPass::route(const float* scores) const {
    const ExpertConfig& experts = layer_.experts;
    const std::size_t count = experts.gate.size();
    std::vector<std::vector<Choice>> chosen(count);
    std::vector<float> shares(count);
    std::vector<std::size_t> order(count);
    for (std::size_t r = 0; r < rows_; ++r, scores += count) {
        const float top = *std::max_element(scores, scores + count);
        float sum = 0.0f, used = 0.0f;
        for (std::size_t e = 0; e < count; ++e) sum += shares[e] = std::exp(scores[e] - top);
        for (std::size_t e = 0; e < count; ++e) shares[e] /= sum, order[e] = e;
        std::stable_sort(order.begin(), order.end(),
                         [&](std::size_t a, std::size_t b) { return shares[a] > shares[b]; });
        for (std::size_t i = 0; i < experts.used; ++i) used += shares[order[i]];
        for (std::size_t i = 0; i < experts.used; ++i) {
            const float share = shares[order[i]] / (experts.normalize ? used : 1.0f);
            chosen[order[i]].push_back({r, i, share * experts.scale});
        }
    }
    return chosen;
}

void LayerPass::mixture() {
    const ExpertConfig& experts = layer_.experts;
    const float* x = normed(layer_.ffn_norm);
    float* scores = rows_of(buffers_.gates, rows_, experts.gate.size());
    multiply({{&experts.router, "ffn_gate_inp", scores}}, x, rows_, width_, buffers_.activations);
    const auto chosen = route(scores);
    float* parts = rows_of(buffers_.mixed, rows_ * experts.used, width_);
    for (std::size_t e = 0; e < chosen.size(); ++e)
        if (!chosen[e].empty()) run_expert(e, chosen[e], x, parts);
    float* out = rows_of(buffers_.out, rows_, width_);
    for_rows(rows_, pass_.threads, [&](std::size_t first, std::size_t last) {
        for (std::size_t r = first; r < last; ++r)
            for (std::size_t i = 0; i < width_; ++i) {
                const float* part = parts + r * experts.used * width_ + i;
                float sum = part[0];  // in the order of choice, whatever the batch
                for (std::size_t place = 1; place < experts.used; ++place) sum += part[place * width_];
                out[r * width_ + i] = sum;
            }
    });
    finish_part(out, layer_.post_ffw_norm);
}

void LayerPass::run_expert(std::size_t e, const std::vector<Choice>& choices, const float* x, float* parts) {
    const ExpertConfig& experts = layer_.experts;
    const std::size_t count = choices.size(), size = experts.down[e].weights->columns();
    float* gathered = rows_of(buffers_.joined, count, width_);
    for (std::size_t i = 0; i < count; ++i)
        std::memcpy(gathered + i * width_, x + choices[i].row * width_, width_ * sizeof(float));
    float* gates = rows_of(buffers_.gates, count, size);
    float* ups = rows_of(buffers_.ups, count, size);
    float* inner = rows_of(buffers_.inner, count, size);
    multiply({{&experts.gate[e], "ffn_gate_exps", gates}, {&experts.up[e], "ffn_up_exps", ups}}, gathered,
             count, width_, buffers_.expert_activations, int(e));
    activate(gates, ups, count, size, size, inner);
    multiply({{&experts.down[e], "ffn_down_exps", gathered}}, inner, count, size, buffers_.expert_activations,
             int(e));
    for (std::size_t i = 0; i < count; ++i) {
        const Choice& choice = choices[i];
        float* part = parts + (choice.row * experts.used + choice.place) * width_;
        for (std::size_t c = 0; c < width_; ++c) part[c] = gathered[i * width_ + c] * choice.share;
    }
}

}  // namespace zeropoint
