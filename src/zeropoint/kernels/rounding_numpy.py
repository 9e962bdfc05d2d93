"""The specification of `rounding_panels` in numpy: every sum is added in the order written here."""

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats import F32
from zeropoint.formats.point_codes import SIGNED_WEIGHTS, PointSet
from zeropoint.formats.recode import CodeSet
from zeropoint.kernels.panels import I32, REFINEMENTS, ChosenPoints, GroupMetric, Panel

Indices = NDArray[np.intp]


def feed_back_levels(codes: CodeSet, panel: Panel, weights: F32, errors: F32, chosen: I32) -> None:
    """Specify `LevelRounding.feed_back`."""
    target = panel.target.copy()
    for k in range(len(target)):
        chosen[k], value = _nearest(codes, panel, k, target[k])
        errors[k] = weights[k] - value
        target[k + 1 :] += errors[k] * panel.coupling[k, k + 1 :, None]


def descend_levels(codes: CodeSet, panel: Panel, rounded: F32, chosen: I32) -> None:
    """Specify `LevelRounding.descend`."""
    gradient = panel.target.copy()
    for k in range(len(gradient)):
        before = rounded[k].copy()
        wanted = before + gradient[k] / panel.coupling[k, k]
        chosen[k], rounded[k] = _nearest(codes, panel, k, wanted)
        gradient[k + 1 :] += (before - rounded[k]) * panel.coupling[k, k + 1 :, None]


def _nearest(codes: CodeSet, panel: Panel, at: int, wanted: F32) -> tuple[Indices, F32]:
    """Return the level nearest to each wanted weight of a column, and the weight it means."""
    index = codes.nearest(_to_levels(panel, at, wanted))
    return index, _to_weights(panel, at, codes.values[index])


def _to_levels(panel: Panel, at: int, weights: F32) -> F32:
    """Return (weight − minimum) / scale; 0 where the scale is 0, because all levels mean the same.

    `weights` are (..., rows).
    """
    scale, minimum = panel.scale[at], _minimum(panel, at)
    with np.errstate(all="ignore"):
        quotient = (weights - minimum) / scale
    return np.where((scale != 0) & ~np.isnan(quotient), quotient, np.float32(0))


def _to_weights(panel: Panel, at: int, levels: F32) -> F32:
    weights: F32 = panel.scale[at] * levels + _minimum(panel, at)
    return weights


def _minimum(panel: Panel, at: int) -> F32 | np.float32:
    return np.float32(0) if panel.minimum is None else panel.minimum[at]


def feed_back_points(
    points: PointSet,
    panel: Panel,
    metric: GroupMetric,
    weights: F32,
    errors: F32,
    chosen: ChosenPoints,
) -> None:
    """Specify `PointRounding.feed_back`."""
    target = panel.target.copy()
    for group in range(len(target) // SIGNED_WEIGHTS):
        columns = slice(group * SIGNED_WEIGHTS, (group + 1) * SIGNED_WEIGHTS)
        cost, bounds = metric.cost[group], metric.bounds[columns]
        wanted = _to_levels(panel, group, target[columns])
        levels, found = search(points, wanted, np.diag(cost))
        for _ in range(REFINEMENTS):
            slope = _in_order(cost[:, :, None] * (wanted - levels))
            levels, found = search(points, levels + slope / bounds[:, None], bounds)
        errors[columns] = weights[columns] - _to_weights(panel, group, levels)
        _save(points, group, found, chosen)
        _spread(panel, group, errors[columns], target)


def descend_points(
    points: PointSet, panel: Panel, bounds: F32, rounded: F32, chosen: ChosenPoints
) -> None:
    """Specify `PointRounding.descend`."""
    gradient = panel.target.copy()
    for group in range(len(gradient) // SIGNED_WEIGHTS):
        columns = slice(group * SIGNED_WEIGHTS, (group + 1) * SIGNED_WEIGHTS)
        bound = bounds[columns]
        before = rounded[columns].copy()
        wanted = _to_levels(panel, group, before + gradient[columns] / bound[:, None])
        levels, found = search(points, wanted, bound)
        rounded[columns] = _to_weights(panel, group, levels)
        _save(points, group, found, chosen)
        _spread(panel, group, before - rounded[columns], gradient)


def _save(points: PointSet, group: int, found: tuple[Indices, I32], chosen: ChosenPoints) -> None:
    halves = SIGNED_WEIGHTS // points.size
    chosen.points[group * halves : (group + 1) * halves], chosen.signs[group] = found


def _spread(panel: Panel, group: int, errors: F32, target: F32) -> None:
    """Add errors[k] · coupling[k] to the targets of the columns after a group, k in order."""
    after = (group + 1) * SIGNED_WEIGHTS
    for k in range(SIGNED_WEIGHTS):
        coupling = panel.coupling[group * SIGNED_WEIGHTS + k, after:, None]
        target[after:] += errors[k] * coupling


def _in_order(terms: F32) -> F32:
    """Return the sums of (n, m, ...) over the second axis, added in index order."""
    total = terms[:, 0]
    for k in range(1, terms.shape[1]):
        total = total + terms[:, k]
    return total


def search(points: PointSet, wanted: F32, weights: F32) -> tuple[F32, tuple[Indices, I32]]:
    """Return the levels that minimize Σ weights_k (wanted_k − s_k l_k)² over points and signs.

    `wanted` (8, rows), `weights` (8,). The first of equal points wins. Where an even number of
    minus signs is required and `wanted` has an odd one, the sign is turned that costs least
    together with its point. Returns levels (8, rows) with their signs, points (8 / size, rows), and
    sign bits (rows,).
    """
    size, halves = points.size, SIGNED_WEIGHTS // points.size
    magnitude = wanted if points.signs == "fixed" else np.abs(wanted)
    levels = points.levels[:, None]
    level_cost = weights[:, None, None] * (magnitude[:, None] - levels) ** 2  # (8, V, rows)
    flip_cost = weights[:, None, None] * (magnitude[:, None] * (4 * levels))
    best, turned = [], []
    for half in range(halves):
        mine = slice(half * size, (half + 1) * size)
        cost = _in_order(_at_points(points, level_cost[mine]))  # (P, rows)
        best.append(_smallest(cost))
        turned.append(_smallest(cost + _at_points(points, flip_cost[mine]).min(axis=1)))
    found = np.stack([index for _, index in best])
    negative = wanted < 0 if points.signs != "fixed" else np.zeros(wanted.shape, np.bool_)
    if points.signs == "even":
        odd = negative.sum(axis=0) % 2 == 1
        second = np.zeros(len(odd), np.bool_)  # whether the sign is turned in the second half
        if halves == 2:
            second = turned[1][0] + best[0][0] < turned[0][0] + best[1][0]
        for row in np.flatnonzero(odd):
            half = int(second[row])
            found[half, row] = turned[half][1][row]
            weights_of_half = np.arange(half * size, (half + 1) * size)
            costs = flip_cost[weights_of_half, points.points[found[half, row]], row]
            negative[half * size + int(np.argmin(costs)), row] ^= True
    chosen = points.levels[points.points[found]]  # (halves, rows, size)
    result = chosen.swapaxes(1, 2).reshape(SIGNED_WEIGHTS, -1)
    bits = (negative << np.arange(SIGNED_WEIGHTS, dtype=np.int32)[:, None]).sum(axis=0)
    return np.where(negative, -result, result), (found, bits.astype(np.int32))


def _at_points(points: PointSet, costs: F32) -> F32:
    """Return the costs (size, V, rows) of the levels of all points: (P, size, rows)."""
    return costs[np.arange(points.size), points.points]


def _smallest(costs: F32) -> tuple[F32, Indices]:
    """Return the smallest cost of each row and its first index; infinity and 0 if all are NaN."""
    costs = np.where(np.isnan(costs), np.float32(np.inf), costs)
    index = costs.argmin(axis=0)
    return np.take_along_axis(costs, index[None], axis=0)[0], index
