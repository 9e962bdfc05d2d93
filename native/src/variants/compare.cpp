// KL, log-likelihoods and top tokens of one position, from two rows of logits.
//
// With a, b the logits, m their maxima and E = Σ exp(a − m):
//
//     KL(a ‖ b) = Σ exp(a − m_a) (a − b) / E_a + (m_b + log E_b) − (m_a + log E_a)
//
// so that equal rows give exactly 0 and one pass with two exponentials per token suffices. Sums run in
// eight float64 lanes (token i goes to lane i mod 8) that are added as a fixed tree at the end: the same
// bits on every instruction set. exp is our own: libm's would be a call per token, which alone would
// cost as much as the model does for a vocabulary of 262,144.
#include "zeropoint/compare.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

constexpr std::size_t lanes = 8;
typedef double f64 __attribute__((vector_size(lanes * 8)));
typedef std::int64_t i64 __attribute__((vector_size(lanes * 8)));

inline f64 splat(double x) { return f64{x, x, x, x, x, x, x, x}; }

// exp(x) for x ≤ 0, relative error below 2^-51; 0 below −708 (where the result would be subnormal).
// x = n·ln 2 + r with |r| ≤ ln 2 / 2; exp(r) by its series to r^13 / 13! (the next term is < 2^-57).
inline f64 exp_negative(f64 x) {
    constexpr double shift = 0x1.8p52;  // adding it rounds to an integer, kept in the low bits
    const f64 shifted = x * splat(1.4426950408889634) + splat(shift);
    const f64 n = shifted - splat(shift);
    const f64 r = (x - n * splat(0x1.62e42feep-1)) - n * splat(0x1.a39ef35793c76p-33);
    f64 sum = splat(1.0 / 6227020800.0);
    constexpr double inverse_factorials[] = {1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880,
                                             1.0 / 40320,     1.0 / 5040,     1.0 / 720,     1.0 / 120,
                                             1.0 / 24,        1.0 / 6,        1.0 / 2,       1.0,
                                             1.0};
    for (double coefficient : inverse_factorials) sum = sum * r + splat(coefficient);
    const i64 exponent = std::bit_cast<i64>(shifted) << 52;
    const f64 result = std::bit_cast<f64>(std::bit_cast<i64>(sum) + exponent);
    const i64 keep = x >= splat(-708.0);
    return std::bit_cast<f64>(std::bit_cast<i64>(result) & keep);
}

inline double tree(f64 v) {
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

inline f64 load(const float* row) {
    typedef float f32 __attribute__((vector_size(lanes * 4)));
    f32 values;
    std::memcpy(&values, row, sizeof values);
    return __builtin_convertvector(values, f64);
}

// The largest logits, sorted, ties by lower id. A chunk whose maximum is not above the smallest kept is
// skipped, which after the first few thousand tokens is nearly all of them.
void top_tokens(const float* row, std::size_t vocab, std::int32_t* ids, float* values) {
    std::size_t kept = 0;
    constexpr std::size_t chunk = 64;
    for (std::size_t start = 0; start < vocab; start += chunk) {
        const std::size_t stop = std::min(start + chunk, vocab);
        if (kept == compare_top) {
            const float smallest = values[compare_top - 1];
            int any = 0;
            for (std::size_t i = start; i < stop; ++i) any |= row[i] > smallest;
            if (!any) continue;
        }
        for (std::size_t i = start; i < stop; ++i) {
            if (kept == compare_top && !(row[i] > values[compare_top - 1])) continue;
            std::size_t at = kept < compare_top ? kept++ : compare_top - 1;
            for (; at > 0 && row[i] > values[at - 1]; --at) {
                values[at] = values[at - 1];
                ids[at] = ids[at - 1];
            }
            values[at] = row[i];
            ids[at] = std::int32_t(i);
        }
    }
    for (; kept < compare_top; ++kept) {
        ids[kept] = -1;
        values[kept] = -std::numeric_limits<float>::infinity();
    }
}

std::int64_t first_not_finite(const float* a, const float* b, std::size_t vocab) {
    const auto bad = [](float x) { return (std::bit_cast<std::uint32_t>(x) & 0x7f800000u) == 0x7f800000u; };
    int any = 0;
    for (std::size_t i = 0; i < vocab; ++i) any |= int(bad(a[i])) | int(bad(b[i]));
    if (!any) return -1;
    std::size_t i = 0;
    while (!bad(a[i]) && !bad(b[i])) ++i;
    return std::int64_t(i);
}

}  // namespace

void compare_logits(const float* reference, const float* quant, std::size_t vocab, std::int32_t target,
                    Comparison& out) {
    out.not_finite = first_not_finite(reference, quant, vocab);
    if (out.not_finite >= 0) return;
    top_tokens(reference, vocab, out.top_reference, out.logp_reference);
    top_tokens(quant, vocab, out.top_quant, out.logp_quant);
    const double max_a = out.logp_reference[0], max_b = out.logp_quant[0];  // still logits here

    f64 sum_a = splat(0), sum_b = splat(0), weighted = splat(0);
    const auto add = [&](f64 a, f64 b) {
        const f64 exp_a = exp_negative(a - splat(max_a));
        sum_a += exp_a;
        sum_b += exp_negative(b - splat(max_b));
        weighted += exp_a * (a - b);
    };
    std::size_t i = 0;
    for (; i + lanes <= vocab; i += lanes) add(load(reference + i), load(quant + i));
    if (i < vocab) {  // the tail: absent tokens have probability 0 on both sides
        float a[lanes], b[lanes];
        for (std::size_t k = 0; k < lanes; ++k) {
            a[k] = i + k < vocab ? reference[i + k] : float(max_a) - 1e30f;
            b[k] = i + k < vocab ? quant[i + k] : float(max_b) - 1e30f;
        }
        add(load(a), load(b));
    }
    const double total_a = tree(sum_a);
    const double log_a = max_a + std::log(total_a), log_b = max_b + std::log(tree(sum_b));
    out.kl = tree(weighted) / total_a + (log_b - log_a);
    out.nll_reference = log_a - double(reference[target]);
    out.nll_quant = log_b - double(quant[target]);
    for (std::size_t k = 0; k < compare_top; ++k) {
        out.logp_reference[k] = float(double(out.logp_reference[k]) - log_a);
        out.logp_quant[k] = float(double(out.logp_quant[k]) - log_b);
    }
}

}  // namespace zeropoint::ZEROPOINT_VARIANT
