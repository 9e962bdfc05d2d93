// The levels that codes stand for, and which is nearest: src/zeropoint/formats/levels.py. `nearest` gives
// the level as a float; `code` of that level is what is stored.
#pragma once
#include <array>

#include "zeropoint/lanes.hpp"
#include "zeropoint/levels.hpp"

namespace zeropoint {
namespace {

template <int Low, int High>
struct Integers {
    static ZEROPOINT_INLINE Floats nearest(Floats ratio) {
        return round_even(clamp(ratio, float(Low), float(High)));
    }
    static u8 code(int level) { return u8(level - Low); }
};

struct Iq4 {
    static constexpr float middle(int i) { return float(iq4_levels[i] + iq4_levels[i + 1]) / 2; }

    // By bisection with the middles between neighbours; ties to the lower level.
    static ZEROPOINT_INLINE Floats nearest(Floats ratio) {
        static constexpr float second[2] = {middle(3), middle(11)};
        static constexpr float third[4] = {middle(1), middle(5), middle(9), middle(13)};
        static constexpr float fourth[8] = {middle(0), middle(2),  middle(4),  middle(6),
                                            middle(8), middle(10), middle(12), middle(14)};
        static constexpr float even[8] = {-127, -83, -49, -22, 1, 25, 53, 89};
        static constexpr float odd[8] = {-104, -65, -35, -10, 13, 38, 69, 113};
        Ints index = (ratio > middle(7)) & 1;
        index = (index + index) | ((ratio > look_up(second, index)) & 1);
        index = (index + index) | ((ratio > look_up(third, index)) & 1);
        const Ints upper = ratio > look_up(fourth, index);
        return select(upper, look_up(odd, index), look_up(even, index));
    }

    static u8 code(int level) { return codes[std::size_t(level + 127)]; }

private:
    static constexpr std::array<u8, 241> codes = [] {
        std::array<u8, 241> table{};
        for (int i = 0; i < 16; ++i) table[std::size_t(iq4_levels[i] + 127)] = u8(i);
        return table;
    }();
};

struct E2m1Doubled {
    // A magnitude in [2^e, 2^(e+1)), e >= 1, has steps of 2^(e-1): adding 2^(22+e) rounds to them.
    static ZEROPOINT_INLINE Floats nearest(Floats ratio) {
        const Floats magnitude = smaller(absolute(ratio), splat(12));
        const Floats power = larger(bits_to_floats(floats_to_bits(magnitude) & 0x7f800000), splat(2));
        const Floats rounding = bits_to_floats(floats_to_bits(power) + (22 << 23));
        const Floats level = (magnitude + rounding) - rounding;
        return bits_to_floats(floats_to_bits(level) | (floats_to_bits(ratio) & splat_int(-0x7fffffff - 1)));
    }
    static u8 code(int level) {
        const int magnitude = level < 0 ? -level : level;
        const int place = magnitude <= 4 ? magnitude : 4 + (magnitude - 4) / 2 - (magnitude == 12);
        return u8(place + (level < 0 ? 8 : 0));
    }
};

// The codes of the first `count` groups of a tile, row by row, from the levels of its columns.
template <typename Levels, int Size>
struct Codes {
    u8 rows[lanes][Size];

    template <typename Level>
    Codes(std::size_t count, Level level) {
        alignas(sizeof(Floats)) float columns[Size][lanes];
        for (int k = 0; k < Size; ++k) {
            const Floats value = level(k);
            std::memcpy(columns[k], &value, sizeof value);
        }
        for (std::size_t i = 0; i < count; ++i)
            for (int k = 0; k < Size; ++k) rows[i][k] = Levels::code(int(columns[k][i]));
    }
};

}  // namespace
}  // namespace zeropoint
