"""The encoders of IQ2 and IQ3: the nearest points of their grids, the same bits everywhere."""

from itertools import cycle

import numpy as np
import pytest
from numpy.typing import NDArray

from support.block_classes import BLOCKS, IMPORTANCE
from support.grid_blocks import GOLDEN, GRID_BLOCKS, importance_of, rows_of
from zeropoint import kernels
from zeropoint.errors import FormatError
from zeropoint.formats import F32, FORMATS
from zeropoint.formats.encoders.grid_points import codebook
from zeropoint.formats.grids import GRIDS
from zeropoint.formats.iquants import SearchedIQuant

F64 = NDArray[np.float64]

NAMES = ("IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S")
KINDS = cycle(["none", *IMPORTANCE])
KINDS_OF_BLOCK = {kind: (next(KINDS), next(KINDS), next(KINDS)) for kind in BLOCKS}


def searched(name: str) -> SearchedIQuant:
    format = FORMATS[name]
    assert isinstance(format, SearchedIQuant)
    return format


ALL = pytest.mark.parametrize("format", [searched(name) for name in NAMES], ids=lambda f: f.name)


def costs_of(weights: F32, importance: F32 | None) -> F64:
    """The cost of a squared error of each weight, (blocks, 256), as the specification counts it.

    Importance times √(2 · mean square of the block + weight²), at least 2^-30 in units of the
    block: of its largest importance and weight, both rounded down to a power of two.
    """
    x = weights.reshape(-1, 256).astype(np.float64)
    if importance is None or (importance == importance[0]).all():
        return np.ones_like(x)
    given = np.tile(importance.astype(np.float64).reshape(-1, 256), (len(weights), 1))
    cost = given * np.sqrt(2 * (x**2).mean(axis=1, keepdims=True) + x**2)
    least = 2.0**-30 * power_below(given.max(axis=1)) * power_below(np.abs(x).max(axis=1))
    return np.asarray(np.maximum(cost, least[:, None]))


def power_below(values: F64) -> F64:
    exponent = np.where(values > 0, np.frexp(values)[1] - 1, -126)
    return np.asarray(np.exp2(np.clip(exponent, -126, 126)))


def block_errors(weights: F32, decoded: F32 | F64, costs: F64) -> F64:
    x = weights.reshape(-1, 256).astype(np.float64)
    return np.asarray((costs * (x - decoded.reshape(x.shape)) ** 2).sum(axis=1))


def largest(format: SearchedIQuant) -> np.float32:
    """The largest weight that the format can represent."""
    return np.float32(65504 * 31 * format.search.unit * max(GRIDS[format.name].levels))


def plain(format: SearchedIQuant, weights: F32, costs: F64) -> F64:
    """Round with nothing searched: the largest weight of a group on the largest level.

    The nearest point is found by comparing all of them, in float64.
    """
    points = np.array(GRIDS[format.name].points(), np.float64)
    x = weights.reshape(-1, 256).astype(np.float64)
    minus, magnitude = x < 0, np.abs(x)
    if format.search.even_signs:
        eights = (costs * magnitude).reshape(-1, 32, 8)
        cheapest = np.arange(8) == eights.argmin(axis=2)[:, :, None]
        odd = minus.reshape(-1, 32, 8).sum(axis=2) % 2 == 1
        flipped = (cheapest & odd[:, :, None]).reshape(x.shape)
        minus, magnitude = minus ^ flipped, np.where(flipped, -magnitude, magnitude)
    groups = magnitude.reshape(len(x), -1, format.group_size)
    scale = groups.max(axis=2) / points.max() / format.search.unit
    d = np.clip(scale.max(axis=1, keepdims=True) / 31, 0, 65504).astype(np.float16)
    d = d.astype(np.float64)
    ratio = np.divide(scale, d, out=np.zeros_like(scale), where=d != 0)
    multiple = np.clip(2 * np.rint((ratio - 1) / 2) + 1, 1, 31)
    real = np.repeat(d * format.search.unit * multiple, format.group_size, axis=1)
    vectors, size = magnitude.reshape(len(x), -1, 1, points.shape[1]), points.shape[1]
    candidates = real.reshape(len(x), -1, size)[:, :, :1, None] * points
    errors = (costs.reshape(vectors.shape) * (vectors - candidates) ** 2).sum(axis=3)
    best = np.take_along_axis(candidates, errors.argmin(axis=2)[:, :, None, None], axis=2)
    return np.where(minus, -1, 1) * best.reshape(x.shape)


@ALL
@pytest.mark.parametrize("kind", BLOCKS)
def test_the_kernel_equals_the_specification_and_no_block_is_worse_than_plain_rounding(
    format: SearchedIQuant, kind: str
) -> None:
    weights = rows_of(kind)
    for name in KINDS_OF_BLOCK[kind]:
        importance = importance_of(name)
        given = None if importance is None else importance.reshape(-1, 256)
        blocks = kernels.encode(format, weights, importance)
        np.testing.assert_array_equal(blocks, format.encode_blocks(weights.reshape(-1, 256), given))
        decoded = format.decode_blocks(blocks)
        assert np.isfinite(decoded).all()
        weights = np.clip(weights, -largest(format), largest(format))  # as in the search
        costs = costs_of(weights, importance)
        ours = np.sqrt(block_errors(weights, decoded, costs))
        # In float32 a difference x − ŵ is off by up to 2^-22 of x, a point is the nearest but for
        # 2^-16 of its cost, and a sum or a mean of 256 squares is off by up to 256 · 2^-24 of it.
        slack = np.sqrt(block_errors(weights * np.float32(2**-22), np.zeros_like(decoded), costs))
        for baseline in (plain(format, weights, costs), np.zeros_like(decoded)):
            bound = np.sqrt(block_errors(weights, baseline, costs)) * (1 + 2**-14)
            assert (ours <= bound + slack).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_point_is_the_nearest_of_all_points(name: str) -> None:
    rng = np.random.default_rng(6)
    book, scale = codebook(name), np.float32(0.043)
    x = np.abs(rng.standard_t(4, (50, book.size)) * scale * book.levels[-1] / 2).astype(np.float32)
    cost = np.exp(2 * rng.normal(size=x.shape)).astype(np.float32)
    points = np.array(GRIDS[name].points(), np.float64)
    rest = x[:, None].astype(np.float64) - np.float64(scale) * points
    errors = (cost[:, None] * rest**2).sum(axis=2)
    codes = book.nearest(x, cost, np.full(50, scale))
    chosen = np.take_along_axis(errors, codes[:, None], axis=1)[:, 0]
    # The number of a half replaces the lowest 7 of 23 bits of a cost.
    assert (chosen <= errors.min(axis=1) * (1 + 2**-15)).all()
    found = book.least(x, cost, np.full(50, scale))
    np.testing.assert_allclose(found, errors.min(axis=1), rtol=2**-18, atol=1e-12)


@ALL
def test_the_error_is_below_ggmls(format: SearchedIQuant) -> None:
    """On weights of four kinds, 8 blocks each, in the weighting that both encoders minimize."""
    blocks = kernels.encode(format, GOLDEN["weights"], GOLDEN["importance"])
    costs = costs_of(GOLDEN["weights"], GOLDEN["importance"])
    ours = block_errors(GOLDEN["weights"], format.decode_blocks(blocks), costs)
    theirs = GRID_BLOCKS[f"{format.name}/error"].reshape(4, 4)
    assert (ours.reshape(4, 8).sum(axis=1) < theirs.sum(axis=1)).all()


@ALL
def test_seven_bits_store_the_signs_of_eight_weights_with_one_change_at_most(
    format: SearchedIQuant,
) -> None:
    weights = rows_of("normal", "heavy tail")
    decoded = format.decode_blocks(kernels.encode(format, weights, importance_of("exponential")))
    other = ((weights < 0) != (decoded.reshape(weights.shape) < 0)).reshape(-1, 8).sum(axis=1)
    odd = (weights < 0).reshape(-1, 8).sum(axis=1) % 2
    np.testing.assert_array_equal(other, odd if format.search.even_signs else np.zeros_like(odd))


@ALL
def test_no_blocks_are_no_bytes_and_a_weight_that_is_not_finite_is_refused(
    format: SearchedIQuant,
) -> None:
    nothing = np.zeros((0, 256), np.float32)
    for importance in (None, nothing):
        assert format.encode_blocks(nothing, importance).shape == (0, format.block_bytes)
    weights = np.ones((2, 256), np.float32)
    weights[1, 3] = np.nan
    with pytest.raises(FormatError, match="weight 259 is nan"):
        format.encode_blocks(weights)
