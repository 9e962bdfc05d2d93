"""The encoders of IQ1: the nearest points of a shifted grid, the same bits everywhere."""

from itertools import cycle

import numpy as np
import pytest
from numpy.typing import NDArray

from support.block_classes import BLOCKS, IMPORTANCE
from support.grid_blocks import GOLDEN, GRID_BLOCKS, importance_of, rows_of
from zeropoint import kernels
from zeropoint.errors import FormatError
from zeropoint.formats import F32, FORMATS
from zeropoint.formats.encoders.shifted_grid import EncodedShiftedBlocks, shifted_books
from zeropoint.formats.iquants import ShiftedIQuant, grid

KINDS = cycle(["none", *IMPORTANCE])
KINDS_OF_BLOCK = {kind: (next(KINDS), next(KINDS)) for kind in BLOCKS}
LARGEST = np.float32(65504 * 15 * 1.125)  # that the formats can represent


def searched(name: str) -> ShiftedIQuant:
    format = FORMATS[name]
    assert isinstance(format, ShiftedIQuant)
    return format


ALL = pytest.mark.parametrize(
    "format", [searched("IQ1_S"), searched("IQ1_M")], ids=lambda f: f.name
)


def block_errors(weights: F32, decoded: F32) -> NDArray[np.float64]:
    x = weights.reshape(-1, 256).astype(np.float64)
    return np.asarray(((x - decoded.reshape(x.shape)) ** 2).sum(axis=1))


@ALL
@pytest.mark.parametrize("kind", BLOCKS)
def test_the_kernel_equals_the_specification_and_every_block_is_finite(
    format: ShiftedIQuant, kind: str
) -> None:
    weights = rows_of(kind)
    for name in KINDS_OF_BLOCK[kind]:
        importance = importance_of(name)
        given = None if importance is None else importance.reshape(-1, 256)
        blocks = kernels.encode(format, weights, importance)
        np.testing.assert_array_equal(blocks, format.encode_blocks(weights.reshape(-1, 256), given))
        assert np.isfinite(format.decode_blocks(blocks)).all()


@ALL
@pytest.mark.parametrize("kind", BLOCKS)
def test_no_block_is_worse_than_zeros(format: ShiftedIQuant, kind: str) -> None:
    weights = rows_of(kind)
    decoded = format.decode_blocks(kernels.encode(format, weights))
    weights = np.clip(weights, -LARGEST, LARGEST)
    # The sum of 256 squares in float32 is off by up to 256 · 2^-24 of it.
    bound = block_errors(weights, np.zeros_like(decoded)) * (1 + 2**-15)
    assert (block_errors(weights, decoded) <= bound).all()


@pytest.mark.parametrize("number", [0, 1])
def test_the_point_is_the_nearest_of_all_points_with_this_shift(number: int) -> None:
    rng = np.random.default_rng(6)
    book, scale = shifted_books()[number], np.float32(0.043)
    x = (rng.standard_t(4, (50, 8)) * scale).astype(np.float32)
    cost = np.exp(2 * rng.normal(size=x.shape)).astype(np.float32)
    points = grid("IQ1_S").astype(np.float64) + (0.125, -0.125)[number]
    rest = x[:, None].astype(np.float64) - np.float64(scale) * points
    errors = (cost[:, None] * rest**2).sum(axis=2)
    codes, costs = book.nearest_with_cost(x, cost, np.full(50, scale))
    chosen = np.take_along_axis(errors, codes[:, None], axis=1)[:, 0]
    # The number of a half replaces the lowest 7 of 23 bits of a cost.
    assert (chosen <= errors.min(axis=1) * (1 + 2**-15)).all()
    np.testing.assert_allclose(costs, chosen, rtol=2**-15)


@ALL
def test_the_error_is_below_ggmls(format: ShiftedIQuant) -> None:
    """On weights of four kinds, 8 blocks each, in the weighting that both encoders minimize."""
    weights, importance = GOLDEN["weights"], GOLDEN["importance"]
    x = weights.astype(np.float64).reshape(len(weights), -1, 256)
    cost = importance * np.sqrt(2 * (x**2).mean(axis=2, keepdims=True) + x**2).reshape(
        weights.shape
    )
    decoded = format.decode_blocks(kernels.encode(format, weights, importance))
    error = (cost * (weights - decoded.reshape(weights.shape)) ** 2).sum(axis=1)
    theirs = GRID_BLOCKS[f"{format.name}/error"]
    assert (error.reshape(4, -1).sum(axis=1) < theirs.reshape(4, -1).sum(axis=1)).all()


@ALL
def test_packing_is_the_inverse_of_decoding(format: ShiftedIQuant) -> None:
    rng = np.random.default_rng(8)
    groups = 256 // format.group_size
    minus = rng.integers(0, 2, (20, groups if not format.search.separate_shifts else 32))
    encoded = EncodedShiftedBlocks(
        rng.uniform(0.5, 2, 20).astype(np.float16),
        rng.integers(0, 8, (20, groups)).astype(np.int32),
        rng.integers(0, 2048, (20, 32)).astype(np.int32),
        np.repeat(minus, 32 // minus.shape[1], axis=1).astype(np.int32),
    )
    parts = format.parts(format.pack(encoded))
    multiple = 2 * encoded.scales + 1
    np.testing.assert_array_equal(parts.scale, encoded.d[:, None].astype(np.float32) * multiple)
    points = grid("IQ1_S")[encoded.codes]
    np.testing.assert_array_equal(parts.codes, points.reshape(20, 256))
    shift = np.where(encoded.minus, np.float32(-0.125), np.float32(0.125))
    np.testing.assert_array_equal(parts.values, (points + shift[:, :, None]).reshape(20, 256))


@ALL
def test_no_blocks_are_no_bytes_and_a_weight_that_is_not_finite_is_refused(
    format: ShiftedIQuant,
) -> None:
    nothing = np.zeros((0, 256), np.float32)
    for importance in (None, nothing):
        assert format.encode_blocks(nothing, importance).shape == (0, format.block_bytes)
    weights = np.ones((2, 256), np.float32)
    weights[1, 3] = np.nan
    with pytest.raises(FormatError, match="weight 259 is nan"):
        format.encode_blocks(weights)
