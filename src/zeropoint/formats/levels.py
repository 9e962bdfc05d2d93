"""Levels: the values of codes in units of the scale, and the level nearest to a number."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats.base import F32, U8


class Levels(Protocol):
    """An ordered set of levels."""

    def nearest(self, ratio: F32) -> F32:
        """Return the level nearest to each ratio of weight to scale, in any shape."""

    def codes(self, level: F32) -> U8:
        """Return the stored code of each level."""


@dataclass(frozen=True)
class IntegerLevels:
    """All integers from `low` to `high`, ties to even; the code is the distance from `low`."""

    low: int
    high: int

    def nearest(self, ratio: F32) -> F32:
        return np.rint(np.clip(ratio, np.float32(self.low), np.float32(self.high)))

    def codes(self, level: F32) -> U8:
        return (level.astype(np.int16) - self.low).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class TableLevels:
    """The values of an ascending table, ties to the lower one; the code is the index."""

    values: F32

    def nearest(self, ratio: F32) -> F32:
        middles = (self.values[1:] + self.values[:-1]) / 2
        return self.values[np.searchsorted(middles, ratio)]

    def codes(self, level: F32) -> U8:
        return np.searchsorted(self.values, level).astype(np.uint8)


class E2M1DoubledLevels:
    """Twice the values of FP4 E2M1: ±0, 1, 2, 3, 4, 6, 8, 12, ties to the even mantissa.

    The steps are 1 up to 4, then 2, then 4, and a ratio is rounded to a multiple of its step. The
    code is the index of the magnitude, plus 8 for negative levels. A zero is stored as +0.
    """

    magnitudes = np.array([0, 1, 2, 3, 4, 6, 8, 12], np.float32)

    def nearest(self, ratio: F32) -> F32:
        magnitude = np.minimum(np.abs(ratio), np.float32(12))
        exponent = np.maximum(np.frexp(magnitude)[1] - 1, 1)  # magnitude is in [2^e, 2^(e+1))
        step: NDArray[np.float32] = np.ldexp(np.float32(0.5), exponent)
        return np.copysign(np.rint(magnitude / step) * step, ratio)

    def codes(self, level: F32) -> U8:
        place = np.searchsorted(self.magnitudes, np.abs(level))
        return (place + np.where(level < 0, 8, 0)).astype(np.uint8)
