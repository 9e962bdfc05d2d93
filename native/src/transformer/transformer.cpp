#include "transformer/transformer.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "transformer/layer_pass.hpp"

namespace zeropoint {

const StepKernels& kernels() {
    static const StepKernels& active = ZEROPOINT_PICK(step_kernels)();
    return active;
}

namespace {

void expect(bool condition, const char* what) {
    if (!condition) throw std::invalid_argument(std::string("transformer: ") + what);
}

void expect_shape(const Linear& linear, std::size_t rows, std::size_t columns, const char* what) {
    expect(linear && linear.weights->rows() == rows && linear.weights->columns() == columns, what);
}

void expect_size(Floats norm, std::size_t size, const char* what) {
    expect(norm.empty() || norm.size() == size, what);
}

void check_linear(const Linear& linear) {
    if (linear) expect(linear.bias.empty() || linear.bias.size() == linear.weights->rows(), "bias");
}

void check_attention(const AttentionConfig& part, std::size_t width) {
    const std::size_t queries = part.heads * part.head_size, values = part.heads * part.value_size;
    const std::size_t k_rows = part.kv_heads * part.head_size;
    const std::size_t v_rows = part.kv_heads * part.value_size;
    expect(part.heads && part.kv_heads && part.heads % part.kv_heads == 0, "heads");
    expect(part.head_size && part.value_size, "head sizes");
    expect(part.temperature_length, "temperature length");
    expect(!part.gated || (!part.qkv && part.head_size == part.value_size), "gated");
    const bool whole = !part.gated;  // a norm of all heads needs the heads side by side
    if (!whole || part.q_norm.size() != queries) expect_size(part.q_norm, part.head_size, "attn_q_norm");
    if (part.k_norm.size() != k_rows) expect_size(part.k_norm, part.head_size, "attn_k_norm");
    expect_size(part.sinks, part.heads, "attn_sinks");
    expect_size(part.sub_norm, values, "attn_sub_norm");
    const auto is_block = [](CacheType type) { return type == CacheType::q8_0 || type == CacheType::q4_0; };
    expect(!is_block(part.key_type) || part.head_size % 32 == 0, "blocks of keys");
    expect(!is_block(part.value_type) || part.value_size % 32 == 0, "blocks of values");
    for (const std::size_t size : {part.key_rotation, part.value_rotation})
        expect((size & (size - 1)) == 0, "rotation");
    if (part.key_rotation) expect(part.head_size % part.key_rotation == 0, "rotation of keys");
    if (part.value_rotation) expect(part.value_size % part.value_rotation == 0, "rotation of values");
    expect(!part.normed_values || part.head_size == part.value_size, "normed values");
    if (part.shares) {
        expect(!part.gated && !part.qkv && !part.k && !part.v, "shared keys and values");
        expect_shape(part.q, queries, width, "attn_q");
    } else if (part.qkv) {
        expect_shape(part.qkv, queries + k_rows + v_rows, width, "attn_qkv");
    } else {
        expect_shape(part.q, part.gated ? 2 * queries : queries, width, "attn_q");
        expect_shape(part.k, k_rows, width, "attn_k");
        if (part.v || !part.normed_values) expect_shape(part.v, v_rows, width, "attn_v");
    }
    expect_shape(part.output, width, values, "attn_output");
    for (const Linear* linear : {&part.qkv, &part.q, &part.k, &part.v, &part.output}) check_linear(*linear);
}

void check_delta_net(const DeltaNetConfig& part, std::size_t width) {
    const std::size_t values = part.value_heads * part.size;
    expect(part.key_heads && part.value_heads && part.value_heads % part.key_heads == 0, "heads");
    expect(part.size && part.kernel > 1, "sizes");
    expect_shape(part.qkv, part.channels(), width, "attn_qkv");
    expect_shape(part.gate, values, width, "attn_gate");
    expect_shape(part.output, width, values, "ssm_out");
    if (part.both) {
        expect_shape(part.both, 2 * part.value_heads, width, "ssm_ba");
    } else {
        expect_shape(part.alpha, part.value_heads, width, "ssm_alpha");
        expect_shape(part.beta, part.value_heads, width, "ssm_beta");
    }
    expect(part.convolution.size() == part.kernel * part.channels(), "ssm_conv1d");
    expect(part.decay.size() == part.value_heads, "ssm_a");
    expect(part.shift.size() == part.value_heads, "ssm_dt");
    expect(part.norm.size() == part.size, "ssm_norm");
    for (const Linear* linear : {&part.qkv, &part.gate, &part.output, &part.alpha, &part.beta, &part.both})
        check_linear(*linear);
}

void check_mamba2(const Mamba2Config& part, std::size_t width) {
    expect(part.heads && part.groups && part.heads % part.groups == 0, "heads");
    expect(part.size && part.state_size && part.kernel > 1, "sizes");
    expect_shape(part.in, part.joined(), width, "ssm_in");
    expect_shape(part.out, width, part.inner(), "ssm_out");
    expect(part.convolution.size() == part.kernel * part.channels(), "ssm_conv1d");
    expect_size(part.shift, part.channels(), "ssm_conv1d.bias");
    for (Floats values : {part.decay, part.direct, part.time}) expect(values.size() == part.heads, "ssm_a");
    expect(part.norm.size() == part.inner(), "ssm_norm");
    for (const Linear* linear : {&part.in, &part.out}) check_linear(*linear);
}

void check_short_convolution(const ShortConvolutionConfig& part, std::size_t width) {
    expect(part.kernel > 1 && part.weights.size() == part.kernel * width, "shortconv.conv");
    expect_shape(part.in, 3 * width, width, "shortconv.in_proj");
    expect_shape(part.out, width, width, "shortconv.out_proj");
}

void check_dense(const DenseConfig& part, std::size_t width) {
    const std::size_t inner = part.down.weights->columns();
    expect_shape(part.down, width, inner, "ffn_down");
    if (part.gate) expect_shape(part.gate, inner, width, "ffn_gate");
    const bool halves = !part.gate && part.up && part.up.weights->rows() != inner;
    expect_shape(part.up, halves ? 2 * inner : inner, width, "ffn_up");
    expect_size(part.sub_norm, inner, "ffn_sub_norm");
    for (const Linear* linear : {&part.gate, &part.up, &part.down}) check_linear(*linear);
}

void check_experts(const ExpertConfig& experts, std::size_t width) {
    const std::size_t count = experts.gate.size();
    expect_shape(experts.router, count, width, "ffn_gate_inp");
    check_linear(experts.router);
    const Routing& routing = experts.routing;
    expect(routing.used && routing.used <= count, "experts used");
    expect(routing.groups && count % routing.groups == 0, "groups of experts");
    expect(routing.used_groups && routing.used_groups <= routing.groups, "groups used");
    expect(routing.groups == 1 || count >= 2 * routing.groups, "groups of one expert");
    expect(routing.used <= routing.used_groups * (count / routing.groups), "experts of the groups");
    expect_size(experts.selection_bias, count, "exp_probs_b");
    expect_size(experts.shared_gate, width, "ffn_gate_inp_shexp");
    if (experts.shared) check_dense(experts.shared, width);
    for (Floats norm : {experts.router_norm, experts.dense_norm, experts.norm, experts.post_norm})
        expect_size(norm, width, "norms beside experts");
    const bool joined = experts.up.empty();
    expect((joined || experts.up.size() == count) && experts.down.size() == count, "experts");
    for (std::size_t e = 0; e < count; ++e) {
        expect(bool(experts.down[e]), "ffn_down_exps");
        const std::size_t inner = experts.down[e].weights->columns();
        expect_shape(experts.gate[e], joined ? 2 * inner : inner, width, "ffn_gate_exps");
        if (!joined) expect_shape(experts.up[e], inner, width, "ffn_up_exps");
        expect_shape(experts.down[e], width, inner, "ffn_down_exps");
        check_linear(experts.gate[e]), check_linear(experts.down[e]);
        if (!joined) check_linear(experts.up[e]);
    }
}

}  // namespace

Transformer::Transformer(std::size_t width, float epsilon, Floats output_norm,
                         std::vector<LayerConfig> layers)
    : width_(width), epsilon_(epsilon), output_norm_(output_norm), layers_(std::move(layers)) {
    expect_size(output_norm, width, "output_norm");
    for (const LayerConfig& layer : layers_) {
        for (Floats norm : {layer.attn_norm, layer.ffn_norm}) expect_size(norm, width, "norms");
        expect_size(layer.post_attention_norm, width, "post_attention_norm");
        expect_size(layer.post_ffw_norm, width, "post_ffw_norm");
        if (layer.attention) check_attention(layer.attention, width);
        if (layer.delta_net) check_delta_net(layer.delta_net, width);
        if (layer.short_convolution) check_short_convolution(layer.short_convolution, width);
        if (layer.mamba2) check_mamba2(layer.mamba2, width);
        expect(bool(layer.attention) + bool(layer.delta_net) + bool(layer.short_convolution) +
                       bool(layer.mamba2) <
                   2,
               "two mixers");
        if (layer.experts) check_experts(layer.experts, width);
        if (layer.dense) check_dense(layer.dense, width);
        if (layer.input) {
            expect_shape(layer.input.gate, layer.input.size(), width, "inp_gate");
            expect_shape(layer.input.projection, width, layer.input.size(), "proj");
            expect_size(layer.input.norm, width, "post_norm");
        }
    }
}

void LayerPass::run(const float* cosines, const float* sines) {
    if (layer_.attention) attention(cosines, sines);
    if (layer_.delta_net) delta_net();
    if (layer_.short_convolution) short_convolution();
    if (layer_.mamba2) mamba2();
    if (layer_.experts)
        mixture();
    else if (layer_.dense)
        finish_part(dense(layer_.dense, {"ffn_gate", "ffn_up", "ffn_down"}, normed(layer_.ffn_norm)),
                    layer_.post_ffw_norm);
    if (layer_.input) add_input();
    if (layer_.output_scale != 1.0f)
        for_rows(rows_, pass_.threads, [&](std::size_t first, std::size_t last) {
            for (std::size_t i = first * width_; i < last * width_; ++i) pass_.x[i] *= layer_.output_scale;
        });
}

// Adds what the layer's own input gives, as far as the stream opens its gate.
void LayerPass::add_input() {
    const LayerInputConfig& part = layer_.input;
    const std::size_t size = part.size();
    float* gates = rows_of(buffers_.gates, rows_, size);
    float* inner = rows_of(buffers_.inner, rows_, size);
    float* out = rows_of(buffers_.out, rows_, width_);
    multiply({{&part.gate, "inp_gate", gates}}, pass_.x, rows_, width_, buffers_.activations);
    activate(gates, pass_.inputs.data() + index_ * rows_ * size, rows_, size, size, inner);
    multiply({{&part.projection, "proj", out}}, inner, rows_, size, buffers_.activations);
    if (!part.norm.empty()) norm(out, part.norm, out);
    for_rows(rows_, pass_.threads, [&](std::size_t first, std::size_t last) {
        for (std::size_t i = first * width_; i < last * width_; ++i) pass_.x[i] += out[i];
    });
}

// Rows of x have as many elements as the norm has weights.
void LayerPass::norm(const float* x, Floats weight, float* out) const {
    const std::size_t size = weight.size();
    for_rows(rows_, pass_.threads, [&](std::size_t first, std::size_t last) {
        for (std::size_t r = first; r < last; ++r)
            kernels().rms_norm(x + r * size, weight.data(), epsilon_, size, out + r * size);
    });
}

// out = x · Wᵀ for several matrices of the same inputs (count, columns).
void LayerPass::multiply(std::initializer_list<Output> outputs, const float* x, std::size_t count,
                         std::size_t columns, Activations& activations, int expert) const {
    std::vector<Product> products;
    for (const Output& output : outputs) {
        if (!*output.linear) continue;
        if (pass_.hook) (*pass_.hook)(index_, output.role, expert, x, count, columns);
        products.push_back({output.linear->weights, output.out, output.linear->weights->rows()});
    }
    activations.assign(x, count, columns, columns, pass_.mode, pass_.threads);
    zeropoint::multiply(products, activations, pass_.threads);
    for (const Output& output : outputs)
        if (*output.linear) finish(*output.linear, output.out, count);
}

void LayerPass::finish(const Linear& linear, float* out, std::size_t count) {
    if (linear.scale == 1.0f && linear.bias.empty()) return;
    const std::size_t size = linear.weights->rows();
    for (std::size_t r = 0; r < count; ++r, out += size) {
        if (linear.scale != 1.0f)
            for (std::size_t i = 0; i < size; ++i) out[i] *= linear.scale;
        if (!linear.bias.empty())
            for (std::size_t i = 0; i < size; ++i) out[i] += linear.bias[i];
    }
}

// The rows of the stream, normed if there is such a norm.
const float* LayerPass::normed(Floats weight) {
    if (weight.empty()) return pass_.x;
    float* out = rows_of(buffers_.normed, rows_, width_);
    norm(pass_.x, weight, out);
    return out;
}

// Adds what a part of the layer computed to the stream, normed if there is such a norm.
void LayerPass::finish_part(float* out, Floats weight) const {
    if (!weight.empty()) norm(out, weight, out);
    const float scale = layer_.residual_scale;
    for_rows(rows_, pass_.threads, [&](std::size_t first, std::size_t last) {
        for (std::size_t i = first * width_; i < last * width_; ++i) pass_.x[i] += scale * out[i];
    });
}

// inner = activation(gate) · up, of rows whose gates and ups are `pitch` apart.
void LayerPass::activate(const float* gates, const float* ups, std::size_t count, std::size_t size,
                         std::size_t pitch, float* inner) const {
    for_rows(count, pass_.threads, [&](std::size_t first, std::size_t last) {
        for (std::size_t r = first; r < last; ++r)
            kernels().gate(layer_.activation, gates + r * pitch, ups + r * pitch, size, inner + r * size);
    });
}

// What a dense part computes from rows x (rows, width), in memory of the pass.
float* LayerPass::dense(const DenseConfig& part, const char* const (&roles)[3], const float* x) {
    const std::size_t size = part.down.weights->columns();
    float* inner = rows_of(buffers_.inner, rows_, size);
    if (part.gate) {
        float* gates = rows_of(buffers_.gates, rows_, size);
        float* ups = rows_of(buffers_.ups, rows_, size);
        multiply({{&part.gate, roles[0], gates}, {&part.up, roles[1], ups}}, x, rows_, width_,
                 buffers_.activations);
        activate(gates, ups, rows_, size, size, inner);
    } else if (part.up.weights->rows() == size) {
        float* ups = rows_of(buffers_.ups, rows_, size);
        multiply({{&part.up, roles[1], ups}}, x, rows_, width_, buffers_.activations);
        const std::vector<float> ones(size, 1.0f);
        for_rows(rows_, pass_.threads, [&](std::size_t first, std::size_t last) {
            for (std::size_t r = first; r < last; ++r)
                kernels().gate(layer_.activation, ups + r * size, ones.data(), size, inner + r * size);
        });
    } else {
        float* both = rows_of(buffers_.ups, rows_, 2 * size);
        multiply({{&part.up, roles[1], both}}, x, rows_, width_, buffers_.activations);
        activate(both, both + size, rows_, size, 2 * size, inner);
    }
    if (!part.sub_norm.empty()) norm(inner, part.sub_norm, inner);
    float* out = rows_of(buffers_.out, rows_, width_);
    multiply({{&part.down, roles[2], out}}, inner, rows_, size, buffers_.activations);
    return out;
}

void Transformer::run(const Pass& pass) {
    const std::size_t rows = pass.batch * pass.count;
    expect(pass.caches.size() == layers_.size() * pass.batch && pass.starts.size() == pass.batch, "pass");
    for (const LayerConfig& layer : layers_)
        if (layer.input) expect(pass.inputs.size() == layers_.size() * rows * layer.input.size(), "inputs");
    // Cosines and sines of every rotation: the angle is rounded to float32, the results are correctly rounded.
    std::size_t floats = 0;
    std::vector<std::size_t> offsets;
    for (const Rotation& rotation : pass.rotations) {
        offsets.push_back(floats);
        floats += 2 * rows * rotation.pairs();
    }
    float* turns = rows_of(turns_, 1, floats);
    for (std::size_t i = 0; i < offsets.size(); ++i) {
        const Rotation& rotation = pass.rotations[i];
        const std::size_t half = rotation.pairs();
        float *cosines = turns + offsets[i], *sines = cosines + rows * half;
        for_rows(rows, pass.threads, [&](std::size_t first, std::size_t last) {
            for (std::size_t r = first; r < last; ++r) {
                const float position = float(pass.starts[r / pass.count] + std::int64_t(r % pass.count));
                for (std::size_t d = 0; d < half; ++d) {
                    const double angle = position * rotation.frequencies[d];
                    cosines[r * half + d] = float(std::cos(angle)) * rotation.magnitude;
                    sines[r * half + d] = float(std::sin(angle)) * rotation.magnitude;
                }
            }
        });
    }
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        if (pass.poll) (*pass.poll)();
        const int rope = layers_[i].attention.rope;
        expect(rope < int(pass.rotations.size()), "rotation");
        const float* cosines = rope < 0 ? nullptr : turns + offsets[rope];
        const float* sines = rope < 0 ? nullptr : cosines + rows * pass.rotations[rope].pairs();
        LayerPass(layers_[i], i, width_, epsilon_, pass, buffers_).run(cosines, sines);
    }
    if (output_norm_.empty()) return;
    for_rows(rows, pass.threads, [&](std::size_t first, std::size_t last) {
        for (std::size_t r = first; r < last; ++r)
            kernels().rms_norm(pass.x + r * width_, output_norm_.data(), epsilon_, width_,
                               pass.x + r * width_);
    });
}

}  // namespace zeropoint
