"""The search for scales, minimums and codes of super-blocks; `kernels` computes the same, faster.

A block of 256 weights x has groups g. With float16 factors d and dmin it can represent

    x ≈ d · s_g · level(q)                 s_g, m_g, q integers of few bits
    x ≈ d · s_g · q − dmin · m_g

The search minimizes Σ cost · (x − ŵ)². Without importance the cost is 1. With importance it is
importance · √(σ² + x²), where σ² is twice the mean square of the block: an error in a large weight
costs more (decision 5 has the reason). The error of a candidate is computed with the scale as it is
stored, and with the codes nearest under it, so no later rounding can increase it. ggml's encoders
(ggml-quants.c, 2026-10) search the best float scale of each group, round it, and round the codes
again.

    1. d follows from the largest weight of each group, as in plain rounding, with a margin above.
    2. For each group, compute the error of several integers s_g (and m_g) around the plain one.
    3. In each round, take the d (and dmin) that fits all codes of the block best by least squares,
       changed by a few per cent so that other integers result, and the integers next to the
       current ones. Keep the result if the error of the block decreases.

Plain rounding is one of the candidates, so the result is never worse than plain rounding.

Arrays are (blocks, groups, weights of a group), float32 throughout. Sums over weights or groups are
in index order, so the kernels give the same bits (decision 1). Each block is first scaled by a
power of two to a largest weight from 1 to 2, and so is its importance: squares then neither
overflow nor vanish, and nothing is rounded. In these units a cost below 2^-30 counts as 2^-30, so
that a weight without importance stays close to its value.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats.base import F32
from zeropoint.formats.encoders.arithmetic import I32, MAX_FLOAT16, clamp, ordered_sum, power_below

MIN_COST = np.float32(2**-30)  # where the largest importance of a block is from 1 to 2


@dataclass(frozen=True)
class BlockFactors:
    """A float16 factor of each block, (n, 1): as stored, and in the units of the block."""

    half: NDArray[np.float16]
    value: F32


@dataclass(frozen=True)
class EncodedSuperblocks:
    """Contents of n blocks: d and dmin (n,), scales and minimums (n, groups), codes (n, 256)."""

    d: NDArray[np.float16]
    scales: I32
    codes: I32  # counted from 0
    dmin: NDArray[np.float16]
    minimums: I32


@dataclass
class SuperblockGroups:
    """Scaled weights of n blocks in groups: weight = unit · x."""

    #: (n, groups, size)
    x: F32
    #: (n, groups, size), the cost of a squared error; None: 1.
    w: F32 | None
    #: (n, 1)
    unit: F32

    @classmethod
    def of(
        cls, weights: F32, importance: F32 | None, size: int, low: float, high: float
    ) -> "SuperblockGroups":
        """Clamp (n, 256) weights to low … high, which the format can represent, and scale them."""
        clamped = clamp(weights, low, high)
        unit = power_below(np.max(np.abs(clamped), axis=1, keepdims=True))
        x = (clamped / unit).reshape(len(weights), -1, size)
        if importance is None:
            return cls(x, None, unit)
        largest = power_below(np.max(importance, axis=1, keepdims=True))
        w = (importance / largest).reshape(x.shape) * size_factor(x)
        return cls(x, np.maximum(w, MIN_COST), unit)

    def weigh(self, terms: F32) -> F32:
        """Multiply (n, groups, size) terms by their cost, if there is importance."""
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

    def factors(self, wanted: F32) -> BlockFactors:
        """Round (n, 1) factors to float16: at most the largest float16, and 0 only for 0."""
        half = clamp(wanted * self.unit, -MAX_FLOAT16, MAX_FLOAT16).astype(np.float16)
        tiny = np.where(wanted < 0, np.float16(-(2**-24)), np.float16(2**-24))
        half = np.where(half == 0, np.where(wanted == 0, np.float16(0), tiny), half)
        return BlockFactors(half, half.astype(np.float32) / self.unit)


def unless_constant(importance: F32 | None) -> F32 | None:
    """Return the importance (n, 256), n > 0, or None if all its values are equal."""
    if importance is None or (importance == importance[0, 0]).all():
        return None
    return importance


def size_factor(x: F32) -> F32:
    """Return √(σ² + x²) of (n, groups, size) weights; σ² is twice the mean square of a block."""
    squares = x * x
    total = ordered_sum(squares.reshape(len(x), -1))
    factor: F32 = np.sqrt((total * np.float32(2 / 256))[:, None, None] + squares)
    return factor


@dataclass
class SearchState:
    """The best scales and minimums so far, (n, groups), and their error."""

    d: BlockFactors
    dmin: BlockFactors
    #: Integers; 0: all weights of the group become 0.
    scale: F32
    minimum: F32
    error: F32

    @classmethod
    def zero(cls, d: BlockFactors, dmin: BlockFactors, error: F32) -> "SearchState":
        """Return the state in which every group has scale and minimum 0."""
        return cls(d, dmin, np.zeros_like(error), np.zeros_like(error), error)

    def attempt(self, scale: F32, minimum: F32, error: F32, real: F32) -> None:
        """Take a candidate for each group in which its error is lower.

        `real` is d · scale. Errors are in units of codes, which have no meaning where it is 0.
        """
        lower = (error < self.error) & (real != 0)
        self.error = np.where(lower, error, self.error)
        self.scale = np.where(lower, scale, self.scale)
        self.minimum = np.where(lower, minimum, self.minimum)

    def better(self, other: "SearchState") -> "SearchState":
        """Return this state, with the blocks of the other state whose error is lower."""
        lower = (ordered_sum(other.error) < ordered_sum(self.error))[:, None]

        def pick(yes: BlockFactors, no: BlockFactors) -> BlockFactors:
            return BlockFactors(
                np.where(lower, yes.half, no.half), np.where(lower, yes.value, no.value)
            )

        return SearchState(
            pick(other.d, self.d),
            pick(other.dmin, self.dmin),
            np.where(lower, other.scale, self.scale),
            np.where(lower, other.minimum, self.minimum),
            np.where(lower, other.error, self.error),
        )

    def encoded(self, codes: F32) -> EncodedSuperblocks:
        """Return the contents of the blocks with these codes."""
        scales, minimums = self.scale.astype(np.int32), self.minimum.astype(np.int32)
        flat = codes.astype(np.int32).reshape(len(codes), -1)
        return EncodedSuperblocks(self.d.half[:, 0], scales, flat, self.dmin.half[:, 0], minimums)
