// The steps of a transformer between its products: norms, rotations, attention, activations.
//
// Each function works on whole rows (or on one block of queries). A row's result has the same bits whatever
// else is computed in the same call, because the row alone determines the order of its sums.
#pragma once
#include <cstddef>

#include "runtime/cpu.hpp"

namespace zeropoint {

constexpr std::size_t key_tile = 16;  // positions side by side in the cache of keys
constexpr std::size_t decoded_columns = 32;  // of values that are decoded at a time, at most

// How keys or values are stored: see models/cached_rows.py.
enum class CacheType : int { f32, f16, q8_0, q4_0 };

enum class Activation : int { silu, gelu, relu2, sigmoid, clamped_swiglu };

// One head's keys and values of one sequence, and the window of positions that a query can see.
struct AttentionSpan {
    const std::byte* keys;    // (tiles, key_tile_bytes); position p is in slot p % (tiles · key_tile)
    const std::byte* values;  // (tiles · key_tile, value_row_bytes)
    CacheType key_type, value_type;
    std::size_t tiles, head_size, value_size, key_tile_bytes, value_row_bytes;
    std::size_t window;  // positions that a query sees, itself included; 0: all before it
    float scale, softcap;  // softcap 0: none
};

// One position's key and value of one head, and their places in the cache.
struct CachedRow {
    CacheType key_type, value_type;
    const float *key, *value;
    std::size_t key_size, value_size;
    std::byte* key_tile;
    std::size_t lane;  // of the tile
    std::byte* value_row;
};

// Positions of one head with a state, for some columns of it. Each pointer is the first position's;
// the next position's is a stride of floats away.
struct DeltaSpan {
    float* state;  // (size, pitch), of which `columns` are used
    std::size_t size, pitch, columns, count;
    const float *queries, *keys, *values, *rates, *decays;
    float* out;
    std::size_t stride, gate_stride, out_stride;  // of queries, keys and values; rates and decays; out
    bool corrects;  // a delta net; otherwise nothing is known, as in Mamba-2
};

struct StepKernels {
    // out = x / √(mean(x²) + epsilon) · weight
    void (*rms_norm)(const float* x, const float* weight, float epsilon, std::size_t size, float* out);
    // Rotates the first `dimensions` elements; cosines and sines have dimensions / 2 elements.
    void (*rotate)(float* head, const float* cosines, const float* sines, std::size_t dimensions,
                   bool interleaved);
    // out = activation(gate) · up; for the clamped SwiGLU see models/layer_steps.py
    void (*gate)(Activation activation, const float* gate, const float* up, std::size_t size, float* out);
    // x = cap · tanh(x / cap)
    void (*softcap)(float* x, float cap, std::size_t size);
    // Rows of queries of one key head, at most `attend_rows`: row i is at queries[i], its position is
    // positions[i] (not falling), its result goes to out[i]. sinks[i] is one more score of the softmax; `sinks`
    // may be null. `scratch` holds attend_scratch floats.
    void (*attend)(const AttentionSpan& span, const float* const* queries, const std::size_t* positions,
                   const float* sinks, float* const* out, std::size_t rows, float* scratch);
    std::size_t attend_rows;
    void (*store_row)(const CachedRow& row);
    // x = H x / √size for each `size` of the `count` values, in which H is the Walsh-Hadamard matrix.
    void (*hadamard)(float* x, std::size_t count, std::size_t size);
    // x = x · factor / √(Σ x² + epsilon)
    void (*unit_length)(float* x, float epsilon, float factor, std::size_t size);
    // out = Σ_t weights[t · size + i] · inputs[t][i] over `kernel` positions
    void (*convolve)(const float* const* inputs, const float* weights, std::size_t kernel, std::size_t size,
                     float* out);
    // For each position: known = decay · Sᵀ k, or 0; S = decay · S + k ⊗ rate · (v − known); out = Sᵀ q.
    void (*delta_rule)(const DeltaSpan& span);
};

// Floats of scratch that `attend` needs for queries up to `position`: scores, and decoded keys and values.
inline std::size_t attend_scratch(const StepKernels& steps, std::size_t position, std::size_t head_size) {
    return (steps.attend_rows * (position / key_tile + 1) + head_size + decoded_columns) * key_tile;
}

namespace baseline {
const StepKernels& step_kernels();
}
#ifdef ZEROPOINT_HAS_avx2
namespace avx2 {
const StepKernels& step_kernels();
}
#endif
#ifdef ZEROPOINT_HAS_avx512
namespace avx512 {
const StepKernels& step_kernels();
}
#endif

}  // namespace zeropoint
