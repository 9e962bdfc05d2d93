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

from zeropoint.formats.base import F32
from zeropoint.formats.encoders.arithmetic import (
    I32,
    MAX_FLOAT16,
    exponent_of,
    ordered_sum,
    power_of_two,
)

U16 = NDArray[np.uint16]


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
