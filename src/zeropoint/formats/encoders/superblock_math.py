"""How formats with super-blocks choose scales, minimums and codes: `kernels` does the same, fast.

A block of 256 weights x has groups g, and with float16 factors d and dmin the file can say

    x ≈ d · s_g · level(q)                 s_g, m_g, q integers of few bits
    x ≈ d · s_g · q − dmin · m_g

The search minimizes Σ cost · (x − ŵ)². Without importance the cost is 1. With importance it is
importance · √(σ² + x²), where σ² is twice the mean square of the block: an error in a large weight
costs more (decision 5 says why). Only what can be stored counts: the error of a candidate is
measured with the stored scale, and with the nearest codes that it has. So nothing is lost by
rounding afterwards, which is what ggml's encoders do (ggml-quants.c, 2026-10): they look for the
best free scale of each group, round it, and round the codes again.

    1. d from the largest weight of each group, as plain rounding has it, with some room above.
    2. For each group, the error of many integers s_g (and m_g) around the plain one.
    3. Rounds: the d (and dmin) that fits all codes of the block best, by least squares, nudged off
       by a few per cent, so that the integers fall elsewhere; then their neighbours. Kept if the
       block's error falls.

Plain rounding is one of the candidates, so the result is never worse than it.

Arrays are (blocks, groups, weights of a group), float32 throughout, and sums over weights or groups
are taken in index order, so the kernels give the same bits (docs/decisions, number 1).
Each block is first brought to a largest weight in 1 … 2 by a power of two, and each block's
importance likewise: squares then neither overflow nor vanish, and nothing is rounded. In these
units a cost below 2^-30 counts as 2^-30, so that a weight without importance stays near its value.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats.base import F32

I32 = NDArray[np.int32]
LARGEST_HALF = np.float32(65504)
LEAST_COST = np.float32(2**-30)  # where the block's largest importance is 1 … 2


@dataclass(frozen=True)
class Factors:
    """A float16 factor of each block, (n, 1): as stored, and in units of the block."""

    half: NDArray[np.float16]
    value: F32


@dataclass(frozen=True)
class Found:
    """What a block stores: d (and dmin) (n,), scales (and minimums) (n, groups), codes (n, 256)."""

    d: NDArray[np.float16]
    scales: I32
    codes: I32  # counted from 0
    dmin: NDArray[np.float16]
    minimums: I32


@dataclass
class Blocks:
    """n blocks of weights in groups, in range, with their units: weight = unit · x."""

    x: F32  # (n, groups, size)
    w: F32 | None  # (n, groups, size), the cost of a squared error; None: 1
    unit: F32  # (n, 1)

    @classmethod
    def of(
        cls, weights: F32, importance: F32 | None, size: int, low: float, high: float
    ) -> "Blocks":
        """Bring (n, 256) weights into low … high, what the format can reach, and into range."""
        reached = clamp(weights, low, high)
        unit = power_below(np.max(np.abs(reached), axis=1, keepdims=True))
        x = (reached / unit).reshape(len(weights), -1, size)
        if importance is None:
            return cls(x, None, unit)
        most = power_below(np.max(importance, axis=1, keepdims=True))
        w = (importance / most).reshape(x.shape) * size_factor(x)
        return cls(x, np.maximum(w, LEAST_COST), unit)

    def weigh(self, terms: F32) -> F32:
        """Multiply terms by their cost, if there is importance."""
        return terms if self.w is None else terms * self.w

    @cached_property
    def sum_w(self) -> F32:
        """Σ w of each group: (n, groups)."""
        return ordered_sum(self.weigh(np.ones_like(self.x)))

    @cached_property
    def sum_x(self) -> F32:
        """Σ w x of each group."""
        return ordered_sum(self.weigh(self.x))

    @cached_property
    def sum_xx(self) -> F32:
        """Σ w x² of each group: the error of scale 0."""
        return ordered_sum(self.weigh(self.x * self.x))

    def factors(self, wanted: F32) -> Factors:
        """Round (n, 1) to float16: at most the largest one, and 0 only for 0."""
        half = clamp(wanted * self.unit, -LARGEST_HALF, LARGEST_HALF).astype(np.float16)
        tiny = np.where(wanted < 0, np.float16(-(2**-24)), np.float16(2**-24))
        half = np.where(half == 0, np.where(wanted == 0, np.float16(0), tiny), half)
        return Factors(half, half.astype(np.float32) / self.unit)


def unless_constant(importance: F32 | None) -> F32 | None:
    """Return the importance (n, 256), n > 0, or None if it is the same everywhere."""
    if importance is None or (importance == importance[0, 0]).all():
        return None
    return importance


def size_factor(x: F32) -> F32:
    """Return √(σ² + x²) of weights (n, groups, size); σ² is twice the mean square of a block."""
    squares = x * x
    total = ordered_sum(squares.reshape(len(x), -1))
    factor: F32 = np.sqrt((total * np.float32(2 / 256))[:, None, None] + squares)
    return factor


def power_below(values: F32) -> F32:
    """Return the largest power of two that is not above each value, within 2^-126 … 2^126."""
    exponent = np.where(values > 0, np.frexp(values)[1] - 1, -126)
    power: F32 = np.ldexp(np.float32(1), np.clip(exponent, -126, 126))
    return power


def ordered_sum(terms: F32) -> F32:
    """Sum over the last axis in index order, in float32."""
    total = np.zeros(terms.shape[:-1], np.float32)
    for index in range(terms.shape[-1]):
        total = total + terms[..., index]
    return total


def clamp(values: F32, low: Any, high: Any) -> F32:
    """Clamp to low … high."""
    return np.minimum(np.maximum(values, np.float32(low)), np.float32(high))


def round_even(values: F32) -> F32:
    """Round |values| < 2^22 to integers, halfway cases to the even one; never −0."""
    return (values + np.float32(1.5 * 2**23)) - np.float32(1.5 * 2**23)


def inverse(values: F32) -> F32:
    """Return 1 / values, and 0 where they are 0."""
    return np.where(values == 0, np.float32(0), np.float32(1) / values)


@dataclass
class State:
    """What is chosen so far, by block and group, and its error."""

    d: Factors
    dmin: Factors
    scale: F32  # (n, groups), integers; 0: all weights of the group become 0
    minimum: F32
    error: F32

    @classmethod
    def zero(cls, d: Factors, dmin: Factors, error: F32) -> "State":
        """Return the state where every group has scale and minimum 0."""
        return cls(d, dmin, np.zeros_like(error), np.zeros_like(error), error)

    def attempt(self, scale: F32, minimum: F32, error: F32, real: F32) -> None:
        """Take a candidate for each group where its error is lower.

        Errors are measured in codes; where the real scale, d · scale, is 0 that means nothing.
        """
        lower = (error < self.error) & (real != 0)
        self.error = np.where(lower, error, self.error)
        self.scale = np.where(lower, scale, self.scale)
        self.minimum = np.where(lower, minimum, self.minimum)

    def better(self, other: "State") -> "State":
        """Return, block by block, the other state where its error is lower."""
        lower = (ordered_sum(other.error) < ordered_sum(self.error))[:, None]

        def pick(yes: Factors, no: Factors) -> Factors:
            return Factors(np.where(lower, yes.half, no.half), np.where(lower, yes.value, no.value))

        return State(
            pick(other.d, self.d),
            pick(other.dmin, self.dmin),
            np.where(lower, other.scale, self.scale),
            np.where(lower, other.minimum, self.minimum),
            np.where(lower, other.error, self.error),
        )

    def found(self, codes: F32) -> Found:
        """Return what is stored."""
        scales, minimums = self.scale.astype(np.int32), self.minimum.astype(np.int32)
        flat = codes.astype(np.int32).reshape(len(codes), -1)
        return Found(self.d.half[:, 0], scales, flat, self.dmin.half[:, 0], minimums)
