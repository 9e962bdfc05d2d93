"""Encoding numbers one by one: nearest, ties to even, and refusing what does not fit."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropoint import kernels
from zeropoint.errors import FormatError
from zeropoint.formats import F32, FORMATS

FLOATS = ("F32", "F16", "BF16", "F64")
DTYPES = {"F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "F64": np.float64}


def any_finite(seed: int, limit: float) -> F32:
    """Random bit patterns: every magnitude, subnormals among them; and ties."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2**32, 4000, np.uint32)
    bits[:1500] &= np.uint32(0xFFFF8000)  # halfway between two bfloat16, or on one
    bits[1500:3000] &= np.uint32(0xFFFFF000)  # the same for float16
    weights = bits.view(np.float32)
    with np.errstate(invalid="ignore"):
        return weights[np.abs(weights) < limit].reshape(1, -1)


@pytest.mark.parametrize("name", FLOATS)
@given(seed=st.integers(0, 2**32 - 1))
def test_floats_are_rounded_to_nearest_even(name: str, seed: int) -> None:
    format = FORMATS[name]
    weights = any_finite(seed, format.limit)
    expected = weights.astype(DTYPES[name]).view(np.uint8).reshape(-1, format.block_bytes)
    rows = weights.reshape(-1, 1)
    np.testing.assert_array_equal(format.encode_blocks(rows), expected)
    np.testing.assert_array_equal(kernels.encode(format, weights, threads=2), expected)


@pytest.mark.parametrize(
    ("name", "limit"), [("F16", 65520.0), ("BF16", 255.5 * 2.0**120)], ids=["F16", "BF16"]
)
def test_what_would_round_to_infinity_is_refused_and_nothing_below(name: str, limit: float) -> None:
    format = FORMATS[name]
    below = np.nextafter(np.float32(limit), np.float32(0))
    weights = np.full((2, 4), -below)
    decoded = format.decode_blocks(kernels.encode(format, weights))
    assert np.isfinite(decoded).all()
    weights[1, 2] = limit
    with pytest.raises(FormatError, match=r"weight 6 \(row 1, column 2\) is .*below"):
        kernels.encode(format, weights)
    with pytest.raises(FormatError, match=r"weight 6 is .*below"):
        format.encode_blocks(weights.reshape(-1, 1))


@pytest.mark.parametrize("name", ["I8", "I16", "I32", "I64"])
def test_integers_are_stored_exactly_or_refused(name: str) -> None:
    format = FORMATS[name]
    bits = 8 * format.block_bytes
    largest = np.nextafter(np.float32(2.0 ** (bits - 1)), np.float32(0)) if bits > 16 else None
    top = float(largest if largest is not None else 2 ** (bits - 1) - 1)
    weights = np.array([[0, 1, -1, -(2.0 ** (bits - 1)), top]], np.float32)
    decoded = format.decode_blocks(kernels.encode(format, weights))
    np.testing.assert_array_equal(decoded.reshape(1, -1), weights)
    for bad in (0.5, 2.0 ** (bits - 1), -(2.0 ** (bits - 1)) * 1.5):
        with pytest.raises(FormatError, match="stores whole numbers"):
            kernels.encode(format, np.array([[1, bad]], np.float32))
