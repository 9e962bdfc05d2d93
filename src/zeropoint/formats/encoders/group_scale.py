"""The search for the float16 scale of a group: w ≈ scale · level.

If the levels of all weights are given, the best scale is a least-squares fit,

    scale = Σ h w v / Σ h v²,   which saves   (Σ h w v)² / Σ h v²   of the error Σ h w²,

with h the importance and v the levels. If the scale is given, the best levels are the nearest. The
search tries scales that map the peak of the group to multiples of an end of the grid, then scales
close to the best one, then the least-squares fit twice more. It keeps the candidate that reduces
the error most. Finally the scale is rounded to the float16 that is stored. Among that, its
neighbours and the plain rule (the peak at the end of the grid), the lowest error of the decoded
weights decides, so the result is never worse than that of the plain rule.

Compared with an exhaustive search, the error is 0.1 % higher with 4 bits, 0.5 % with 5 and 2 % with
8 (measured in 2026-11 on Gemma 3 270M and Qwen2.5 0.5B, random importance over three decades).
"""

from dataclasses import dataclass

import numpy as np

from zeropoint.formats.base import F32
from zeropoint.formats.encoders.arithmetic import divide, ordered_sum, reciprocal
from zeropoint.formats.encoders.group_math import U16, ScaledGroups, neighbours
from zeropoint.formats.levels import Levels

FINE_STEPS = tuple(np.float32(step) for step in (-4, -3, -2, -1, 1, 2, 3, 4))
REFIT_ROUNDS = 2


@dataclass(frozen=True)
class ScaleCandidates:
    """Scales to try: they map the peak to `ends` times first, first · ratio, first · ratio², …"""

    #: Ends of the grid; the first one is the level of the peak under the plain rule.
    ends: tuple[float, ...]
    first: float
    ratio: float
    count: int
    #: First of the factors for groups whose peak matters little: tail, tail · 1.8, …
    tail: float = 0.0
    tail_count: int = 0
    #: Whether negative scales are tried too; not needed if the grid is symmetric.
    signed: bool = True

    def factors(self) -> list[np.float32]:
        """Return the factors in the order in which they are tried."""
        runs = [(self.first, self.ratio, self.count), (self.tail, 1.8, self.tail_count)]
        factors = []
        for first, ratio, count in runs:
            factor = np.float32(first)
            for _ in range(count):
                factors.append(factor)
                factor = factor * np.float32(ratio)
        return factors


@dataclass
class BestScale:
    """The best fit so far of each group, (n,) each."""

    #: Reduction of the error against scale 0.
    saved: F32
    #: 1 / scale with which the levels were chosen.
    inverse: F32
    #: Least-squares fit to those levels.
    scale: F32

    def improve(self, groups: ScaledGroups, levels: Levels, inverse: F32) -> None:
        """Fit the levels chosen with 1 / scale = `inverse`, and keep the fit where it is better."""
        level = levels.nearest(groups.weights * inverse[:, None])
        product = ordered_sum((groups.importance * groups.weights) * level)
        square = ordered_sum((groups.importance * level) * level)
        scale = divide(product, square)
        saved = scale * product
        better = saved > self.saved
        self.saved = np.where(better, saved, self.saved)
        self.inverse = np.where(better, inverse, self.inverse)
        self.scale = np.where(better, scale, self.scale)


def search_scale(groups: ScaledGroups, levels: Levels, scales: ScaleCandidates) -> tuple[U16, F32]:
    """Return the stored scale, (n,) bits of float16, and the levels, (n, size)."""
    peak = groups.peak if scales.signed else np.abs(groups.peak)
    over_peak = reciprocal(peak)
    zero = np.zeros_like(peak)
    best = BestScale(zero, zero, zero)
    for end in scales.ends:
        for factor in scales.factors():
            best.improve(groups, levels, (np.float32(end) * factor) * over_peak)
    centre = best.inverse
    step = np.float32((scales.ratio - 1) / 5)
    for fine in FINE_STEPS:
        best.improve(groups, levels, centre * (np.float32(1) + fine * step))
    for _ in range(REFIT_ROUNDS):
        best.improve(groups, levels, reciprocal(best.scale))
    plain = divide(peak, np.full_like(peak, scales.ends[0]))
    return store_scale(groups, levels, best.scale, plain)


def store_scale(groups: ScaledGroups, levels: Levels, scale: F32, plain: F32) -> tuple[U16, F32]:
    """Round scales to float16 and return the candidate with the lowest error, with its levels."""
    candidates = [*neighbours(groups.stored(scale)), groups.stored(plain)]
    lowest = np.full_like(scale, np.inf)
    bits = candidates[0]
    for candidate in candidates:
        level = stored_levels(groups, levels, candidate)
        error = groups.error(groups.in_units(candidate)[:, None] * level)
        bits = np.where(error < lowest, candidate, bits)
        lowest = np.minimum(error, lowest)
    return bits, stored_levels(groups, levels, bits)


def stored_levels(groups: ScaledGroups, levels: Levels, bits: U16) -> F32:
    """Return the (n, size) levels nearest to the weights under a stored scale."""
    return levels.nearest(groups.weights * reciprocal(groups.in_units(bits))[:, None])
