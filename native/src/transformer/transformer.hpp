// The forward pass of a decoder in one call; src/zeropoint/models/transformer.py is its twin in numpy.
//
// Built from plain data (a LayerConfig per layer), it owns no weight. One pass takes any number of
// sequences of equal length through all layers and extends their caches.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <variant>
#include <vector>

#include "matmul/matmul.hpp"
#include "transformer/step_kernels.hpp"

namespace zeropoint {

using Floats = std::span<const float>;

// y = scale · (x · Wᵀ) + bias
struct Linear {
    const PackedMatrix* weights = nullptr;
    Floats bias;  // (rows), or empty
    float scale = 1.0f;
    explicit operator bool() const { return weights != nullptr; }
};

// Grouped attention; a step whose norm or linear is empty is skipped.
struct AttentionConfig {
    std::size_t heads = 0, kv_heads = 0, head_size = 0, value_size = 0;
    std::size_t window = 0;  // positions that a position attends to, itself included; 0: all before it
    float scale = 1.0f;      // of query · key
    float softcap = 0.0f;    // scores become softcap · tanh(score / softcap); 0: no cap
    // Queries of position p are multiplied by 1 + temperature_scale · ln(1 + ⌊p / temperature_length⌋).
    double temperature_scale = 0.0;
    std::size_t temperature_length = 1;
    int rope = -1;       // index into the pass's rotations; −1: no rotary positions
    bool normed_values = false;  // values have a norm without weights; without v they are the keys
    bool shares = false;  // keys and values are those that an earlier layer has written
    CacheType key_type = CacheType::f32, value_type = CacheType::f32;  // in the cache
    std::size_t key_rotation = 0, value_rotation = 0;  // sizes of Hadamard matrices; 0: none
    bool gated = false;  // behind the rows of each head's query lie those of its gate
    Floats q_norm, k_norm, sub_norm;  // the first two of a head, or of all heads together
    Floats sinks;                     // (heads) further scores of the softmax, or empty
    Linear qkv, q, k, v, output;
    explicit operator bool() const { return bool(output); }
};

// Floats between the rows of a state with rows of `size`.
constexpr std::size_t state_pitch(std::size_t size) { return (size + 31) / 32 * 32; }

// A gated delta net; see src/zeropoint/models/mixers/delta_net.py.
struct DeltaNetConfig {
    std::size_t key_heads = 0, value_heads = 0, size = 0, kernel = 0;
    bool tiled = false;  // value head h uses key head h % key_heads; otherwise neighbours share one
    Floats convolution;  // (kernel, channels)
    Floats decay, shift, norm;  // a, dt (value_heads) and the norm of a head (size)
    Linear qkv, gate, output;
    Linear alpha, beta, both;  // both: β and α of each head of keys side by side
    std::size_t channels() const { return (2 * key_heads + value_heads) * size; }
    explicit operator bool() const { return bool(qkv); }
};

// Mamba-2; see src/zeropoint/models/mixers/mamba2.py.
struct Mamba2Config {
    std::size_t heads = 0, size = 0, groups = 0, state_size = 0, kernel = 0;
    Floats convolution, shift;  // (kernel, channels) and a bias (channels), or empty
    Floats decay, direct, time, norm;  // a, D, dt (heads) and the norms of all groups (inner)
    Linear in, out;
    std::size_t inner() const { return heads * size; }
    std::size_t channels() const { return inner() + 2 * groups * state_size; }
    std::size_t joined() const { return inner() + channels() + heads; }
    explicit operator bool() const { return bool(in); }
};

// A convolution between two gates; see src/zeropoint/models/mixers/short_convolution.py.
struct ShortConvolutionConfig {
    std::size_t kernel = 0;
    Floats weights;  // (kernel, width)
    Linear in, out;
    explicit operator bool() const { return bool(in); }
};

// down(sub_norm(activation(gate(x)) · up(x))); without a gate matrix, up holds the gate's rows first,
// or is activated itself if it has as many rows as down has columns.
struct DenseConfig {
    Floats sub_norm;
    Linear gate, up, down;
    explicit operator bool() const { return bool(down); }
};

enum class Gating : int { softmax, sigmoid, softmax_chosen };

// How experts are chosen and weighted: see models/routing.py.
struct Routing {
    Gating gating = Gating::softmax;
    std::size_t used = 0, groups = 1, used_groups = 1;
    bool normalize = true;        // divide the weights of the chosen experts by their sum + epsilon
    float epsilon = 0.0f;
    float scale = 1.0f;           // then multiply them by this
    bool weights_inputs = false;  // the weight multiplies the input of the expert, not its output
};

// A mixture of experts, and an expert that all rows share.
struct ExpertConfig {
    Linear router;
    Floats selection_bias;               // (experts), added to scores for the choice only, or empty
    std::vector<Linear> gate, up, down;  // one per expert; without up, the rows of gate are those of both
    // Beside a dense part: the norms of what the router, the dense part (behind it) and the experts (before and
    // behind them) get.
    Floats router_norm, dense_norm, norm, post_norm;
    Routing routing;
    DenseConfig shared;  // or empty
    Floats shared_gate;  // (width): the shared expert is multiplied by sigmoid(x · shared_gate); or empty
    explicit operator bool() const { return bool(router); }
};

// x + norm(projection(activation(gate(x)) · input)); see src/zeropoint/models/layer_inputs.py.
struct LayerInputConfig {
    Linear gate, projection;
    Floats norm;
    std::size_t size() const { return gate.weights->rows(); }
    explicit operator bool() const { return bool(gate); }
};

// One layer: at most one kind of mixer, and at most one kind of feed-forward part. An empty norm is skipped.
struct LayerConfig {
    Floats attn_norm, post_attention_norm, ffn_norm, post_ffw_norm;
    float residual_scale = 1.0f;  // of what a part adds to the stream
    AttentionConfig attention;
    DeltaNetConfig delta_net;
    ShortConvolutionConfig short_convolution;
    Mamba2Config mamba2;
    Activation activation = Activation::silu;  // of the feed-forward part
    DenseConfig dense;
    ExpertConfig experts;
    LayerInputConfig input;
    float output_scale = 1.0f;  // of the stream after the layer
};

// One kind of rotary positions.
struct Rotation {
    Floats frequencies;  // radians per position of each pair of elements
    bool interleaved;  // pairs are (2i, 2i + 1); otherwise (i, i + number of pairs)
    float magnitude;  // queries and keys are also multiplied by this
    std::size_t pairs() const { return frequencies.size(); }
};

// A layer's state of one sequence (see models/layer_state.py).
struct KeyValueCache {
    std::byte* keys;  // (kv_heads, slots / key_tile, key_tile_bytes)
    std::byte* values;  // (kv_heads, slots, value_row_bytes)
    std::size_t slots, key_tile_bytes, value_row_bytes;
};
struct RecurrentCache {
    float* convolution;  // (kernel − 1, channels): the last inputs
    float* states;  // null if the mixer is a convolution only
};
using LayerCache = std::variant<std::monostate, KeyValueCache, RecurrentCache>;

// Called with the inputs of each matrix: layer, role as in GGUF ("attn_q"), expert or −1, rows.
using Hook = std::function<void(std::size_t layer, const char* role, int expert, const float* rows,
                                std::size_t count, std::size_t columns)>;

struct Pass {
    float* x;  // (batch · count, width): embeddings, scaled; hidden states afterwards
    std::size_t batch, count;
    std::span<const std::int64_t> starts;  // (batch) positions
    std::span<const Rotation> rotations;
    std::span<const LayerCache> caches;  // (layers, batch)
    Floats inputs;  // (layers, batch · count, size) of layers with inputs, or empty
    Mode mode;
    int threads;
    const Hook* hook;  // or null
    const std::function<void()>* poll;  // called before each layer, may throw to stop; or null
};

// Memory of the running pass, kept between passes.
struct LayerBuffers {
    Activations activations, expert_activations;
    Buffer normed, queries, keys, values, joined, mixed, gates, ups, inner, rates, out;
};

class Transformer {
public:
    // With an empty output_norm, a pass ends with the residual stream of the last layer. Throws
    // std::invalid_argument if the parts do not fit each other.
    Transformer(std::size_t width, float epsilon, Floats output_norm, std::vector<LayerConfig> layers);

    std::span<const LayerConfig> layers() const { return layers_; }
    std::size_t width() const { return width_; }

    // Not thread-safe: one pass at a time.
    void run(const Pass& pass);

private:
    std::size_t width_;
    float epsilon_;
    Floats output_norm_;
    std::vector<LayerConfig> layers_;
    LayerBuffers buffers_;
    Buffer turns_;  // cosines and sines of the pass's positions
};

}  // namespace zeropoint
