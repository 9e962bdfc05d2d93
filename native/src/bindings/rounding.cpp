// Bindings of the panels of error feedback and coordinate descent.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <optional>
#include <string>
#include <vector>

#include "bindings/bindings.hpp"
#include "rounding/panels.hpp"
#include "runtime/float_mode.hpp"

namespace nb = nanobind;

namespace zeropoint {
namespace {

using Matrix = Array<const float, 2>;
using Output = Array<float, 2>;
using Chosen = Array<std::int32_t, 2>;
using Minimum = std::optional<Matrix>;

void check(bool fits) {
    if (!fits) throw nb::value_error("rounding panel: the arrays do not fit each other");
}

template <typename Left, typename Right>
bool alike(const Left& left, const Right& right) {
    return left.shape(0) == right.shape(0) && left.shape(1) == right.shape(1);
}

Panel checked_panel(const Output& target, const Matrix& coupling) {
    const std::size_t columns = target.shape(0);
    check(columns <= max_panel_columns && coupling.shape(0) == columns && coupling.shape(1) == columns);
    return {columns, target.shape(1), target.data(), coupling.data()};
}

PanelGrid checked_grid(const Matrix& scale, const Minimum& minimum, std::size_t columns, std::size_t rows) {
    check(scale.shape(0) == columns && scale.shape(1) == rows && (!minimum || alike(scale, *minimum)));
    return {scale.data(), minimum ? minimum->data() : nullptr};
}

// The levels of single weights.
class BoundLevels {
public:
    BoundLevels(Array<const float, 1> values, bool consecutive)
        : values_(values.data(), values.data() + values.shape(0)), consecutive_(consecutive) {
        check(!values_.empty());
    }

    Levels get() const { return {values_.data(), values_.size(), consecutive_}; }

    void feed_back(Output target, Matrix coupling, Matrix scale, Minimum minimum, Matrix weights,
                   Output errors, Chosen chosen) const {
        const Panel panel = checked_panel(target, coupling);
        const PanelGrid grid = checked_grid(scale, minimum, panel.columns, panel.rows);
        check(alike(target, weights) && alike(target, errors) && alike(target, chosen));
        const float* in = weights.data();
        nb::gil_scoped_release release;
        const FloatMode mode;
        ZEROPOINT_PICK(feed_back_levels)(panel, grid, get(), in, errors.data(), chosen.data());
    }

    void descend(Output target, Matrix coupling, Matrix scale, Minimum minimum, Output rounded,
                 Chosen chosen) const {
        const Panel panel = checked_panel(target, coupling);
        const PanelGrid grid = checked_grid(scale, minimum, panel.columns, panel.rows);
        check(alike(target, rounded) && alike(target, chosen));
        nb::gil_scoped_release release;
        const FloatMode mode;
        ZEROPOINT_PICK(descend_levels)(panel, grid, get(), rounded.data(), chosen.data());
    }

private:
    std::vector<float> values_;
    bool consecutive_;
};

// The points of a grid.
class BoundPoints {
public:
    BoundPoints(Array<const float, 1> levels, Array<const std::uint8_t, 2> points, const std::string& signs)
        : levels_(levels.data(), levels.data() + levels.shape(0)),
          points_(points.data(), points.data() + points.size()), count_(points.shape(0)),
          size_(points.shape(1)), signs_(signs == "even"   ? Signs::even
                                         : signs == "free" ? Signs::free
                                                           : Signs::fixed) {
        check(!levels_.empty() && levels_.size() <= max_point_levels && count_ > 0 &&
              (size_ == 4 || size_ == point_columns));
        for (std::uint8_t level : points_) check(level < levels_.size());
    }

    void feed_back(Output target, Matrix coupling, Matrix scale, Minimum minimum,
                   Array<const float, 3> metric, Array<const float, 1> bounds, int refinements,
                   Matrix weights, Output errors, Chosen points, Chosen signs) const {
        const Panel panel = checked_panel(target, coupling);
        const PanelGrid grid = checked_grid(scale, minimum, panel.columns / point_columns, panel.rows);
        const PointChoice chosen = checked_choice(panel, points, signs);
        check(metric.shape(0) == panel.columns / point_columns && metric.shape(1) == point_columns &&
              metric.shape(2) == point_columns && bounds.shape(0) == panel.columns &&
              alike(target, weights) && alike(target, errors));
        nb::gil_scoped_release release;
        const FloatMode mode;
        ZEROPOINT_PICK(feed_back_points)
        (panel, grid, get(), metric.data(), bounds.data(), refinements, weights.data(), errors.data(),
         chosen);
    }

    void descend(Output target, Matrix coupling, Matrix scale, Minimum minimum, Array<const float, 1> bounds,
                 Output rounded, Chosen points, Chosen signs) const {
        const Panel panel = checked_panel(target, coupling);
        const PanelGrid grid = checked_grid(scale, minimum, panel.columns / point_columns, panel.rows);
        const PointChoice chosen = checked_choice(panel, points, signs);
        check(bounds.shape(0) == panel.columns && alike(target, rounded));
        nb::gil_scoped_release release;
        const FloatMode mode;
        ZEROPOINT_PICK(descend_points)(panel, grid, get(), bounds.data(), rounded.data(), chosen);
    }

private:
    Points get() const { return {levels_.data(), levels_.size(), points_.data(), count_, size_, signs_}; }

    PointChoice checked_choice(const Panel& panel, const Chosen& points, const Chosen& signs) const {
        check(panel.columns % point_columns == 0 && points.shape(0) == panel.columns / size_ &&
              signs.shape(0) == panel.columns / point_columns && points.shape(1) == panel.rows &&
              signs.shape(1) == panel.rows);
        return {points.data(), signs.data()};
    }

    std::vector<float> levels_;
    std::vector<std::uint8_t> points_;
    std::size_t count_, size_;
    Signs signs_;
};

}  // namespace

void bind_rounding(nb::module_& module) {
    nb::class_<BoundLevels>(module, "Levels")
        .def(nb::init<Array<const float, 1>, bool>(), nb::arg("values"), nb::arg("consecutive"))
        .def("feed_back", &BoundLevels::feed_back, nb::arg("target"), nb::arg("coupling"), nb::arg("scale"),
             nb::arg("minimum").none(), nb::arg("weights"), nb::arg("errors"), nb::arg("chosen"))
        .def("descend", &BoundLevels::descend, nb::arg("target"), nb::arg("coupling"), nb::arg("scale"),
             nb::arg("minimum").none(), nb::arg("rounded"), nb::arg("chosen"));
    nb::class_<BoundPoints>(module, "Points")
        .def(nb::init<Array<const float, 1>, Array<const std::uint8_t, 2>, const std::string&>(),
             nb::arg("levels"), nb::arg("points"), nb::arg("signs"))
        .def("feed_back", &BoundPoints::feed_back, nb::arg("target"), nb::arg("coupling"), nb::arg("scale"),
             nb::arg("minimum").none(), nb::arg("metric"), nb::arg("bounds"), nb::arg("refinements"),
             nb::arg("weights"), nb::arg("errors"), nb::arg("points"), nb::arg("signs"))
        .def("descend", &BoundPoints::descend, nb::arg("target"), nb::arg("coupling"), nb::arg("scale"),
             nb::arg("minimum").none(), nb::arg("bounds"), nb::arg("rounded"), nb::arg("points"),
             nb::arg("signs"));
}

}  // namespace zeropoint
