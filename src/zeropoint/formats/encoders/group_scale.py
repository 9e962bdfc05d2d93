"""Choose the float16 scale of a group: w ≈ scale · level.

If the levels of all weights are given, the best scale is a least-squares fit,

    scale = Σ h w v / Σ h v²,   which saves   (Σ h w v)² / Σ h v²   of the error Σ h w²,

with h the importance and v the levels; and if the scale is given, the best levels are the nearest.
The search tries scales that put the peak of the group at multiples of an end of the grid, lets
each choose its levels, and keeps those that save most; then scales close to the best one; then the
least-squares fit twice more. At last the scale is rounded to the float16 it is stored as, and the
error decides, in the units it will have, between that, its neighbours and the plain rule (peak
at the end of the grid): so the result is never worse than the plain rule's.

Against an exhaustive search (measured 2026-11 on Gemma 3 270M and Qwen2.5 0.5B, random importance
over three decades): error + 0.1 % with 4 bits, + 0.5 % with 5, + 2 % with 8.
"""

from dataclasses import dataclass

import numpy as np

from zeropoint.formats.base import F32, ordered_sum
from zeropoint.formats.encoders.group_math import U16, Groups, divide, neighbours, reciprocal
from zeropoint.formats.levels import Levels

FINE_STEPS = tuple(np.float32(step) for step in (-4, -3, -2, -1, 1, 2, 3, 4))
REFITS = 2


@dataclass(frozen=True)
class Scales:
    """Which scales to try: the peak at `ends` times first, first · ratio, first · ratio², …"""

    ends: tuple[float, ...]  # the peak's level under the plain rule comes first
    first: float
    ratio: float
    count: int
    # Far smaller scales, for groups whose peak matters little: tail, tail · 1.8, …
    tail: float = 0.0
    tail_count: int = 0
    signed: bool = True  # False: the grid is symmetric, and only scales > 0 are tried

    def factors(self) -> list[np.float32]:
        """Return the factors, in the order in which they are tried."""
        runs = [(self.first, self.ratio, self.count), (self.tail, 1.8, self.tail_count)]
        factors = []
        for first, ratio, count in runs:
            factor = np.float32(first)
            for _ in range(count):
                factors.append(factor)
                factor = factor * np.float32(ratio)
        return factors


@dataclass
class Best:
    """The best fit so far of each group: (n,) each."""

    saved: F32
    inverse: F32  # 1 / scale at which the levels were chosen
    scale: F32  # the least-squares fit to those levels

    def improve(self, groups: Groups, levels: Levels, inverse: F32) -> None:
        """Let the groups choose levels at `inverse`, and keep the fit where it saves more."""
        level = levels.nearest(groups.weights * inverse[:, None])
        product = ordered_sum((groups.importance * groups.weights) * level)
        square = ordered_sum((groups.importance * level) * level)
        scale = divide(product, square)
        saved = scale * product
        better = saved > self.saved
        self.saved = np.where(better, saved, self.saved)
        self.inverse = np.where(better, inverse, self.inverse)
        self.scale = np.where(better, scale, self.scale)


def search_scale(groups: Groups, levels: Levels, scales: Scales) -> tuple[U16, F32]:
    """Return the stored scale (n,), bits of float16, and the levels (n, size)."""
    peak = groups.peak if scales.signed else np.abs(groups.peak)
    over_peak = reciprocal(peak)
    zero = np.zeros_like(peak)
    best = Best(zero, zero, zero)
    for end in scales.ends:
        for factor in scales.factors():
            best.improve(groups, levels, (np.float32(end) * factor) * over_peak)
    centre = best.inverse
    step = np.float32((scales.ratio - 1) / 5)
    for fine in FINE_STEPS:
        best.improve(groups, levels, centre * (np.float32(1) + fine * step))
    for _ in range(REFITS):
        best.improve(groups, levels, reciprocal(best.scale))
    plain = divide(peak, np.full_like(peak, scales.ends[0]))
    return store_scale(groups, levels, best.scale, plain)


def store_scale(groups: Groups, levels: Levels, scale: F32, plain: F32) -> tuple[U16, F32]:
    """Round scales to float16 and choose the levels anew; the error decides between candidates."""
    candidates = [*neighbours(groups.stored(scale)), groups.stored(plain)]
    least = np.full_like(scale, np.inf)
    bits = candidates[0]
    for candidate in candidates:
        level = stored_levels(groups, levels, candidate)
        error = groups.error(groups.in_units(candidate)[:, None] * level)
        bits = np.where(error < least, candidate, bits)
        least = np.minimum(error, least)
    return bits, stored_levels(groups, levels, bits)


def stored_levels(groups: Groups, levels: Levels, bits: U16) -> F32:
    """Return the levels nearest to the weights under a stored scale."""
    return levels.nearest(groups.weights * reciprocal(groups.in_units(bits))[:, None])
