"""Random matrices of every format, and activations to multiply them with."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from zeropoint import kernels
from zeropoint.formats import F32, FORMATS, U8, Format, QuantizedTensor

F64 = NDArray[np.float64]
FLOATS = ("F32", "F16", "BF16")
NOT_WEIGHTS = {"F64", "I8", "I16", "I32", "I64"}
WEIGHTS = [format for format in FORMATS.values() if format.name not in NOT_WEIGHTS]
ALL = pytest.mark.parametrize("format", WEIGHTS, ids=lambda f: f.name)
BLOCKS = pytest.mark.parametrize(
    "format", [f for f in WEIGHTS if f.name not in FLOATS], ids=lambda f: f.name
)


@cache
def ordinary_blocks(format: Format) -> U8:
    """Random blocks whose largest weight is between 1e-3 and 1e3: no NaN, no infinity."""
    rng = np.random.default_rng(5)
    blocks = rng.integers(
        0, 256, (200_000 // format.block_size, format.block_bytes), dtype=np.uint8
    )
    peaks = np.abs(kernels.decode(format, blocks)).max(axis=1)
    kept: U8 = blocks[np.isfinite(peaks) & (peaks > 1e-3) & (peaks < 1e3)]
    assert len(kept) > 8
    return kept


def random_tensor(format: Format, rows: int, columns: int, seed: int = 0) -> QuantizedTensor:
    pool = ordinary_blocks(format)
    chosen = np.random.default_rng(seed).integers(0, len(pool), rows * columns // format.block_size)
    return QuantizedTensor(format, (rows, columns), pool[chosen])


def decoded(tensor: QuantizedTensor) -> F64:
    return kernels.decode(tensor.format, tensor.data).reshape(tensor.shape).astype(np.float64)


def random_activations(count: int, columns: int, seed: int = 1) -> F32:
    """Normal, with outlying columns, as a language model's are."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, columns)).astype(np.float32)
    return np.asarray(x * np.exp2(rng.integers(-3, 4, columns)), np.float32)


def columns_of(format: Format) -> int:
    """Three blocks of the widest format; without blocks, a number that no unit divides."""
    return 768 if format.block_size > 1 else 333
