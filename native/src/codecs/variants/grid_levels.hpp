// The levels that codes stand for, as in src/zeropoint/formats/levels.py. For a ratio of weight to scale,
// `nearest` returns the nearest level and `code` the code that is stored for it.
#pragma once
#include "simd/block_vectors.hpp"
#include "codecs/variants/levels.hpp"

namespace zeropoint {
namespace {

template <int Low, int High>
struct Integers {
    static constexpr int low = Low;
    // A ratio of smaller magnitude rounds to one of the integers without clamping.
    static constexpr float half_width = float(High < -Low ? High : -Low) + 0.5f;
    static ZEROPOINT_INLINE Floats nearest(Floats ratio) {
        return round_even(clamp(ratio, float(Low), float(High)));
    }
    static ZEROPOINT_INLINE Ints code(Floats ratio) {
        return __builtin_convertvector(nearest(ratio), Ints) - Low;
    }
};

struct Iq4 {
    static constexpr int low = iq4_levels[0];
    static constexpr float half_width = 0;  // no ratio rounds to an integer
    static constexpr float middle(int i) { return float(iq4_levels[i] + iq4_levels[i + 1]) / 2; }

    static ZEROPOINT_INLINE Floats nearest(Floats ratio) {
        static constexpr float even[8] = {-127, -83, -49, -22, 1, 25, 53, 89};
        static constexpr float odd[8] = {-104, -65, -35, -10, 13, 38, 69, 113};
        const Ints index = code(ratio), pair = index >> 1;
        return select((index & 1) != 0, table_lookup(odd, pair), table_lookup(even, pair));
    }

    // By bisection with the middles between neighbours; ties to the lower level.
    static ZEROPOINT_INLINE Ints code(Floats ratio) {
        static constexpr float second[2] = {middle(3), middle(11)};
        static constexpr float third[4] = {middle(1), middle(5), middle(9), middle(13)};
        static constexpr float fourth[8] = {middle(0), middle(2),  middle(4),  middle(6),
                                            middle(8), middle(10), middle(12), middle(14)};
        Ints index = (ratio > middle(7)) & 1;
        index = (index + index) | ((ratio > table_lookup(second, index)) & 1);
        index = (index + index) | ((ratio > table_lookup(third, index)) & 1);
        return (index + index) | ((ratio > table_lookup(fourth, index)) & 1);
    }
};

struct E2m1Doubled {
    // A magnitude in [2^e, 2^(e+1)), e >= 1, has steps of 2^(e-1): adding 2^(22+e) rounds to them.
    static ZEROPOINT_INLINE Floats magnitude(Floats ratio) {
        const Floats bounded = smaller(absolute(ratio), splat(12));
        const Floats power = larger(bits_to_floats(floats_to_bits(bounded) & 0x7f800000), splat(2));
        const Floats rounding = bits_to_floats(floats_to_bits(power) + (22 << 23));
        return (bounded + rounding) - rounding;
    }
    static ZEROPOINT_INLINE Floats nearest(Floats ratio) {
        const Ints sign = floats_to_bits(ratio) & splat_int(-0x7fffffff - 1);
        return bits_to_floats(floats_to_bits(magnitude(ratio)) | sign);
    }
    // 0, 1, 2, 3, 4, 6, 8, 12 are codes 0 to 7; 8 more for negative ones, but not for -0.
    static ZEROPOINT_INLINE Ints code(Floats ratio) {
        const Ints level = __builtin_convertvector(magnitude(ratio), Ints);
        const Ints above = level > 4 ? 4 + ((level - 4) >> 1) + (level == 12) : level;
        return above + ((ratio < 0.0f) & (level > 0) & 8);
    }
};

// The codes of a tile's groups, row by row, from the ratios of weight to scale in its columns.
template <typename Levels, int Size>
struct Codes {
    u8 rows[lanes][Size];

    template <typename Ratio>
    explicit Codes(Ratio ratio) {
        typedef u8 Bytes __attribute__((vector_size(lanes)));
        for (int k = 0; k < Size; k += lanes) {
            Floats square[lanes];
            for (int i = 0; i < lanes; ++i) square[i] = bits_to_floats(Levels::code(ratio(k + i)));
            transpose(square);
            for (int i = 0; i < lanes; ++i) {
                const Bytes bytes = __builtin_convertvector(floats_to_bits(square[i]), Bytes);
                std::memcpy(rows[i] + k, &bytes, sizeof bytes);
            }
        }
    }
};

}  // namespace
}  // namespace zeropoint
