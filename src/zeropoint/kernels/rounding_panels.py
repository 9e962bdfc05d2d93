"""The sequential part of error feedback and coordinate descent: the columns of a panel, in order.

The kernel and `rounding_numpy`, its specification, give the same bits.
"""

from zeropoint.formats import F32
from zeropoint.formats.point_codes import PointSet
from zeropoint.formats.recode import CodeSet
from zeropoint.kernels import rounding_numpy
from zeropoint.kernels.dispatch import native
from zeropoint.kernels.panels import I32, REFINEMENTS, ChosenPoints, GroupMetric, Panel


class LevelRounding:
    """Rounds panels of a format whose codes belong to single weights."""

    def __init__(self, codes: CodeSet) -> None:
        self._codes = codes
        module = native()
        self._native = module and module.Levels(codes.values, codes.consecutive)

    def feed_back(self, panel: Panel, weights: F32, errors: F32, chosen: I32) -> None:
        """Round column after column; each error moves the targets of the columns after it.

        The target of column k is rounded to the nearest level ŵ_k, the error is e_k = w_k − ŵ_k,
        and the target of each later column j grows by e_k · coupling_kj. Writes `errors` and the
        indices of the levels, `chosen`, both (columns, rows).
        """
        if self._native:
            self._native.feed_back(*panel.arrays(), weights, errors, chosen)
        else:
            rounding_numpy.feed_back_levels(self._codes, panel, weights, errors, chosen)

    def descend(self, panel: Panel, rounded: F32, chosen: I32) -> None:
        """Give each column in turn the level that minimizes the objective, all others fixed.

        The target is the gradient H e, and the coupling is H: weight ŵ_k moves to the level nearest
        to ŵ_k + (H e)_k / H_kk. Overwrites `rounded`, the weights ŵ, and `chosen`.
        """
        if self._native:
            self._native.descend(*panel.arrays(), rounded, chosen)
        else:
            rounding_numpy.descend_levels(self._codes, panel, rounded, chosen)


class PointRounding:
    """Rounds panels of a format whose codes name points for 4 or 8 weights."""

    def __init__(self, points: PointSet) -> None:
        self._points = points
        module = native()
        self._native = module and module.Points(points.levels, points.points, points.signs)

    def feed_back(
        self, panel: Panel, metric: GroupMetric, weights: F32, errors: F32, chosen: ChosenPoints
    ) -> None:
        """Round 8 columns after the other; their errors move the targets of the columns after them.

        The first search minimizes Σ D_kk e_k². Each refinement minimizes an upper bound of eᵀ D e
        that touches it at the point found so far: Σ bounds_k (p_k + (D e)_k / bounds_k − ŵ_k)².
        """
        if self._native:
            self._native.feed_back(
                *panel.arrays(), metric.cost, metric.bounds, REFINEMENTS, weights, errors,
                chosen.points, chosen.signs,
            )  # fmt: skip
        else:
            rounding_numpy.feed_back_points(self._points, panel, metric, weights, errors, chosen)

    def descend(self, panel: Panel, bounds: F32, rounded: F32, chosen: ChosenPoints) -> None:
        """Choose each point again so that the objective does not rise, all others fixed.

        The target is the gradient H e, and the coupling is H; `bounds` (columns,) are those of the
        blocks of H. Overwrites `rounded` and `chosen`.
        """
        if self._native:
            self._native.descend(*panel.arrays(), bounds, rounded, chosen.points, chosen.signs)
        else:
            rounding_numpy.descend_points(self._points, panel, bounds, rounded, chosen)
