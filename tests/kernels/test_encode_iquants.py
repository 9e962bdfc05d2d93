"""What holds for the encoders of all IQ formats whose codes name points of grids."""

import numpy as np
import pytest

from support.grid_blocks import COLUMNS, GOLDEN, GRID_BLOCKS, importance_of, rows_of
from zeropoint import kernels
from zeropoint.formats import FORMATS, StorageFormat

NAMES = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S")
ALL = pytest.mark.parametrize("format", [FORMATS[name] for name in NAMES], ids=lambda f: f.name)


@ALL
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_bytes_do_not_depend_on_threads_or_neighbours(
    format: StorageFormat, threads: int
) -> None:
    rng = np.random.default_rng(4)
    weights = rng.standard_t(3, (90, COLUMNS)).astype(np.float32)
    importance = rng.exponential(size=COLUMNS).astype(np.float32)
    many = kernels.encode(format, weights, importance, threads=threads)
    for row in (0, 43, 89):
        alone = kernels.encode(format, weights[row : row + 1], importance)
        np.testing.assert_array_equal(alone, many[2 * row : 2 * row + 2])


@ALL
@pytest.mark.parametrize("kind", ["plain", "weighted"])
def test_the_bytes_are_those_of_the_golden_file(format: StorageFormat, kind: str) -> None:
    importance = GOLDEN["importance"] if kind == "weighted" else None
    blocks = kernels.encode(format, GOLDEN["weights"][::4], importance)
    np.testing.assert_array_equal(blocks, GRID_BLOCKS[f"{format.name}/{kind}"])


@ALL
def test_importance_that_is_the_same_everywhere_is_none(format: StorageFormat) -> None:
    weights = rows_of("heavy tail", "normal")
    without = kernels.encode(format, weights)
    for value in (0, 1e-30, 1, 2.7):
        importance = np.full(COLUMNS, value, np.float32)
        np.testing.assert_array_equal(kernels.encode(format, weights, importance), without)


@ALL
@pytest.mark.parametrize("kind", ["none", "lognormal"])
def test_the_unit_of_weights_and_importance_does_not_matter(
    format: StorageFormat, kind: str
) -> None:
    """Powers of two pass through the search, as long as float16 holds d."""
    weights, importance = rows_of("heavy tail", "normal") * np.float32(64), importance_of(kind)
    scaled = None if importance is None else importance * np.float32(2**40)
    small = format.decode_blocks(kernels.encode(format, weights, importance))
    large = format.decode_blocks(kernels.encode(format, weights * np.float32(2**9), scaled))
    np.testing.assert_array_equal(large, small * np.float32(2**9))
