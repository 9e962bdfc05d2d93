"""Scaled groups of weights, from which the encoders of small blocks search scales.

Encoders minimize Σ importance · (w − ŵ)² over the weights of a group, where ŵ are the decoded
weights. The weights and the importance of each group are first divided by powers of two. That
changes no later rounding, and the sums neither overflow nor vanish, whatever the units of the
tensor and of the importance.

The kernels compute the same in float32 without contraction, with one vector lane per group. Every
sum runs over the weights of a group in index order (docs/decisions/0001).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats.base import F32, ordered_sum

I32 = NDArray[np.int32]
U16 = NDArray[np.uint16]

MAX_FLOAT16 = np.float32(65504)
MIN_SCALE = np.float32(2.0**-120)  # in units of the scaled weights; no ratio to it overflows


@dataclass(frozen=True)
class ScaledGroups:
    """Scaled weights and importance of n groups."""

    #: (n, size), magnitudes below 4; the largest of a group is at least ½ if that is possible.
    weights: F32
    #: (n, size), below 2.
    importance: F32
    #: (n,), the first weight of largest magnitude.
    peak: F32
    #: (n,); the weights of the tensor are weights · 2^exponent.
    exponent: I32

    def stored(self, values: F32) -> U16:
        """Return (n,) scales or minimums as the bits of the float16 that is stored."""
        with np.errstate(over="ignore"):  # beyond float32 the result is the largest float16
            return to_f16(values * power_of_two(self.exponent))

    def in_units(self, bits: U16) -> F32:
        """Return (n,) stored float16 numbers in the units of the scaled weights."""
        return from_f16(bits) * power_of_two(-self.exponent)

    def error(self, decoded: F32) -> F32:
        """Return Σ importance · (w − decoded)² of each group, (n,)."""
        residual = self.weights - decoded
        with np.errstate(over="ignore"):  # an infinite error is never the lowest
            return ordered_sum((self.importance * residual) * residual)


def make_groups(weights: F32, importance: F32 | None) -> ScaledGroups:
    """Scale (n, size) weights and importance; a group whose importance is all 0 gets ones."""
    magnitude = np.abs(weights)
    rows = np.arange(len(weights))
    peak = weights[rows, magnitude.argmax(axis=1)]
    exponent = exponent_of(np.abs(peak))
    scaled = weights * power_of_two(-exponent)[:, None]
    if importance is None:
        importance = np.ones_like(weights)
    else:
        largest = importance.max(axis=1)
        importance = np.where(largest[:, None] > 0, importance, np.float32(1))
        shrink = power_of_two(-exponent_of(np.where(largest > 0, largest, np.float32(1))))
        importance = importance * shrink[:, None]
    return ScaledGroups(scaled, importance, scaled[rows, magnitude.argmax(axis=1)], exponent)


def exponent_of(largest: F32) -> I32:
    """Return e with largest / 2^e in [½, 1), clamped to −125 … 126 so that 2^±e are normal."""
    exponent = np.where(largest > 0, np.frexp(largest)[1], -125)
    return np.clip(exponent, -125, 126).astype(np.int32)


def power_of_two(exponent: I32) -> F32:
    """Return 2^exponent."""
    return np.ldexp(np.float32(1), exponent)


def divide(dividend: F32, divisor: F32) -> F32:
    """Return dividend / divisor, and 0 where the divisor is 0."""
    return np.divide(dividend, divisor, out=np.zeros_like(dividend), where=divisor != 0)


def reciprocal(scale: F32) -> F32:
    """Return 1 / scale, and 0 for scales below 2^-120, which cannot contribute."""
    ones, zeros = np.ones_like(scale), np.zeros_like(scale)
    return np.divide(ones, scale, out=zeros, where=np.abs(scale) >= MIN_SCALE)


def to_f16(values: F32) -> U16:
    """Return the bits of (n,) numbers as float16, rounded to even and at most the largest one."""
    return np.clip(values, -MAX_FLOAT16, MAX_FLOAT16).astype(np.float16).view(np.uint16)


def from_f16(bits: U16) -> F32:
    """Return the numbers whose float16 bits are given."""
    return bits.view(np.float16).astype(np.float32)


def neighbours(bits: U16) -> list[U16]:
    """Return float16 bits, the next ones towards 0, and the next ones away from 0 if finite."""
    magnitude = bits & np.uint16(0x7FFF)
    lower = bits - (magnitude > 0)
    upper = bits + (magnitude < 0x7BFF)
    return [bits, lower.astype(np.uint16), upper.astype(np.uint16)]
