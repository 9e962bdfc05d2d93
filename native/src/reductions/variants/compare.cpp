// KL, log-likelihoods and top tokens of one position, from two rows of logits.
//
// With a, b the logits, m their maxima and E = Σ exp(a − m):
//
//     KL(a ‖ b) = Σ exp(a − m_a) (a − b) / E_a + (m_b + log E_b) − (m_a + log E_a)
//
// so that equal rows give exactly 0 and one pass with two exponentials per token suffices. The vocabulary is
// read in blocks of 1024 tokens; m is the largest logit up to the block's end, and when m grows the
// sums so far are scaled by exp(old m − new m). Sums run in eight float64 lanes (token i goes to lane
// i mod 8) that are added as a fixed tree at the end: the same bits on every instruction set, however
// the vocabulary is cut. exp is implemented here: libm's needs a call per token, which alone would cost as
// much as the model does for a vocabulary of 262,144.
#include "reductions/compare.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

constexpr std::size_t lanes = compare_lanes;
typedef double f64 __attribute__((vector_size(lanes * 8)));
typedef std::int64_t i64 __attribute__((vector_size(lanes * 8)));
typedef std::uint64_t u64 __attribute__((vector_size(lanes * 8)));

inline f64 splat(double x) { return f64{x, x, x, x, x, x, x, x}; }

// exp(x) for x ≤ 0, relative error below 2^-51; 0 below −708 (where the result would be subnormal).
// x = n·ln 2 + r with |r| ≤ ln 2 / 2; exp(r) by its series to r^13 / 13! (the next term is < 2^-57).
inline f64 exp_negative(f64 x) {
    constexpr double shift = 0x1.8p52;  // adding it rounds to an integer, kept in the low bits
    const f64 shifted = x * splat(1.4426950408889634) + splat(shift);
    const f64 n = shifted - splat(shift);
    const f64 r = (x - n * splat(0x1.62e42feep-1)) - n * splat(0x1.a39ef35793c76p-33);
    f64 sum = splat(1.0 / 6227020800.0);
    constexpr double inverse_factorials[] = {
        1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720,
        1.0 / 120,       1.0 / 24,       1.0 / 6,       1.0 / 2,      1.0,         1.0};
    for (double coefficient : inverse_factorials) sum = sum * r + splat(coefficient);
    const u64 exponent = std::bit_cast<u64>(shifted) << 52;  // the sum below wraps where x is below −708
    const f64 result = std::bit_cast<f64>(std::bit_cast<u64>(sum) + exponent);
    const i64 keep = x >= splat(-708.0);
    return std::bit_cast<f64>(std::bit_cast<i64>(result) & keep);
}

inline double tree(f64 v) { return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7])); }

inline f64 load(const float* row) {
    typedef float f32 __attribute__((vector_size(lanes * 4)));
    f32 values;
    std::memcpy(&values, row, sizeof values);
    return __builtin_convertvector(values, f64);
}

inline f64 load(const double* from) {
    f64 value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

inline void store(double* to, f64 value) { std::memcpy(to, &value, sizeof value); }

// Keeps the largest logits, sorted, ties by lower id; `first` is the id of row[0]. Runs of
// logits whose maximum is not above the smallest stored one are skipped: nearly all of them after the first
// few thousand tokens.
void keep_largest(const float* row, std::size_t first, std::size_t count, Comparison::Side& side) {
    constexpr std::size_t stretch = 64;
    for (std::size_t start = 0; start < count; start += stretch) {
        const std::size_t stop = std::min(start + stretch, count);
        if (side.kept == compare_top) {
            const float smallest = side.logits[compare_top - 1];
            int any = 0;
            for (std::size_t i = start; i < stop; ++i) any |= row[i] > smallest;
            if (!any) continue;
        }
        for (std::size_t i = start; i < stop; ++i) {
            if (side.kept == compare_top && !(row[i] > side.logits[compare_top - 1])) continue;
            std::size_t at = side.kept < compare_top ? side.kept++ : compare_top - 1;
            for (; at > 0 && row[i] > side.logits[at - 1]; --at) {
                side.logits[at] = side.logits[at - 1];
                side.ids[at] = side.ids[at - 1];
            }
            side.logits[at] = row[i];
            side.ids[at] = std::int32_t(first + i);
        }
    }
}

std::int64_t first_not_finite(const float* a, const float* b, std::size_t count) {
    const auto bad = [](float x) { return (std::bit_cast<std::uint32_t>(x) & 0x7f800000u) == 0x7f800000u; };
    int any = 0;
    for (std::size_t i = 0; i < count; ++i) any |= int(bad(a[i])) | int(bad(b[i]));
    if (!any) return -1;
    std::size_t i = 0;
    while (!bad(a[i]) && !bad(b[i])) ++i;
    return std::int64_t(i);
}

// The largest logit including this block, and the factor that rescales the sums so far to it.
double raise(Comparison::Side& side, const float* row, std::size_t first, std::size_t count, f64& scale) {
    const double before = side.kept ? side.logits[0] : -std::numeric_limits<double>::infinity();
    keep_largest(row, first, count, side);
    const double after = side.logits[0];
    scale = after > before ? exp_negative(splat(before - after)) : splat(1);
    return after;
}

void add_block(const float* a, const float* b, std::size_t first, std::size_t count, Comparison& state) {
    f64 scale_a, scale_b;
    const double max_a = raise(state.reference, a, first, count, scale_a);
    const double max_b = raise(state.quant, b, first, count, scale_b);
    f64 sum_a = load(state.reference.sums) * scale_a, sum_b = load(state.quant.sums) * scale_b;
    f64 weighted = load(state.weighted) * scale_a;
    const auto add = [&](f64 x, f64 y) {
        const f64 exp_x = exp_negative(x - splat(max_a));
        sum_a += exp_x;
        sum_b += exp_negative(y - splat(max_b));
        weighted += exp_x * (x - y);
    };
    std::size_t i = 0;
    for (; i + lanes <= count; i += lanes) add(load(a + i), load(b + i));
    if (i < count) {  // the tail: absent tokens have probability 0 on both sides
        float x[lanes], y[lanes];
        for (std::size_t k = 0; k < lanes; ++k) {
            x[k] = i + k < count ? a[i + k] : float(max_a) - 1e30f;
            y[k] = i + k < count ? b[i + k] : float(max_b) - 1e30f;
        }
        add(load(x), load(y));
    }
    store(state.reference.sums, sum_a);
    store(state.quant.sums, sum_b);
    store(state.weighted, weighted);
}

}  // namespace

void compare_add(const float* reference, const float* quant, std::size_t first, std::size_t count,
                 std::int32_t target, Comparison& state) {
    if (state.not_finite) return;
    if (std::size_t(target) - first < count) {
        state.reference.target = reference[std::size_t(target) - first];
        state.quant.target = quant[std::size_t(target) - first];
    }
    for (std::size_t at = 0; at < count; at += compare_block) {
        const std::size_t here = std::min(compare_block, count - at);
        const std::int64_t bad = first_not_finite(reference + at, quant + at, here);
        if (bad >= 0) {
            state.not_finite = std::int64_t(first + at) + bad + 1;
            return;
        }
        add_block(reference + at, quant + at, first + at, here, state);
    }
}

Compared compare_finish(const Comparison& state) {
    const double total = tree(load(state.reference.sums));
    const double log_a = double(state.reference.logits[0]) + std::log(total);
    const double log_b = double(state.quant.logits[0]) + std::log(tree(load(state.quant.sums)));
    Compared out{};
    out.kl = tree(load(state.weighted)) / total + (log_b - log_a);
    out.nll_reference = log_a - state.reference.target;
    out.nll_quant = log_b - state.quant.target;
    for (const int s : {0, 1}) {
        const Comparison::Side& side = s ? state.quant : state.reference;
        for (std::size_t k = 0; k < compare_top; ++k) {
            out.ids[s][k] = k < side.kept ? side.ids[k] : -1;
            out.logp[s][k] = k < side.kept ? float(double(side.logits[k]) - (s ? log_b : log_a))
                                           : -std::numeric_limits<float>::infinity();
        }
    }
    return out;
}

}  // namespace zeropoint::ZEROPOINT_VARIANT
