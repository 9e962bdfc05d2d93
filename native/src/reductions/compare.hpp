// Reduces two rows of logits, in float64, to the figures that src/zeropoint/metrics stores for a position.
//
// The vocabulary comes in parts, in order, so that logits are reduced while they are in cache. A Comparison
// is the state after some of the parts.
#pragma once
#include <cstddef>
#include <cstdint>

namespace zeropoint {

constexpr std::size_t compare_top = 10;     // number of most likely tokens that are stored
constexpr std::size_t compare_block = 1024;  // tokens; parts begin at multiples of it
constexpr std::size_t compare_lanes = 8;

struct Comparison {
    // One model: most likely tokens first, ties by lower id, and Σ exp(logit − the largest one's).
    struct Side {
        std::size_t kept;
        std::int32_t ids[compare_top];
        float logits[compare_top];
        double sums[compare_lanes];
        double target;  // the logit of the text's own token
    } reference, quant;
    double weighted[compare_lanes];  // Σ exp(a − max a) (a − b)
    std::int64_t not_finite;  // 1 + the first token with a logit that is NaN or infinite; 0: none
};

struct Compared {
    double kl;             // KL(reference ‖ quant), nats
    double nll_reference;  // −log p(target), nats
    double nll_quant;
    std::int32_t ids[2][compare_top];  // −1 beyond the vocabulary
    float logp[2][compare_top];        // log p of them, each under its own model
};

// `state` starts as zeros. `compare_add` adds `count` logits of each model, from token `first` on.
#define ZEROPOINT_COMPARE_API                                                                          \
    void compare_add(const float* reference, const float* quant, std::size_t first, std::size_t count, \
                     std::int32_t target, Comparison& state);                                          \
    Compared compare_finish(const Comparison& state);
namespace baseline {
ZEROPOINT_COMPARE_API
}
#ifdef ZEROPOINT_HAS_avx2
namespace avx2 {
ZEROPOINT_COMPARE_API
}
#endif
#ifdef ZEROPOINT_HAS_avx512
namespace avx512 {
ZEROPOINT_COMPARE_API
}
#endif

}  // namespace zeropoint
