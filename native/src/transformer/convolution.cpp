// A short causal convolution of each channel over the rows of each sequence.
#include <cstring>

#include "transformer/layer_pass.hpp"

namespace zeropoint {

// inputs (rows, channels), weights (kernel, channels); the cache keeps the last inputs of each sequence.
void LayerPass::convolve(const float* inputs, Floats weights, std::size_t kernel, std::size_t channels,
                         float* out) const {
    const std::size_t before = kernel - 1, size = before * channels;
    const auto cache = [&](std::size_t sequence) { return cache_of<RecurrentCache>(sequence).convolution; };
    for (std::size_t s = 0; s < pass_.batch; ++s)
        if (pass_.starts[s] == 0) std::fill_n(cache(s), size, 0.0f);
    // Input `at` of a sequence; those before the pass are negative.
    const auto input = [&](std::size_t sequence, std::ptrdiff_t at) {
        return at < 0 ? cache(sequence) + (std::ptrdiff_t(before) + at) * std::ptrdiff_t(channels)
                      : inputs + (sequence * pass_.count + std::size_t(at)) * channels;
    };
    for_rows(rows_, pass_.threads, [&](std::size_t first, std::size_t last) {
        std::vector<const float*> taps(kernel);
        for (std::size_t r = first; r < last; ++r) {
            const std::ptrdiff_t at = std::ptrdiff_t(r % pass_.count) - std::ptrdiff_t(before);
            for (std::size_t t = 0; t < kernel; ++t) taps[t] = input(r / pass_.count, at + std::ptrdiff_t(t));
            kernels().convolve(taps.data(), weights.data(), kernel, channels, out + r * channels);
        }
    });
    for (std::size_t s = 0; s < pass_.batch; ++s)
        for (std::size_t t = 0; t < before; ++t) {  // in order: a later input may be an earlier slot's source
            const std::ptrdiff_t at = std::ptrdiff_t(pass_.count) - std::ptrdiff_t(before - t);
            std::memmove(cache(s) + t * channels, input(s, at), channels * sizeof(float));
        }
}

}  // namespace zeropoint
