// Layers of experts: each row goes through the few that its router prefers.
#include <cmath>
#include <functional>
#include <numeric>

#include "transformer/layer_pass.hpp"

namespace zeropoint {

namespace {

// Scores become probabilities, or stay logits for the softmax of the chosen ones.
void rate(Gating gating, const float* logits, std::size_t count, float* scores) {
    if (gating == Gating::softmax) {
        const float top = *std::max_element(logits, logits + count);
        float sum = 0.0f;
        for (std::size_t e = 0; e < count; ++e) sum += scores[e] = std::exp(logits[e] - top);
        for (std::size_t e = 0; e < count; ++e) scores[e] /= sum;
    } else if (gating == Gating::sigmoid) {
        for (std::size_t e = 0; e < count; ++e) scores[e] = 1.0f / (1.0f + std::exp(-logits[e]));
    } else {
        std::copy(logits, logits + count, scores);
    }
}

// Numbers 0 … count − 1 by falling value; of equals the lower number comes first.
void sort_falling(const float* values, std::size_t count, std::vector<std::size_t>& order) {
    order.resize(count);
    std::iota(order.begin(), order.end(), std::size_t(0));
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return values[a] > values[b]; });
}

// −infinity for the experts of all groups but the best ones, by the sum of a group's two best scores.
void hide_groups(const Routing& routing, std::vector<float>& ranked) {
    const std::size_t size = ranked.size() / routing.groups;
    std::vector<float> sums(routing.groups);
    for (std::size_t g = 0; g < routing.groups; ++g) {
        std::vector<float> group(ranked.begin() + g * size, ranked.begin() + (g + 1) * size);
        std::partial_sort(group.begin(), group.begin() + 2, group.end(), std::greater<>());
        sums[g] = group[0] + group[1];
    }
    std::vector<std::size_t> order;
    sort_falling(sums.data(), sums.size(), order);
    for (std::size_t g = routing.used_groups; g < routing.groups; ++g)
        std::fill_n(ranked.begin() + order[g] * size, size, -INFINITY);
}

// The weights of the chosen experts, from their scores.
void weigh(const Routing& routing, std::vector<float>& shares) {
    float sum = 0.0f;
    if (routing.gating == Gating::softmax_chosen) {
        const float top = *std::max_element(shares.begin(), shares.end());
        for (float& share : shares) sum += share = std::exp(share - top);
    } else if (routing.normalize) {
        for (const float share : shares) sum += share;
        sum += routing.epsilon;
    } else {
        sum = 1.0f;
    }
    for (float& share : shares) share = share / sum * routing.scale;
}

}  // namespace

// The experts of each row, best first.
std::vector<std::vector<LayerPass::Choice>> LayerPass::route(const float* logits) const {
    const ExpertConfig& experts = layer_.experts;
    const Routing& routing = experts.routing;
    const std::size_t count = experts.gate.size();
    std::vector<std::vector<Choice>> chosen(count);
    std::vector<float> scores(count), ranked, shares(routing.used);
    std::vector<std::size_t> order;
    for (std::size_t r = 0; r < rows_; ++r, logits += count) {
        rate(routing.gating, logits, count, scores.data());
        ranked = scores;
        for (std::size_t e = 0; e < experts.selection_bias.size(); ++e)
            ranked[e] += experts.selection_bias[e];
        if (routing.groups > 1) hide_groups(routing, ranked);
        sort_falling(ranked.data(), count, order);
        for (std::size_t i = 0; i < routing.used; ++i) shares[i] = scores[order[i]];
        weigh(routing, shares);
        for (std::size_t i = 0; i < routing.used; ++i) chosen[order[i]].push_back({r, i, shares[i]});
    }
    return chosen;
}

// Adds what the shared expert computes from rows x.
void LayerPass::add_shared(const float* x, float* out) {
    const ExpertConfig& experts = layer_.experts;
    const float* shared = dense(experts.shared, {"ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp"}, x);
    for_rows(rows_, pass_.threads, [&](std::size_t first, std::size_t last) {
        for (std::size_t r = first; r < last; ++r) {
            float share = 1.0f;
            if (!experts.shared_gate.empty()) {
                float sum = 0.0f;
                for (std::size_t i = 0; i < width_; ++i) sum += x[r * width_ + i] * experts.shared_gate[i];
                share = 1.0f / (1.0f + std::exp(-sum));
            }
            for (std::size_t i = 0; i < width_; ++i) out[r * width_ + i] += shared[r * width_ + i] * share;
        }
    });
}

// Norms what the experts have computed, and adds what the dense part beside them computes.
void LayerPass::add_dense(float* out) {
    const ExpertConfig& experts = layer_.experts;
    if (!experts.post_norm.empty()) norm(out, experts.post_norm, out);
    float* own = dense(layer_.dense, {"ffn_gate", "ffn_up", "ffn_down"}, normed(layer_.ffn_norm));
    if (!experts.dense_norm.empty()) norm(own, experts.dense_norm, own);
    for_rows(rows_, pass_.threads, [&](std::size_t first, std::size_t last) {
        for (std::size_t i = first * width_; i < last * width_; ++i) out[i] = own[i] + out[i];
    });
}

void LayerPass::mixture() {
    const ExpertConfig& experts = layer_.experts;
    const bool beside = bool(layer_.dense);
    float* scores = rows_of(buffers_.gates, rows_, experts.gate.size());
    const float* given = normed(beside ? experts.router_norm : layer_.ffn_norm);
    multiply({{&experts.router, "ffn_gate_inp", scores}}, given, rows_, width_, buffers_.activations);
    const auto chosen = route(scores);
    const float* x = beside ? normed(experts.norm) : given;
    float* parts = rows_of(buffers_.mixed, rows_ * experts.routing.used, width_);
    for (std::size_t e = 0; e < chosen.size(); ++e)
        if (!chosen[e].empty()) run_expert(e, chosen[e], x, parts);
    float* out = rows_of(buffers_.joined, rows_, width_);
    for_rows(rows_, pass_.threads, [&](std::size_t first, std::size_t last) {
        for (std::size_t r = first; r < last; ++r)
            for (std::size_t i = 0; i < width_; ++i) {
                const float* part = parts + r * experts.routing.used * width_ + i;
                float sum = part[0];  // in the order of choice, whatever the batch
                for (std::size_t place = 1; place < experts.routing.used; ++place)
                    sum += part[place * width_];
                out[r * width_ + i] = sum;
            }
    });
    if (experts.shared) add_shared(x, out);
    if (beside) add_dense(out);
    finish_part(out, layer_.post_ffw_norm);
}

void LayerPass::run_expert(std::size_t e, const std::vector<Choice>& choices, const float* x, float* parts) {
    const ExpertConfig& experts = layer_.experts;
    const std::size_t count = choices.size(), size = experts.down[e].weights->columns();
    float* gathered = rows_of(buffers_.joined, count, width_);
    const bool weights_inputs = experts.routing.weights_inputs;
    for (std::size_t i = 0; i < count; ++i) {
        const float share = weights_inputs ? choices[i].share : 1.0f;
        const float* row = x + choices[i].row * width_;
        for (std::size_t c = 0; c < width_; ++c) gathered[i * width_ + c] = row[c] * share;
    }
    float* inner = rows_of(buffers_.inner, count, size);
    if (experts.up.empty()) {
        float* both = rows_of(buffers_.ups, count, 2 * size);
        multiply({{&experts.gate[e], "ffn_gate_up_exps", both}}, gathered, count, width_,
                 buffers_.expert_activations, int(e));
        activate(both, both + size, count, size, 2 * size, inner);
    } else {
        float* gates = rows_of(buffers_.gates, count, size);
        float* ups = rows_of(buffers_.ups, count, size);
        multiply({{&experts.gate[e], "ffn_gate_exps", gates}, {&experts.up[e], "ffn_up_exps", ups}}, gathered,
                 count, width_, buffers_.expert_activations, int(e));
        activate(gates, ups, count, size, size, inner);
    }
    multiply({{&experts.down[e], "ffn_down_exps", gathered}}, inner, count, size, buffers_.expert_activations,
             int(e));
    for (std::size_t i = 0; i < count; ++i) {
        const Choice& choice = choices[i];
        float* part = parts + (choice.row * experts.routing.used + choice.place) * width_;
        const float share = weights_inputs ? 1.0f : choice.share;
        for (std::size_t c = 0; c < width_; ++c) part[c] = gathered[i * width_ + c] * share;
    }
}

}  // namespace zeropoint
