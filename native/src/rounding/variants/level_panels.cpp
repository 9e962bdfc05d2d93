// Panels of formats whose codes belong to single weights: see panels.hpp.
#include "rounding/variants/lane_rows.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

struct Nearest {
    Floats value;  // the weight
    Ints index;    // of its level
};

// The level nearest to each wanted weight. Halfway, an even integer wins, or the lower entry of a table.
// Where the scale is 0 all levels mean the same, and the search looks for the level nearest to 0.
inline Nearest nearest(const Levels& levels, Floats wanted, Floats scale, Floats minimum) {
    const Floats quotient = (wanted - minimum) / scale;
    const Floats level = select((scale != 0.0f) & (quotient == quotient), quotient, splat(0));
    Floats value;
    Ints index;
    if (levels.consecutive) {
        const float low = levels.values[0];
        value = round_even(clamp(level, low, levels.values[levels.count - 1]));
        index = __builtin_convertvector(value - low, Ints);
    } else {
        value = splat(levels.values[0]);
        index = Ints{};
        for (std::size_t i = 1; i < levels.count; ++i) {
            const Ints above = level > (levels.values[i] + levels.values[i - 1]) / 2;
            value = select(above, splat(levels.values[i]), value);
            index -= above;
        }
    }
    return {scale * value + minimum, index};
}

Nearest nearest_at(const PanelGrid& grid, const Levels& levels, std::size_t at, std::size_t count,
                   Floats wanted) {
    const Floats minimum = grid.minimum ? load_rows(grid.minimum + at, count) : splat(0);
    return nearest(levels, wanted, load_rows(grid.scale + at, count), minimum);
}

// target[j] += error · coupling[k][j] for the columns j after k.
inline void spread(const Panel& panel, std::size_t k, Floats error, Floats* target) {
    const float* row = panel.coupling + k * panel.columns;
    for (std::size_t j = k + 1; j < panel.columns; ++j) target[j] += error * row[j];
}

}  // namespace

void feed_back_levels(const Panel& panel, const PanelGrid& grid, const Levels& levels, const float* weights,
                      float* errors, std::int32_t* chosen) {
    for_lane_rows(panel.rows, [&](std::size_t row, std::size_t count) {
        Floats target[max_panel_columns];
        for (std::size_t k = 0; k < panel.columns; ++k)
            target[k] = load_rows(panel.target + k * panel.rows + row, count);
        for (std::size_t k = 0; k < panel.columns; ++k) {
            const std::size_t at = k * panel.rows + row;
            const Nearest found = nearest_at(grid, levels, at, count, target[k]);
            const Floats error = load_rows(weights + at, count) - found.value;
            store_rows(errors + at, error, count);
            store_rows(chosen + at, found.index, count);
            spread(panel, k, error, target);
        }
    });
}

void descend_levels(const Panel& panel, const PanelGrid& grid, const Levels& levels, float* rounded,
                    std::int32_t* chosen) {
    for_lane_rows(panel.rows, [&](std::size_t row, std::size_t count) {
        Floats gradient[max_panel_columns];
        for (std::size_t k = 0; k < panel.columns; ++k)
            gradient[k] = load_rows(panel.target + k * panel.rows + row, count);
        for (std::size_t k = 0; k < panel.columns; ++k) {
            const std::size_t at = k * panel.rows + row;
            const Floats before = load_rows(rounded + at, count);
            const Floats wanted = before + gradient[k] / panel.coupling[k * panel.columns + k];
            const Nearest found = nearest_at(grid, levels, at, count, wanted);
            store_rows(rounded + at, found.value, count);
            store_rows(chosen + at, found.index, count);
            spread(panel, k, before - found.value, gradient);
        }
    });
}

}  // namespace zeropoint::ZEROPOINT_VARIANT
