// Chooses the float16 scale and minimum of each group. The same operations in the same order as
// src/zeropoint/formats/encoders/group_min.py.
#pragma once
#include "codecs/variants/grid_levels.hpp"
#include "codecs/variants/groups.hpp"

namespace zeropoint {
namespace {

template <int Top, typename Groups, int Size>
class LineSearch {
public:
    explicit LineSearch(const Groups& groups) : groups_(groups) {}

    struct Stored {
        Ints scale, minimum;
    };

    // The stored scales and minimums; `ratio(k)` then returns the value that is rounded to weight k's code.
    Stored run() {
        sum_up();
        saved_ = splat(-1);
        lower_ = upper_ = scale_ = minimum_ = splat(0);
        for (int k = 0; k < 8; ++k) {
            const Floats shrink = splat(float(k) * 0.05f + 0.65f);
            try_range(shrink, shrink);
        }
        for (float step : {0.12f, 0.07f, 0.04f, 0.025f, 0.012f}) {
            const Floats lower = lower_, upper = upper_;
            for (int down = -1; down <= 1; ++down)
                for (int up = -1; up <= 1; ++up)
                    if (down || up)
                        try_range(lower * (1.0f + float(down) * step), upper * (1.0f + float(up) * step));
        }
        for (int refit = 0; refit < 2; ++refit) try_line(scale_, minimum_, lower_, upper_);
        return store();
    }

    ZEROPOINT_INLINE Floats ratio(int k) const {
        return (groups_.weights[k] - stored_minimum_) * stored_inverse_;
    }

private:
    ZEROPOINT_INLINE Floats code(int k) const { return Integers<0, Top>::nearest(ratio(k)); }

    void sum_up() {
        low_ = high_ = groups_.weights[0];
        for (const Floats& weight : groups_.weights) {
            low_ = smaller(weight, low_);
            high_ = larger(weight, high_);
        }
        middle_ = (low_ + high_) * 0.5f;
        half_ = (high_ - low_) * 0.5f;
        importance_ = weights_ = splat(0);
        for (int k = 0; k < Size; ++k) {
            centred_[k] = groups_.weights[k] - middle_;
            importance_ += groups_.cost(k, splat(1));
            weights_ += groups_.cost(k, centred_[k]);
        }
    }

    ZEROPOINT_INLINE void try_range(Floats lower, Floats upper) {
        try_line((half_ * (lower + upper)) * (1.0f / float(Top)), -(half_ * lower), lower, upper);
    }

    // Rounds the groups to codes on a line, fits the line to the codes, and keeps it where the error falls.
    ZEROPOINT_INLINE void try_line(Floats scale, Floats minimum, Floats lower, Floats upper) {
        const Floats inverse_scale = reciprocal(scale);
        Floats total = splat(0), square = splat(0), product = splat(0);
        for (int k = 0; k < Size; ++k) {
            const Floats code = Integers<0, Top>::nearest((centred_[k] - minimum) * inverse_scale);
            const Floats weighted = groups_.cost(k, code);
            total += weighted;
            square += weighted * code;
            product += weighted * centred_[k];
        }
        const Floats mean = divide(total, importance_);
        const Floats c = product - mean * weights_, d = square - mean * total;
        scale = select(d > square * 0x1p-12f, divide(c, d), scale);
        const Floats saved = scale * ((c + c) - scale * d);
        const Ints better = saved > saved_;
        saved_ = select(better, saved, saved_);
        lower_ = select(better, lower, lower_);
        upper_ = select(better, upper, upper_);
        scale_ = select(better, scale, scale_);
        minimum_ = select(better, (weights_ - scale * total) / importance_, minimum_);
    }

    // Rounds to float16; the error decides between candidates.
    Stored store() {
        const Ints kept = groups_.stored(scale_), nearest = groups_.stored(minimum_ + middle_);
        least_ = splat(0);
        is_first_ = true;
        for (const Ints minimum : {nearest, lower_f16(nearest), upper_f16(nearest)}) {
            consider({kept, minimum});
            const Ints refitted = refit({kept, minimum});
            for (const Ints scale : {refitted, lower_f16(refitted), upper_f16(refitted)})
                consider({scale, minimum});
        }
        consider({groups_.stored((high_ - low_) / float(Top)), groups_.stored(low_)});
        keep_if_better(best_);
        return best_;
    }

    void consider(const Stored& candidate) {
        keep_if_better(candidate);
        const Floats error = groups_.error([&](int k) { return stored_scale_ * code(k) + stored_minimum_; });
        const Ints better = is_first_ ? splat_int(-1) : error < least_;
        is_first_ = false;
        best_.scale = better ? candidate.scale : best_.scale;
        best_.minimum = better ? candidate.minimum : best_.minimum;
        least_ = select(better, error, least_);
    }

    void keep_if_better(const Stored& stored) {
        stored_scale_ = groups_.in_units(stored.scale);
        stored_inverse_ = reciprocal(stored_scale_);
        stored_minimum_ = groups_.in_units(stored.minimum);
    }

    // The stored scale that best fits the codes under a stored scale and minimum.
    Ints refit(const Stored& stored) {
        keep_if_better(stored);
        Floats square = splat(0), product = splat(0);
        for (int k = 0; k < Size; ++k) {
            const Floats code_k = code(k), weighted = groups_.cost(k, code_k);
            square += weighted * code_k;
            product += weighted * (groups_.weights[k] - stored_minimum_);
        }
        const Ints fitted = groups_.stored(divide(product, square));
        return square > 0.0f ? fitted : stored.scale;
    }

    const Groups& groups_;
    Floats centred_[Size];
    Floats low_, high_, middle_, half_, importance_, weights_;
    Floats saved_, lower_, upper_, scale_, minimum_;
    Floats stored_scale_, stored_inverse_, stored_minimum_, least_;
    Stored best_;
    bool is_first_;
};

}  // namespace
}  // namespace zeropoint
