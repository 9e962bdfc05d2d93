// The reduction of two rows of logits to what `metrics` keeps of a position, in float64.
#pragma once
#include <cstddef>
#include <cstdint>

namespace zeropoint {

constexpr std::size_t compare_top = 10;  // how many of the most likely tokens are kept

struct Comparison {
    double kl;              // KL(reference ‖ quant), nats
    double nll_reference;   // −log p(target), nats
    double nll_quant;
    std::int32_t top_reference[compare_top];  // most likely first; ties by lower id; −1 beyond the vocabulary
    std::int32_t top_quant[compare_top];
    float logp_reference[compare_top];        // log p of them, each under its own model
    float logp_quant[compare_top];
    std::int64_t not_finite;  // index of the first logit of either row that is NaN or infinite, else −1
};

#define ZEROPOINT_COMPARE_API                                                          \
    void compare_logits(const float* reference, const float* quant, std::size_t vocab, \
                        std::int32_t target, Comparison& out);
namespace baseline { ZEROPOINT_COMPARE_API }
#ifdef ZEROPOINT_HAS_avx2
namespace avx2 { ZEROPOINT_COMPARE_API }
#endif
#ifdef ZEROPOINT_HAS_avx512
namespace avx512 { ZEROPOINT_COMPARE_API }
#endif

}  // namespace zeropoint
