// Chooses the float16 scale of each group. The same operations in the same order as
// src/zeropoint/formats/encoders/group_scale.py.
#pragma once
#include "codecs/variants/grid_levels.hpp"
#include "codecs/variants/groups.hpp"

namespace zeropoint {
namespace {

// The scales to try; the same fields and values as in the specification.
struct Scales {
    float ends[2];
    int ends_count;
    double first, ratio;
    int count;
    float tail;
    int tail_count;
    bool is_signed;
};

template <typename Levels, typename Groups, int Size>
class ScaleSearch {
public:
    explicit ScaleSearch(const Groups& groups) : groups_(groups) {}

    // The stored scales; `ratio(k)` is then weight k's ratio to its scale.
    Ints run(const Scales& scales) {
        const Floats peak = scales.is_signed ? groups_.peak : absolute(groups_.peak);
        const Floats over_peak = reciprocal(peak);
        saved_ = inverse_ = scale_ = splat(0);
        for (int i = 0; i < scales.ends_count; ++i) {
            improve_many(scales.ends[i], float(scales.first), float(scales.ratio), scales.count, over_peak);
            improve_many(scales.ends[i], scales.tail, 1.8f, scales.tail_count, over_peak);
        }
        const Floats centre = inverse_;
        const float step = float((scales.ratio - 1) / 5);
        for (float fine : {-4.0f, -3.0f, -2.0f, -1.0f, 1.0f, 2.0f, 3.0f, 4.0f})
            improve(centre * (1.0f + fine * step));
        for (int refit = 0; refit < 2; ++refit) improve(reciprocal(scale_));
        return store(divide(peak, splat(scales.ends[0])));
    }

    ZEROPOINT_INLINE Floats ratio(int k) const { return groups_.weights[k] * inverse_; }

private:
    void improve_many(float end, float factor, float ratio, int count, Floats over_peak) {
        for (int i = 0; i < count; ++i, factor *= ratio) improve(over_peak * (end * factor));
    }

    // Rounds the groups to levels at `inverse`, and keeps the fitted scale where the error falls.
    ZEROPOINT_INLINE void improve(Floats inverse) {
        Floats product = splat(0), square = splat(0);
        for (int k = 0; k < Size; ++k) {
            const Floats level = Levels::nearest(groups_.weights[k] * inverse);
            product += groups_.product(k) * level;
            square += groups_.cost(k, level) * level;
        }
        const Floats scale = divide(product, square), saved = scale * product;
        const Ints better = saved > saved_;
        saved_ = select(better, saved, saved_);
        inverse_ = select(better, inverse, inverse_);
        scale_ = select(better, scale, scale_);
    }

    // Rounds to float16; the error decides between candidates.
    Ints store(Floats plain) {
        const Ints nearest = groups_.stored(scale_);
        const Ints candidates[] = {nearest, lower_f16(nearest), upper_f16(nearest), groups_.stored(plain)};
        Floats best_error = splat(0);
        Ints bits = nearest;
        for (const Ints& candidate : candidates) {
            const Floats scale = groups_.in_units(candidate);
            inverse_ = reciprocal(scale);
            const Floats error = groups_.error([&](int k) { return scale * Levels::nearest(ratio(k)); });
            const Ints better = &candidate == candidates ? splat_int(-1) : error < best_error;
            bits = better ? candidate : bits;
            best_error = select(better, error, best_error);
        }
        inverse_ = reciprocal(groups_.in_units(bits));
        return bits;
    }

    const Groups& groups_;
    Floats saved_, inverse_, scale_;
};

}  // namespace
}  // namespace zeropoint
