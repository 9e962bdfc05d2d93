"""Groups on their way into an encoder: in a range where no sum overflows, and sums in index order.

Encoders minimise Σ importance · (w − ŵ)² over the weights of a group, where ŵ is what the stored
bytes decode to. Before that, each group's weights and importance are divided by powers of two,
which changes no rounding that follows: the sums then neither overflow nor vanish, whatever the
units of the tensor and of the statistics.

The kernels give a vector lane to each group and compute the same, in float32, without contraction;
every sum runs over the weights of a group in index order (docs/decisions/0001).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats.base import F32, ordered_sum

I32 = NDArray[np.int32]
U16 = NDArray[np.uint16]

F16_MAX = np.float32(65504)
LEAST_SCALE = np.float32(2.0**-120)  # in units of the scaled weights; no ratio to it overflows


@dataclass(frozen=True)
class Groups:
    """Scaled weights and importance of n groups, (n, size) each, and what they were divided by."""

    weights: F32  # magnitudes below 4, the largest of a group ≥ ½ if that is possible
    importance: F32  # below 2
    peak: F32  # (n,), the weight of largest magnitude, of several the first
    exponent: I32  # (n,): real weights are weights · 2^exponent

    def stored(self, values: F32) -> U16:
        """Round (n,) scales or minimums to the float16 they are stored as: its bits."""
        with np.errstate(over="ignore"):  # beyond float32 as well: the largest float16
            return to_f16(values * power_of_two(self.exponent))

    def in_units(self, bits: U16) -> F32:
        """Return stored float16s in the units of the scaled weights: (n,)."""
        return from_f16(bits) * power_of_two(-self.exponent)

    def error(self, decoded: F32) -> F32:
        """Σ importance · (w − decoded)² of each group: (n,)."""
        residual = self.weights - decoded
        with np.errstate(over="ignore"):  # infinite, and so never the least
            return ordered_sum((self.importance * residual) * residual)


def make_groups(weights: F32, importance: F32 | None) -> Groups:
    """Scale (n, size) weights and importance; a group without any importance gets ones."""
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
    return Groups(scaled, importance, scaled[rows, magnitude.argmax(axis=1)], exponent)


def exponent_of(largest: F32) -> I32:
    """Return e with largest / 2^e in [½, 1), but within −125 … 126: 2^e and 2^−e are normal."""
    exponent = np.where(largest > 0, np.frexp(largest)[1], -125)
    return np.clip(exponent, -125, 126).astype(np.int32)


def power_of_two(exponent: I32) -> F32:
    """Return 2^exponent."""
    return np.ldexp(np.float32(1), exponent)


def divide(dividend: F32, divisor: F32) -> F32:
    """Return dividend / divisor, and 0 where the divisor is 0."""
    return np.divide(dividend, divisor, out=np.zeros_like(dividend), where=divisor != 0)


def reciprocal(scale: F32) -> F32:
    """Return 1 / scale, and 0 for what is so small, beside the group's peak, that it may be 0."""
    ones, zeros = np.ones_like(scale), np.zeros_like(scale)
    return np.divide(ones, scale, out=zeros, where=np.abs(scale) >= LEAST_SCALE)


def to_f16(values: F32) -> U16:
    """Round to float16, to nearest even; what is too large becomes the largest: the bits, (n,)."""
    return np.clip(values, -F16_MAX, F16_MAX).astype(np.float16).view(np.uint16)


def from_f16(bits: U16) -> F32:
    """Return the numbers that bits of float16 mean."""
    return bits.view(np.float16).astype(np.float32)


def neighbours(bits: U16) -> list[U16]:
    """Return float16s, the next ones towards zero, and the next ones away from it, if finite."""
    magnitude = bits & np.uint16(0x7FFF)
    lower = bits - (magnitude > 0)
    upper = bits + (magnitude < 0x7BFF)
    return [bits, lower.astype(np.uint16), upper.astype(np.uint16)]
