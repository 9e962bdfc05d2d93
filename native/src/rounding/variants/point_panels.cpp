// Panels of formats whose codes name points of a grid: 8 columns are rounded at once. See panels.hpp.
//
// The point for wanted levels u minimizes Σ m_k (u_k − s_k l_k)² over the points l and the permitted signs s;
// with an even number of minus signs, one sign is against its weight where their number would be odd. For
// errors e that cost eᵀ D e, a search with m_k = Σ_j |D_kj| around u = p + D (w − p) / m never
// raises the cost of the point p (it minimizes an upper bound that touches the cost at p).
#include <limits>

#include "rounding/variants/lane_rows.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

constexpr std::size_t width = point_columns;

// The choice for 8 columns of some rows.
struct Choice {
    Floats levels[width];  // with their signs
    Ints points[2];  // one of 8 weights, or two of 4
    Ints signs;
};

struct Best {
    Floats cost;
    Ints index;
};

// Cost of each level at each of the 8 weights, and what its wrong sign costs in addition.
struct Costs {
    Floats level[width][max_point_levels];
    Floats flip[width][max_point_levels];
};

template <std::size_t Size, bool Flipped>
Best best_point(const Points& points, const Costs& costs, std::size_t first) {
    Best best{splat(std::numeric_limits<float>::infinity()), Ints{}};
    const std::uint8_t* point = points.points;
    for (std::size_t i = 0; i < points.count; ++i, point += Size) {
        Floats cost = costs.level[first][point[0]];
        for (std::size_t k = 1; k < Size; ++k) cost += costs.level[first + k][point[k]];
        if constexpr (Flipped) {
            Floats flip = costs.flip[first][point[0]];
            for (std::size_t k = 1; k < Size; ++k) flip = smaller(costs.flip[first + k][point[k]], flip);
            cost += flip;
        }
        const Ints better = cost < best.cost;
        best.cost = select(better, cost, best.cost);
        best.index = better ? splat_int(std::int32_t(i)) : best.index;
    }
    return best;
}

// Writes one row's levels and signs: those of its points, one sign turned where `flipped` (a half, or −1).
template <std::size_t Size>
void assemble(const Points& points, const Costs& costs, const Floats* wanted, int lane, int flipped,
              Choice& choice) {
    std::int32_t signs = 0;
    if (points.signs != Signs::fixed)
        for (std::size_t k = 0; k < width; ++k) signs |= std::int32_t(wanted[k][lane] < 0) << k;
    const auto level_of = [&](std::size_t k) {
        return points.points[std::size_t(choice.points[k / Size][lane]) * Size + k % Size];
    };
    if (flipped >= 0) {
        std::size_t turned = std::size_t(flipped) * Size;
        for (std::size_t k = turned + 1; k < (std::size_t(flipped) + 1) * Size; ++k)
            if (costs.flip[k][level_of(k)][lane] < costs.flip[turned][level_of(turned)][lane]) turned = k;
        signs ^= 1 << turned;
    }
    choice.signs[lane] = signs;
    for (std::size_t k = 0; k < width; ++k) {
        const float level = points.levels[level_of(k)];
        choice.levels[k][lane] = signs >> k & 1 ? -level : level;
    }
}

template <std::size_t Size>
Choice search(const Points& points, const Floats* wanted, const float* weights) {
    constexpr std::size_t halves = width / Size;
    Costs costs;
    Ints odd{};
    for (std::size_t k = 0; k < width; ++k) {
        const Floats magnitude = points.signs == Signs::fixed ? wanted[k] : absolute(wanted[k]);
        odd ^= Ints(wanted[k] < 0.0f);
        for (std::size_t i = 0; i < points.level_count; ++i) {
            const Floats error = magnitude - points.levels[i];
            costs.level[k][i] = weights[k] * (error * error);
            costs.flip[k][i] = weights[k] * (magnitude * (4 * points.levels[i]));
        }
    }
    Choice choice;
    Best best[halves], turned[halves];
    for (std::size_t half = 0; half < halves; ++half) {
        best[half] = best_point<Size, false>(points, costs, half * Size);
        choice.points[half] = best[half].index;
    }
    Ints flipped = splat_int(-1);
    if (points.signs == Signs::even) {
        for (std::size_t half = 0; half < halves; ++half)
            turned[half] = best_point<Size, true>(points, costs, half * Size);
        Ints second{};
        if constexpr (halves == 2) second = turned[1].cost + best[0].cost < turned[0].cost + best[1].cost;
        flipped = odd ? -second : flipped;
        for (std::size_t half = 0; half < halves; ++half)
            choice.points[half] = flipped == std::int32_t(half) ? turned[half].index : choice.points[half];
    }
    for (int lane = 0; lane < lanes; ++lane)
        assemble<Size>(points, costs, wanted, lane, flipped[lane], choice);
    return choice;
}

Choice search(const Points& points, const Floats* wanted, const float* weights) {
    return points.size == 4 ? search<4>(points, wanted, weights) : search<8>(points, wanted, weights);
}

// 8 columns of a panel, some rows of it: how weights become levels and back.
struct Place {
    const Panel& panel;
    std::size_t group, row, count;
    Floats scale, minimum;

    Place(const Panel& panel, const PanelGrid& grid, std::size_t group, std::size_t row, std::size_t count)
        : panel(panel), group(group), row(row), count(count) {
        const std::size_t at = group * panel.rows + row;
        scale = load_rows(grid.scale + at, count);
        minimum = grid.minimum ? load_rows(grid.minimum + at, count) : splat(0);
    }

    std::size_t at(std::size_t k) const { return (group * width + k) * panel.rows + row; }

    Floats to_levels(Floats weight) const {
        const Floats quotient = (weight - minimum) / scale;
        return select((scale != 0.0f) & (quotient == quotient), quotient, splat(0));
    }

    void save(const Points& points, const Choice& choice, const PointChoice& chosen) const {
        const std::size_t halves = width / points.size;
        for (std::size_t half = 0; half < halves; ++half)
            store_rows(chosen.points + (group * halves + half) * panel.rows + row, choice.points[half],
                       count);
        store_rows(chosen.signs + group * panel.rows + row, choice.signs, count);
    }

    // target[j] += errors[k] · coupling[k][j], k in order, for the columns j after the 8.
    void spread(const Floats* errors, Floats* target) const {
        for (std::size_t k = 0; k < width; ++k) {
            const float* coupling = panel.coupling + (group * width + k) * panel.columns;
            for (std::size_t j = (group + 1) * width; j < panel.columns; ++j)
                target[j] += errors[k] * coupling[j];
        }
    }
};

void load_targets(const Panel& panel, std::size_t row, std::size_t count, Floats* target) {
    for (std::size_t k = 0; k < panel.columns; ++k)
        target[k] = load_rows(panel.target + k * panel.rows + row, count);
}

}  // namespace

void feed_back_points(const Panel& panel, const PanelGrid& grid, const Points& points, const float* metric,
                      const float* bounds, int refinements, const float* weights, float* errors,
                      const PointChoice& chosen) {
    for_lane_rows(panel.rows, [&](std::size_t row, std::size_t count) {
        Floats target[max_panel_columns], wanted[width], moved[width], error[width];
        load_targets(panel, row, count, target);
        for (std::size_t group = 0; group < panel.columns / width; ++group) {
            const Place place(panel, grid, group, row, count);
            const float *cost = metric + group * width * width, *bound = bounds + group * width;
            float diagonal[width];
            for (std::size_t k = 0; k < width; ++k) {
                wanted[k] = place.to_levels(target[group * width + k]);
                diagonal[k] = cost[k * width + k];
            }
            Choice choice = search(points, wanted, diagonal);
            for (int round = 0; round < refinements; ++round) {
                for (std::size_t k = 0; k < width; ++k) {
                    Floats slope = cost[k * width] * (wanted[0] - choice.levels[0]);
                    for (std::size_t j = 1; j < width; ++j)
                        slope += cost[k * width + j] * (wanted[j] - choice.levels[j]);
                    moved[k] = choice.levels[k] + slope / bound[k];
                }
                choice = search(points, moved, bound);
            }
            for (std::size_t k = 0; k < width; ++k) {
                const Floats value = place.scale * choice.levels[k] + place.minimum;
                error[k] = load_rows(weights + place.at(k), count) - value;
                store_rows(errors + place.at(k), error[k], count);
            }
            place.save(points, choice, chosen);
            place.spread(error, target);
        }
    });
}

void descend_points(const Panel& panel, const PanelGrid& grid, const Points& points, const float* bounds,
                    float* rounded, const PointChoice& chosen) {
    for_lane_rows(panel.rows, [&](std::size_t row, std::size_t count) {
        Floats gradient[max_panel_columns], wanted[width], step[width];
        load_targets(panel, row, count, gradient);
        for (std::size_t group = 0; group < panel.columns / width; ++group) {
            const Place place(panel, grid, group, row, count);
            const float* bound = bounds + group * width;
            for (std::size_t k = 0; k < width; ++k) {
                step[k] = load_rows(rounded + place.at(k), count);
                wanted[k] = place.to_levels(step[k] + gradient[group * width + k] / bound[k]);
            }
            const Choice choice = search(points, wanted, bound);
            for (std::size_t k = 0; k < width; ++k) {
                const Floats value = place.scale * choice.levels[k] + place.minimum;
                step[k] -= value;
                store_rows(rounded + place.at(k), value, count);
            }
            place.save(points, choice, chosen);
            place.spread(step, gradient);
        }
    });
}

}  // namespace zeropoint::ZEROPOINT_VARIANT
