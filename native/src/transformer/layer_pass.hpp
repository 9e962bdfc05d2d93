// The steps of one layer in one pass; private to the transformer's sources.
#pragma once
#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <vector>

#include "runtime/pool.hpp"
#include "transformer/transformer.hpp"

namespace zeropoint {

const StepKernels& kernels();  // of the active variant

constexpr std::size_t rows_per_task = 8;

// task(first, last) over ranges of rows.
template <typename Task>
void for_rows(std::size_t rows, int threads, const Task& task) {
    parallel_for((rows + rows_per_task - 1) / rows_per_task, threads, [&](std::size_t index) {
        const std::size_t first = index * rows_per_task;
        task(first, std::min(first + rows_per_task, rows));
    });
}

inline float* rows_of(Buffer& buffer, std::size_t rows, std::size_t columns) {
    buffer.reserve(rows * columns * sizeof(float));
    return buffer.as<float>();
}

inline float softplus(float x) { return x > 20.0f ? x : std::log1p(std::exp(x)); }

class LayerPass {
public:
    LayerPass(const LayerConfig& layer, std::size_t index, std::size_t width, float epsilon, const Pass& pass,
              LayerBuffers& buffers)
        : layer_(layer), index_(index), width_(width), rows_(pass.batch * pass.count), epsilon_(epsilon),
          pass_(pass), buffers_(buffers) {}

    void run(const float* cosines, const float* sines);

private:
    // The state of this layer for one sequence of the pass.
    template <typename Cache>
    const Cache& cache_of(std::size_t sequence) const {
        return std::get<Cache>(pass_.caches[index_ * pass_.batch + sequence]);
    }

    struct Output {
        const Linear* linear;
        const char* role;
        float* out;
    };
    struct Choice {
        std::size_t row, place;  // which of the row's experts this one is
        float share;
    };

    struct HeadStates {
        std::size_t heads, groups;  // the heads of a group share queries and keys
        std::size_t rows, columns;  // of a head's state
        std::size_t stride;
        bool tiled;  // head h belongs to group h % groups; otherwise neighbours share one
        bool corrects;
    };

    // transformer.cpp
    void norm(const float* x, Floats weight, float* out) const;
    void multiply(std::initializer_list<Output> outputs, const float* x, std::size_t count,
                  std::size_t columns, Activations& activations, int expert = -1) const;
    static void finish(const Linear& linear, float* out, std::size_t count);
    const float* normed(Floats weight);
    void add_input();
    void finish_part(float* out, Floats weight) const;
    float* dense(const DenseConfig& part, const char* const (&roles)[3], const float* x);
    void activate(const float* gates, const float* ups, std::size_t count, std::size_t size,
                  std::size_t pitch, float* inner) const;

    // attention.cpp
    void attention(const float* cosines, const float* sines);
    void project();
    void place(const float* cosines, const float* sines) const;
    void store(std::size_t row) const;
    std::size_t position(std::size_t row) const;
    void attend();
    void gate_mixed() const;
    void rotate_mixed() const;
    void attend_lines(const AttentionSpan& span, std::size_t sequence, std::size_t first_head,
                      std::size_t shared, std::size_t first, std::size_t last) const;

    // delta_net.cpp
    void delta_net();
    void gate_rates(const float* x, float* rates, float* decays) const;
    void prepare_heads(float* qkv) const;

    // head_states.cpp
    void advance_states(const HeadStates& part, const float* queries, const float* keys, const float* values,
                        const float* rates, const float* decays, float* out) const;

    // mamba2.cpp
    void mamba2();
    void split_joined(const float* joined, float* inputs, float* times, float* decays) const;
    void gate_groups(const float* joined, const float* line) const;

    // short_convolution.cpp
    void short_convolution();

    // convolution.cpp
    void convolve(const float* inputs, Floats weights, std::size_t kernel, std::size_t channels,
                  float* out) const;

    // mixture.cpp
    std::vector<std::vector<Choice>> route(const float* scores) const;
    void add_shared(const float* x, float* out);
    void add_dense(float* out);
    void mixture();
    void run_expert(std::size_t expert, const std::vector<Choice>& choices, const float* x, float* parts);

    const LayerConfig& layer_;
    const std::size_t index_, width_, rows_;
    const float epsilon_;
    const Pass& pass_;
    LayerBuffers& buffers_;
    // Of attention.
    std::size_t q_size_ = 0, k_size_ = 0, v_size_ = 0, q_pitch_ = 0, k_pitch_ = 0, v_pitch_ = 0,
                head_pitch_ = 0;
    float *queries_ = nullptr, *keys_ = nullptr, *values_ = nullptr, *mixed_ = nullptr;
};

}  // namespace zeropoint
