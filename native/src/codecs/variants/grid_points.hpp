// The nearest point of an IQ format's grid, for one vector of weights in every lane. The same operations as
// src/zeropoint/formats/encoders/grid_points.py.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "grids.hpp"
#include "simd/block_vectors.hpp"

namespace zeropoint {
namespace {

constexpr int power(int base, int exponent) { return exponent ? base * power(base, exponent - 1) : 1; }

// The odd number 1, 3 … `largest` next to each ratio.
ZEROPOINT_INLINE Floats odd_multiple(Floats ratio, float largest) {
    return round_even((clamp(ratio, 1, largest) - 1.0f) * 0.5f) * 2.0f + 1.0f;
}

constexpr float largest_cost = 3e38f;  // below infinity, whose bits with an index in them are NaN
constexpr int index_bits = 127;        // the bits of a cost that hold the number of a half

// A grid, ordered by the first half of its points: a half is the number Σ digit_i · levels^i.
template <typename Point, std::size_t Points, std::size_t Levels>
struct Codebook {
    static constexpr int size = sizeof(Point), half = size / 2, level_count = int(Levels);
    static constexpr int halves = power(level_count, half);

    const Point* grid;
    std::array<float, Levels> levels{};
    std::array<std::uint16_t, halves + 1> begin{};  // points [begin[f], begin[f + 1]) have first half f
    std::array<std::uint8_t, Points> second{};      // their second halves
    std::array<std::uint16_t, halves * halves> code{};  // of the point with halves f and s, at f · halves + s

    constexpr Codebook(const Point (&points)[Points], const std::array<int, Levels>& values) : grid(points) {
        for (std::size_t i = 0; i < Levels; ++i) levels[i] = float(values[i]);
        std::array<std::uint16_t, halves> next{};
        for (Point point : points) ++begin[number(values, point) + 1];
        for (int f = 0; f < halves; ++f) {
            next[f] = begin[f];
            begin[f + 1] += begin[f];
        }
        for (std::size_t k = 0; k < Points; ++k) {
            const int first = number(values, points[k]), other = number(values, points[k] >> 8 * half);
            second[next[first]++] = std::uint8_t(other);
            code[first * halves + other] = std::uint16_t(k);
        }
    }

    static constexpr int number(const std::array<int, Levels>& values, Point point) {
        int total = 0;
        for (int i = half - 1; i >= 0; --i) {
            int digit = 0;
            while (values[digit] != std::int8_t(point >> 8 * i & 255u)) ++digit;
            total = total * level_count + digit;
        }
        return total;
    }
};

// The costs of all combinations of levels of each half of a vector, at one scale.
template <const auto& book>
class PointCosts {
public:
    static constexpr int halves = book.halves, levels = book.level_count;
    static constexpr int parts = power(levels, book.half / 2);  // combinations of a quarter of a vector

    // scaled: scale · level.
    ZEROPOINT_INLINE void fill(const Floats* x, const Floats* cost, const Floats (&scaled)[levels]) {
        Floats low[parts], high[parts];
        constexpr int quarter = book.half / 2;
        of_quarter(x, cost, scaled, low_);
        of_quarter(x + quarter, cost + quarter, scaled, high_);
        of_quarter(x + 2 * quarter, cost + 2 * quarter, scaled, low);
        of_quarter(x + 3 * quarter, cost + 3 * quarter, scaled, high);
        for (int i = 0; i < halves; ++i) second_[i] = low[i % parts] + high[i / parts];
    }

    // The cost of the nearest point.
    ZEROPOINT_INLINE Floats least() const {
        Floats best = splat(__builtin_inff());
        each_first([&]<int F>(Floats cost)
                       __attribute__((always_inline)) { best = smaller(first<F>() + cost, best); });
        return best;
    }

    // The code of the nearest point. Overwrites the costs of the second halves.
    ZEROPOINT_INLINE Ints nearest() {
        Floats best;
        return nearest(best);
    }

    // Likewise, and sets `best` to its cost.
    ZEROPOINT_INLINE Ints nearest(Floats& best) {
        for (int i = 0; i < halves; ++i) {
            const Ints bits = floats_to_bits(smaller(second_[i], splat(largest_cost)));
            second_[i] = bits_to_floats((bits & ~index_bits) | i);
        }
        best = splat(__builtin_inff());
        Ints index = splat_int(0);
        each_first([&]<int F>(Floats cost) __attribute__((always_inline)) {
            const Floats total = first<F>() + cost;
            const Ints found = (floats_to_bits(cost) & index_bits) + F * halves;
            index = total < best ? found : index;
            best = smaller(total, best);
        });
        Ints code;
        for (int i = 0; i < lanes; ++i) code[i] = book.code[index[i]];
        return code;
    }

private:
    // cost · (x − scaled level)² of one weight, or the sums for two.
    ZEROPOINT_INLINE static void of_quarter(const Floats* x, const Floats* cost,
                                            const Floats (&scaled)[levels], Floats (&costs)[parts]) {
        if constexpr (parts == levels) {
            of_weight(x[0], cost[0], scaled, costs);
        } else {
            Floats low[levels], high[levels];
            of_weight(x[0], cost[0], scaled, low);
            of_weight(x[1], cost[1], scaled, high);
            for (int i = 0; i < parts; ++i) costs[i] = low[i % levels] + high[i / levels];
        }
    }

    ZEROPOINT_INLINE static void of_weight(Floats x, Floats cost, const Floats (&scaled)[levels],
                                           Floats (&costs)[levels]) {
        for (int l = 0; l < levels; ++l) {
            const Floats rest = x - scaled[l];
            costs[l] = (rest * rest) * cost;
        }
    }

    template <int F>
    ZEROPOINT_INLINE Floats first() const {
        return low_[F % parts] + high_[F / parts];
    }

    // Calls use.operator()<F>(cost) for each first half F, with the lowest cost of a second half that the grid
    // pairs with it. Everything is unrolled: the pairs are constants.
    template <typename Use>
    ZEROPOINT_INLINE void each_first(Use use) const {
        [&]<std::size_t... F>(std::index_sequence<F...>) __attribute__((always_inline)) {
            (paired<int(F)>(use, std::make_index_sequence<book.begin[F + 1] - book.begin[F]>{}), ...);
        }(std::make_index_sequence<halves>{});
    }

    template <int F, typename Use, std::size_t... K>
    ZEROPOINT_INLINE void paired(Use& use, std::index_sequence<K...>) const {
        if constexpr (sizeof...(K) > 0) {
            Floats cost = splat(__builtin_inff());
            ((cost = smaller(second_[book.second[book.begin[F] + K]], cost)), ...);
            use.template operator()<F>(cost);
        }
    }

    Floats low_[parts], high_[parts];  // of the two quarters of the first half
    Floats second_[halves];
};

}  // namespace
}  // namespace zeropoint
