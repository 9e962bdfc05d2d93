"""The kernels of error feedback have the bits of their specification in numpy."""

import numpy as np
import pytest

from zeropoint import kernels
from zeropoint.formats import FORMATS
from zeropoint.formats.point_codes import has_points, point_set
from zeropoint.formats.recode import can_recode, code_set
from zeropoint.kernels import rounding_numpy
from zeropoint.kernels.panels import ChosenPoints, GroupMetric, Panel
from zeropoint.kernels.rounding_panels import LevelRounding, PointRounding

LEVELS = [name for name in FORMATS if can_recode(FORMATS[name])]
POINTS = [name for name in FORMATS if has_points(FORMATS[name])]
ROWS = 37  # not a multiple of any vector


@pytest.fixture(autouse=True)
def _needs_the_extension() -> None:
    assert kernels.variant() != "numpy", "the extension is not built"


def panel(columns: int, at_once: int, largest: float, *, minimum: bool) -> Panel:
    """Return a panel of random weights and scales, some of them 0, with some ties."""
    random = np.random.default_rng(columns)
    groups = (columns // at_once, ROWS)
    scale = (random.choice([-1, 1], groups) * np.exp(random.normal(0, 1, groups))) / largest
    scale[random.random(groups) < 0.05] = 0
    target = random.standard_normal((columns, ROWS))
    target[0] = 0
    target[1, :5] = [1e30, -1e30, np.inf, 1e-40, -0.0]
    target[2] = 0.5 * scale[2 // at_once]
    coupling = np.triu(0.1 * random.standard_normal((columns, columns)), 1) + np.eye(columns)
    low = random.normal(0, 0.3, groups).astype(np.float32) if minimum else None
    return Panel(
        target.astype(np.float32), coupling.astype(np.float32), scale.astype(np.float32), low
    )


def same(left: np.ndarray, right: np.ndarray) -> bool:
    return bool(np.array_equal(left, right, equal_nan=left.dtype.kind == "f"))


@pytest.mark.parametrize("columns", [3, 128])
@pytest.mark.parametrize("name", LEVELS)
def test_levels_are_chosen_as_in_numpy(name: str, columns: int) -> None:
    codes = code_set(FORMATS[name])
    for minimum in (False, True):
        one = panel(columns, 1, float(codes.values.max()), minimum=minimum)
        two = panel(columns, 1, float(codes.values.max()), minimum=minimum)
        weights = np.random.default_rng(1).standard_normal((columns, ROWS)).astype(np.float32)
        errors, chosen = (
            np.empty((2, columns, ROWS), np.float32),
            np.empty((2, columns, ROWS), np.int32),
        )
        with np.errstate(all="ignore"):
            LevelRounding(codes).feed_back(one, weights, errors[0], chosen[0])
            rounding_numpy.feed_back_levels(codes, two, weights, errors[1], chosen[1])
        assert same(chosen[0], chosen[1]) and same(errors[0], errors[1])
        rounded = np.stack([weights, weights])
        with np.errstate(all="ignore"):
            LevelRounding(codes).descend(one, rounded[0], chosen[0])
            rounding_numpy.descend_levels(codes, two, rounded[1], chosen[1])
        assert same(chosen[0], chosen[1]) and same(rounded[0], rounded[1])
        if columns == 128 and len(codes.codes) <= 32:
            assert len(np.unique(chosen)) == len(codes.codes)


@pytest.mark.parametrize("columns", [8, 32])
@pytest.mark.parametrize("name", POINTS)
def test_points_are_chosen_as_in_numpy(name: str, columns: int) -> None:
    points = point_set(FORMATS[name])
    minimum = points.signs == "fixed"
    one, two = (panel(columns, 8, float(points.levels.max()), minimum=minimum) for _ in range(2))
    random = np.random.default_rng(2)
    weights = random.standard_normal((columns, ROWS)).astype(np.float32)
    mixing = random.standard_normal((columns // 8, 8, 8)) + 2 * np.eye(8)
    metric = GroupMetric.of((mixing @ mixing.swapaxes(1, 2)).astype(np.float32))
    errors = np.empty((2, columns, ROWS), np.float32)
    chosen = [
        ChosenPoints(
            np.empty((columns // points.size, ROWS), np.int32),
            np.empty((columns // 8, ROWS), np.int32),
        )
        for _ in range(2)
    ]
    rounding = PointRounding(points)
    with np.errstate(all="ignore"):
        rounding.feed_back(one, metric, weights, errors[0], chosen[0])
        rounding_numpy.feed_back_points(points, two, metric, weights, errors[1], chosen[1])
    assert same(chosen[0].points, chosen[1].points) and same(chosen[0].signs, chosen[1].signs)
    assert same(errors[0], errors[1])
    rounded = np.stack([weights, weights])
    with np.errstate(all="ignore"):
        rounding.descend(one, metric.bounds, rounded[0], chosen[0])
        rounding_numpy.descend_points(points, two, metric.bounds, rounded[1], chosen[1])
    assert same(chosen[0].points, chosen[1].points) and same(chosen[0].signs, chosen[1].signs)
    assert same(rounded[0], rounded[1])


@pytest.mark.parametrize("name", POINTS)
def test_a_search_finds_the_best_point_and_signs(name: str) -> None:
    """Judged by all points and all sign patterns, in float64."""
    points = point_set(FORMATS[name])
    random = np.random.default_rng(3)
    wanted = (random.standard_normal((8, 6)) * points.levels.max() / 2).astype(np.float32)
    weights = random.exponential(size=8).astype(np.float32)
    levels, _ = rounding_numpy.search(points, wanted, weights)
    found = (weights[:, None].astype(np.float64) * (wanted - levels.astype(np.float64)) ** 2).sum(0)
    grid = points.levels[points.points].astype(np.float64)  # (P, size)
    patterns = 1 - 2 * (np.arange(256)[:, None] >> np.arange(8) & 1)
    if points.signs == "fixed":
        patterns = patterns[:1]
    if points.signs == "even":
        patterns = patterns[patterns.prod(axis=1) == 1]
    for row in range(6):
        halves = []
        for start in range(0, 8, points.size):
            mine = slice(start, start + points.size)
            error = wanted[mine, row] - patterns[:, None, mine] * grid  # (patterns, P, size)
            halves.append((weights[mine] * error**2).sum(axis=2).min(axis=1))
        # Costs of up to 8 terms in float32: relative error below 16 · 2⁻²⁴.
        assert found[row] == pytest.approx(np.sum(halves, axis=0).min(), rel=1e-6)


def test_points_refuse_arrays_that_do_not_fit() -> None:
    points = PointRounding(point_set(FORMATS["IQ2_S"]))
    good = panel(16, 8, 43, minimum=False)
    chosen = ChosenPoints(np.empty((2, ROWS), np.int32), np.empty((1, ROWS), np.int32))
    with pytest.raises(ValueError, match="do not fit each other"):
        points.descend(good, np.ones(16, np.float32), np.empty((16, ROWS), np.float32), chosen)


def test_levels_refuse_more_columns_than_a_panel_has() -> None:
    levels = LevelRounding(code_set(FORMATS["Q4_0"]))
    wide = panel(129, 1, 8, minimum=False)
    with pytest.raises(ValueError, match="do not fit each other"):
        levels.descend(wide, np.empty((129, ROWS), np.float32), np.empty((129, ROWS), np.int32))
