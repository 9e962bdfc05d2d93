// Queries, keys and values between their projections: norms, rotations, the cache, attention.
#include <cmath>
#include <cstring>

#include "transformer/layer_pass.hpp"

namespace zeropoint {
namespace {

constexpr std::size_t small_attention = 1 << 17;  // multiplications below which one thread is faster

}  // namespace

void LayerPass::attention(const float* cosines, const float* sines) {
    const AttentionConfig& part = layer_.attention;
    project();
    place(cosines, sines);
    attend();
    if (part.value_rotation) rotate_mixed();
    if (part.gated) gate_mixed();
    if (!part.sub_norm.empty()) norm(mixed_, part.sub_norm, mixed_);
    float* out = rows_of(buffers_.out, rows_, width_);
    multiply({{&part.output, "attn_output", out}}, mixed_, rows_, part.heads * part.value_size,
             buffers_.activations);
    finish_part(out, layer_.post_attention_norm);
}

// Queries, keys and values of the normed rows.
void LayerPass::project() {
    const AttentionConfig& part = layer_.attention;
    const float* x = normed(layer_.attn_norm);
    head_pitch_ = part.gated ? 2 * part.head_size : part.head_size;
    q_size_ = part.heads * head_pitch_;
    k_size_ = part.kv_heads * part.head_size;
    v_size_ = part.kv_heads * part.value_size;
    if (part.qkv) {
        const std::size_t all = q_size_ + k_size_ + v_size_;
        queries_ = rows_of(buffers_.joined, rows_, all);
        keys_ = queries_ + q_size_, values_ = keys_ + k_size_;
        q_pitch_ = k_pitch_ = v_pitch_ = all;
        multiply({{&part.qkv, "attn_qkv", queries_}}, x, rows_, width_, buffers_.activations);
        return;
    }
    queries_ = rows_of(buffers_.queries, rows_, q_size_), q_pitch_ = q_size_;
    if (part.shares) {
        multiply({{&part.q, "attn_q", queries_}}, x, rows_, width_, buffers_.activations);
        return;
    }
    keys_ = rows_of(buffers_.keys, rows_, k_size_), k_pitch_ = k_size_;
    values_ = rows_of(buffers_.values, rows_, v_size_), v_pitch_ = v_size_;
    multiply({{&part.q, "attn_q", queries_}, {&part.k, "attn_k", keys_}, {&part.v, "attn_v", values_}}, x,
             rows_, width_, buffers_.activations);
    if (!part.v) std::copy(keys_, keys_ + rows_ * k_size_, values_);
}

// Normalizes and rotates queries and keys, and writes keys and values to the cache.
void LayerPass::place(const float* cosines, const float* sines) const {
    const AttentionConfig& part = layer_.attention;
    const std::size_t size = part.head_size;
    const std::size_t half = part.rope < 0 ? 0 : pass_.rotations[part.rope].pairs();
    const bool interleaved = part.rope >= 0 && pass_.rotations[part.rope].interleaved;
    const std::vector<float> ones(part.normed_values ? size : 0, 1.0f);
    for_rows(rows_, pass_.threads, [&](std::size_t first, std::size_t last) {
        for (std::size_t r = first; r < last; ++r) {
            const auto prepare = [&](float* head, Floats weight) {
                if (weight.size() == size) kernels().rms_norm(head, weight.data(), epsilon_, size, head);
                if (half) kernels().rotate(head, cosines + r * half, sines + r * half, 2 * half, interleaved);
            };
            float *queries = queries_ + r * q_pitch_, *keys = keys_ + r * k_pitch_;
            const auto normalize_all = [&](float* heads, Floats weight) {
                if (weight.size() > size)
                    kernels().rms_norm(heads, weight.data(), epsilon_, weight.size(), heads);
            };
            normalize_all(queries, part.q_norm);
            if (!part.shares) normalize_all(keys, part.k_norm);
            for (std::size_t h = 0; h < part.heads; ++h) prepare(queries + h * head_pitch_, part.q_norm);
            if (part.temperature_scale != 0.0) {
                const double step = double(position(r) / part.temperature_length);
                const float factor = float(1.0 + part.temperature_scale * std::log(1.0 + step));
                for (std::size_t h = 0; h < part.heads; ++h)
                    for (std::size_t i = 0; i < size; ++i) queries[h * head_pitch_ + i] *= factor;
            }
            if (part.key_rotation)
                for (std::size_t h = 0; h < part.heads; ++h)
                    kernels().hadamard(queries + h * head_pitch_, size, part.key_rotation);
            if (part.shares) continue;
            for (std::size_t h = 0; h < part.kv_heads; ++h) {
                float* value = values_ + r * v_pitch_ + h * size;
                if (part.normed_values) kernels().rms_norm(value, ones.data(), epsilon_, size, value);
                prepare(keys + h * size, part.k_norm);
            }
            if (part.key_rotation) kernels().hadamard(keys, k_size_, part.key_rotation);
            if (part.value_rotation) kernels().hadamard(values_ + r * v_pitch_, v_size_, part.value_rotation);
            store(r);
        }
    });
}

void LayerPass::store(std::size_t r) const {
    const AttentionConfig& part = layer_.attention;
    const KeyValueCache& cache = cache_of<KeyValueCache>(r / pass_.count);
    const std::size_t slot = position(r) % cache.slots;
    for (std::size_t h = 0; h < part.kv_heads; ++h) {
        const std::size_t first = h * cache.slots;
        kernels().store_row({part.key_type, part.value_type, keys_ + r * k_pitch_ + h * part.head_size,
                             values_ + r * v_pitch_ + h * part.value_size, part.head_size, part.value_size,
                             cache.keys + (first + slot) / key_tile * cache.key_tile_bytes, slot % key_tile,
                             cache.values + (first + slot) * cache.value_row_bytes});
    }
}

// Values were stored in another basis; its rotation is its own inverse.
void LayerPass::rotate_mixed() const {
    const AttentionConfig& part = layer_.attention;
    const std::size_t size = part.heads * part.value_size;
    for_rows(rows_, pass_.threads, [&](std::size_t first, std::size_t last) {
        kernels().hadamard(mixed_ + first * size, (last - first) * size, part.value_rotation);
    });
}

std::size_t LayerPass::position(std::size_t r) const {
    return std::size_t(pass_.starts[r / pass_.count]) + r % pass_.count;
}

// One task: some of the rows of queries that share a head of keys. Row i is position i / shared.
void LayerPass::attend() {
    const AttentionConfig& part = layer_.attention;
    const std::size_t shared = part.heads / part.kv_heads;
    const std::size_t lines = pass_.count * shared, heads = pass_.batch * part.kv_heads;
    const std::size_t longest = position(rows_ - 1) + 1;
    const std::size_t seen = part.window ? std::min(part.window, longest) : longest;
    const bool small = lines * heads * seen * part.head_size < small_attention;
    const int threads = small ? 1 : pass_.threads;
    std::size_t step = kernels().attend_rows;
    if (!small && heads * ((lines + step - 1) / step) < std::size_t(threads))
        step = std::max<std::size_t>(1, lines * heads / threads);
    const std::size_t chunks = (lines + step - 1) / step;
    mixed_ = rows_of(buffers_.mixed, rows_, part.heads * part.value_size);
    parallel_for(heads * chunks, threads, [&](std::size_t task) {
        // Late positions see the most keys: they come first, so that threads finish together.
        const std::size_t chunk = chunks - 1 - task / heads, head = task % heads;
        const std::size_t sequence = head / part.kv_heads, h = head % part.kv_heads;
        const KeyValueCache& cache = cache_of<KeyValueCache>(sequence);
        const AttentionSpan span{cache.keys + h * cache.slots / key_tile * cache.key_tile_bytes,
                                 cache.values + h * cache.slots * cache.value_row_bytes,
                                 part.key_type,
                                 part.value_type,
                                 cache.slots / key_tile,
                                 part.head_size,
                                 part.value_size,
                                 cache.key_tile_bytes,
                                 cache.value_row_bytes,
                                 part.window,
                                 part.scale,
                                 part.softcap};
        attend_lines(span, sequence, h * shared, shared, chunk * step, std::min(lines, (chunk + 1) * step));
    });
}

void LayerPass::attend_lines(const AttentionSpan& span, std::size_t sequence, std::size_t first_head,
                             std::size_t shared, std::size_t first, std::size_t last) const {
    const AttentionConfig& part = layer_.attention;
    constexpr std::size_t max_rows = 64;
    const float* queries[max_rows];
    std::size_t positions[max_rows];
    float* out[max_rows];
    float sinks[max_rows];
    static thread_local std::vector<float> scratch;
    for (std::size_t at = first; at < last; at += max_rows) {
        const std::size_t count = std::min(max_rows, last - at);
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t row = sequence * pass_.count + (at + i) / shared;
            const std::size_t head = first_head + (at + i) % shared;
            queries[i] = queries_ + row * q_pitch_ + head * head_pitch_;
            positions[i] = position(row);
            if (!part.sinks.empty()) sinks[i] = part.sinks[head];
            out[i] = mixed_ + (row * part.heads + head) * part.value_size;
        }
        const std::size_t needed = attend_scratch(kernels(), positions[count - 1], part.head_size);
        if (scratch.size() < needed) scratch.resize(needed * 2);
        kernels().attend(span, queries, positions, part.sinks.empty() ? nullptr : sinks, out, count,
                         scratch.data());
    }
}

// The rows of a head's gate follow those of its query.
void LayerPass::gate_mixed() const {
    const AttentionConfig& part = layer_.attention;
    const std::size_t size = part.head_size;
    for_rows(rows_, pass_.threads, [&](std::size_t first, std::size_t last) {
        for (std::size_t r = first; r < last; ++r)
            for (std::size_t h = 0; h < part.heads; ++h) {
                float* mixed = mixed_ + (r * part.heads + h) * size;
                kernels().gate(Activation::sigmoid, queries_ + r * q_pitch_ + h * head_pitch_ + size, mixed,
                               size, mixed);
            }
    });
}

}  // namespace zeropoint
