// A whole forward pass in one call: what src/zeropoint/models/transformer.py says in numpy.
//
// Built from plain data (LayerWeights per layer), it owns no weight. One pass takes any number of
// sequences of equal length through all layers and extends their caches.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "zeropoint/matmul.hpp"
#include "zeropoint/steps.hpp"

namespace zeropoint {

// A matrix, what its product is multiplied by, and what is added then.
struct Linear {
    const PackedMatrix* weights = nullptr;
    const float* bias = nullptr;  // (rows)
    float scale = 1.0f;
    explicit operator bool() const { return weights != nullptr; }
};

struct ExpertWeights {
    Linear router;
    std::vector<Linear> gate, up, down;  // one per expert
    std::size_t used = 0;
    bool normalize = true;
    float scale = 1.0f;
};

// Pointers that are null, and linears that are empty, are steps that this layer has not.
struct LayerWeights {
    std::size_t heads = 0, kv_heads = 0, head_size = 0, value_size = 0, window = 0;
    float scale = 1.0f, softcap = 0.0f;
    // Queries of position p are multiplied by 1 + temperature_scale · ln(1 + ⌊p / temperature_length⌋).
    double temperature_scale = 0.0;
    std::size_t temperature_length = 1;
    int rope = -1;  // which of the pass's rotations; −1: none
    Activation activation = Activation::silu;
    const float *attn_norm = nullptr, *q_norm = nullptr, *k_norm = nullptr, *attn_sub_norm = nullptr;
    const float *post_attention_norm = nullptr, *ffn_norm = nullptr, *ffn_sub_norm = nullptr;
    const float* post_ffw_norm = nullptr;
    Linear qkv, q, k, v, attn_output;
    Linear gate, up, down;  // without `gate`: both in `up`, the gate first
    ExpertWeights experts;
};

// One kind of rotary positions.
struct Rotation {
    const float* frequencies;  // (dimensions / 2)
    std::size_t dimensions;
    bool interleaved;
    float magnitude;
};

// A layer's cache, all sequences after one another (see models/cache.py).
struct LayerCache {
    float* keys;
    float* values;
    std::size_t slots, value_pitch;
};

// Who watches the inputs of matrices: layer, role as in GGUF ("attn_q"), expert or −1, rows.
using Watch = std::function<void(std::size_t layer, const char* role, int expert, const float* rows,
                                 std::size_t count, std::size_t columns)>;

struct Pass {
    float* x;  // (batch · count, width): embeddings, scaled; hidden states, normed, afterwards
    std::size_t batch, count;
    std::span<const std::int64_t> starts;  // (batch) positions
    std::span<const Rotation> rotations;
    std::span<const LayerCache> caches;  // one per layer
    Mode mode;
    int threads;
    const Watch* watch;                 // null: nobody
    const std::function<void()>* poll;  // called before each layer; may throw to stop. Null: nothing
};

class Transformer {
public:
    Transformer(std::size_t width, float epsilon, const float* output_norm)
        : width_(width), epsilon_(epsilon), output_norm_(output_norm) {}

    // Throws std::invalid_argument if the parts do not fit each other.
    void add(const LayerWeights& layer);
    std::span<const LayerWeights> layers() const { return layers_; }
    std::size_t width() const { return width_; }

    // Not thread-safe: one pass at a time.
    void run(const Pass& pass);

private:
    std::size_t width_;
    float epsilon_;
    const float* output_norm_;
    std::vector<LayerWeights> layers_;
    // Of the pass that runs; kept from one to the next for their memory.
    Activations activations_, expert_activations_;
    Buffer normed_, queries_, keys_, values_, joined_, mixed_, gates_, ups_, inner_, out_, turns_;
    friend class LayerPass;
};

}  // namespace zeropoint
