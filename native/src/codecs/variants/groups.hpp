// Groups of weights, one per lane, as the encoders load them, and the float16 scales that the encoders
// store. The same operations in the same order as src/zeropoint/formats/encoders/group_math.py.
#pragma once
#include <algorithm>

#include "codecs/variants/blocks.hpp"
#include "codecs/codec.hpp"
#include "codecs/variants/half.hpp"
#include "simd/block_vectors.hpp"

namespace zeropoint {
namespace {

ZEROPOINT_INLINE Floats divide(Floats dividend, Floats divisor) {
    return select(divisor != 0.0f, dividend / divisor, splat(0));
}
// 1 / scale, or 0 if the scale is so small compared with the group's peak that it may be 0.
ZEROPOINT_INLINE Floats reciprocal(Floats scale) {
    return select(absolute(scale) >= 0x1p-120f, 1.0f / scale, splat(0));
}
ZEROPOINT_INLINE Floats power_of_two(Ints exponent) { return bits_to_floats((exponent + 127) << 23); }

// e with largest / 2^e in [1/2, 1), within -125 ... 126.
ZEROPOINT_INLINE Ints exponent_of(Floats largest) {
    Ints exponent = (floats_to_bits(largest) >> 23) - 126;
    exponent = exponent < -125 ? splat_int(-125) : exponent;
    return exponent > 126 ? splat_int(126) : exponent;
}

ZEROPOINT_INLINE Floats from_f16(Ints bits) {
#if defined(ZEROPOINT_AVX512)
    return (Floats)_mm512_maskz_cvtph_ps(0xffff, _mm512_maskz_cvtepi32_epi16(0xffff, (__m512i)bits));
#elif defined(__AVX2__)
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32((__m256i)bits, (__m256i)bits), 8);
    return (Floats)_mm256_cvtph_ps(_mm256_castsi256_si128(packed));
#else
    Floats values = splat(0);
    for (int i = 0; i < lanes; ++i) values[i] = half_to_float(u16(bits[i]));
    return values;
#endif
}

ZEROPOINT_INLINE Ints to_f16(Floats values) {
    values = clamp(values, -65504.0f, 65504.0f);
#if defined(ZEROPOINT_AVX512)
    return (Ints)_mm512_maskz_cvtepu16_epi32(0xffff, _mm512_maskz_cvtps_ph(0xffff, (__m512)values, 0));
#elif defined(__AVX2__)
    return (Ints)_mm256_cvtepu16_epi32(_mm256_cvtps_ph((__m256)values, 0));
#else
    Ints bits = splat_int(0);
    for (int i = 0; i < lanes; ++i) bits[i] = float_to_half(values[i]);
    return bits;
#endif
}

// The neighbours of the float16 values `bits`: towards zero, and away from zero if finite.
ZEROPOINT_INLINE Ints lower_f16(Ints bits) { return bits + ((bits & 0x7fff) > 0); }
ZEROPOINT_INLINE Ints upper_f16(Ints bits) { return bits - ((bits & 0x7fff) < 0x7bff); }

template <int Size, bool Weighted>
struct Groups {
    Floats weights[Size];
    Floats importance[Weighted ? Size : 1];
    Floats products[Weighted ? Size : 1];  // importance · weight
    Floats peak, unit, inverse_unit;
    Ints exponent;

    // Loads groups [first, first + count), count <= lanes. The remaining lanes repeat the last group.
    void load_groups(const Source& source, std::size_t groups_per_row, std::size_t first, std::size_t count) {
        const float *rows[lanes], *costs[lanes];
        for (std::size_t i = 0; i < lanes; ++i) {
            const std::size_t group = first + std::min(i, count - 1);
            rows[i] = source.weights + group * Size;
            if constexpr (Weighted) costs[i] = source.importance + group % groups_per_row * Size;
        }
        load_columns(rows, weights);
        scale_weights();
        if constexpr (Weighted) {
            load_columns(costs, importance);
            scale_importance();
            for (int k = 0; k < Size; ++k) products[k] = importance[k] * weights[k];
        }
    }

    // h · value, and h · w · value, where without importance h is one.
    ZEROPOINT_INLINE Floats cost(int k, Floats value) const {
        if constexpr (Weighted) return importance[k] * value;
        return value;
    }
    ZEROPOINT_INLINE Floats product(int k) const {
        if constexpr (Weighted) return products[k];
        return weights[k];
    }

    // Sum of importance · (w − decoded(k))².
    template <typename Decoded>
    ZEROPOINT_INLINE Floats error(Decoded decoded) const {
        Floats sum = splat(0);
        for (int k = 0; k < Size; ++k) {
            const Floats residual = weights[k] - decoded(k);
            sum += cost(k, residual) * residual;
        }
        return sum;
    }

    ZEROPOINT_INLINE Ints stored(Floats values) const { return to_f16(values * unit); }
    ZEROPOINT_INLINE Floats in_units(Ints bits) const { return from_f16(bits) * inverse_unit; }

private:
    void scale_weights() {
        Floats largest = splat(0);
        peak = weights[0];
        for (const Floats& weight : weights) {
            const Floats magnitude = absolute(weight);
            peak = select(magnitude > largest, weight, peak);
            largest = larger(magnitude, largest);
        }
        exponent = exponent_of(largest);
        unit = power_of_two(exponent);
        inverse_unit = power_of_two(-exponent);
        for (Floats& weight : weights) weight *= inverse_unit;
        peak *= inverse_unit;
    }

    void scale_importance() {
        Floats largest = splat(0);
        for (const Floats& cost : importance) largest = larger(cost, largest);
        const Ints some = largest > 0.0f;
        const Floats shrink = power_of_two(-exponent_of(select(some, largest, splat(1))));
        for (Floats& cost : importance) cost = select(some, cost, splat(1)) * shrink;
    }
};

// Calls encode(groups, first, count) for all groups, as many at a time as a vector has lanes.
template <int Size, typename Encode>
ZEROPOINT_INLINE void for_each_tile(const Source& source, std::size_t groups_per_block, std::size_t first,
                                    std::size_t count, Encode encode) {
    const std::size_t groups_per_row = source.blocks_per_row * groups_per_block;
    const std::size_t end = (first + count) * groups_per_block;
    const auto run = [&](auto& groups) {
        for (std::size_t group = first * groups_per_block; group < end; group += lanes) {
            const std::size_t count_here = std::min<std::size_t>(lanes, end - group);
            groups.load_groups(source, groups_per_row, group, count_here);
            encode(groups, group, count_here);
        }
    };
    if (source.importance) {
        Groups<Size, true> groups;
        run(groups);
    } else {
        Groups<Size, false> groups;
        run(groups);
    }
}

}  // namespace
}  // namespace zeropoint
