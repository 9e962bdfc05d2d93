// The sequential part of error feedback and of coordinate descent, for a panel of columns and some rows.
//
// All arrays are (columns, rows): the rows of the matrix are independent, and each is one vector lane. The
// order of all operations is that of the numpy code in src/zeropoint/kernels/rounding_panels.py, without
// fused multiply-add, so both give the same bits.
#pragma once
#include <cstddef>
#include <cstdint>

namespace zeropoint {

constexpr std::size_t max_panel_columns = 128;  // MAX_PANEL_COLUMNS in panels.py
constexpr std::size_t point_columns = 8;    // columns that are rounded at once in the formats with points
constexpr std::size_t max_point_levels = 8;  // distinct levels of a grid

// The values that each weight can have: scale · level + minimum.
struct PanelGrid {
    const float* scale;    // (columns, rows), or (columns / 8, rows) for points
    const float* minimum;  // the same shape; null: 0
};

// Levels of single weights, ascending. `consecutive`: integers without gaps.
struct Levels {
    const float* values;
    std::size_t count;
    bool consecutive;
};

struct Panel {
    std::size_t columns, rows;
    float* target;          // (columns, rows): wanted weights or the gradient, overwritten
    const float* coupling;  // (columns, columns): row k has the effect of column k's error on the others
};

enum class Signs { fixed, free, even };  // even: an even number of minus signs among 8 weights

// Points for `size` (4 or 8) weights at once, as indices of levels.
struct Points {
    const float* levels;
    std::size_t level_count;
    const std::uint8_t* points;  // (count, size)
    std::size_t count, size;
    Signs signs;
};

// One choice of a point panel: 8 columns, `rows` lanes.
struct PointChoice {
    std::int32_t* points;  // (columns / size, rows)
    std::int32_t* signs;   // (columns / 8, rows): bit k is set where weight k is negative
};

#define ZEROPOINT_ROUNDING_API                                                                             \
    void feed_back_levels(const Panel& panel, const PanelGrid& grid, const Levels& levels,                 \
                          const float* weights, float* errors, std::int32_t* chosen);                      \
    void descend_levels(const Panel& panel, const PanelGrid& grid, const Levels& levels, float* rounded,   \
                        std::int32_t* chosen);                                                             \
    void feed_back_points(const Panel& panel, const PanelGrid& grid, const Points& points,                 \
                          const float* metric, const float* bounds, int refinements, const float* weights, \
                          float* errors, const PointChoice& chosen);                                       \
    void descend_points(const Panel& panel, const PanelGrid& grid, const Points& points,                   \
                        const float* bounds, float* rounded, const PointChoice& chosen);
namespace baseline {
ZEROPOINT_ROUNDING_API
}
#ifdef ZEROPOINT_HAS_avx2
namespace avx2 {
ZEROPOINT_ROUNDING_API
}
#endif
#ifdef ZEROPOINT_HAS_avx512
namespace avx512 {
ZEROPOINT_ROUNDING_API
}
#endif

}  // namespace zeropoint
