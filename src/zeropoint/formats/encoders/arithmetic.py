"""Arithmetic of the encoders in float32, operation for operation what the kernels compute.

Every function here has a twin in native/src/simd/block_vectors.hpp or in the header of its family,
superblocks.hpp or groups.hpp. `np.sum` and `dot` are not used: the order of additions is part of
the specification (decision 1).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats.base import F32

I32 = NDArray[np.int32]

MAX_FLOAT16 = np.float32(65504)
MIN_SCALE = np.float32(2.0**-120)  # in units of scaled weights; no ratio to it overflows


def ordered_sum(terms: F32) -> F32:
    """Return the sums over the last axis in float32, added in index order.

    The kernels add in the same order and so give the same bits; `np.sum` adds pairwise and does
    not.
    """
    total = np.zeros(terms.shape[:-1], np.float32)
    for index in range(terms.shape[-1]):
        total = total + terms[..., index]
    return total


def clamp(values: F32, low: Any, high: Any) -> F32:
    """Clamp to low … high."""
    return np.minimum(np.maximum(values, np.float32(low)), np.float32(high))


def round_even(values: F32) -> F32:
    """Round |values| < 2^22 to integers, ties to even; the result is never −0."""
    return (values + np.float32(1.5 * 2**23)) - np.float32(1.5 * 2**23)


def divide(dividend: F32, divisor: F32) -> F32:
    """Return dividend / divisor, and 0 where the divisor is 0."""
    return np.divide(dividend, divisor, out=np.zeros_like(dividend), where=divisor != 0)


def inverse(values: F32) -> F32:
    """Return 1 / values, and 0 where they are 0."""
    return np.where(values == 0, np.float32(0), np.float32(1) / values)


def reciprocal(scale: F32) -> F32:
    """Return 1 / scale, and 0 for scales below 2^-120, which cannot contribute."""
    ones, zeros = np.ones_like(scale), np.zeros_like(scale)
    return np.divide(ones, scale, out=zeros, where=np.abs(scale) >= MIN_SCALE)


def power_below(values: F32) -> F32:
    """Return the largest power of two that does not exceed each value, within 2^-126 … 2^126."""
    exponent = np.where(values > 0, np.frexp(values)[1] - 1, -126)
    return power_of_two(np.clip(exponent, -126, 126))


def exponent_of(largest: F32) -> I32:
    """Return e with largest / 2^e in [½, 1), clamped to −125 … 126 so that 2^±e are normal."""
    exponent = np.where(largest > 0, np.frexp(largest)[1], -125)
    return np.clip(exponent, -125, 126).astype(np.int32)


def power_of_two(exponent: I32) -> F32:
    """Return 2^exponent."""
    power: F32 = np.ldexp(np.float32(1), exponent)
    return power
