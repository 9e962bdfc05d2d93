"""The search for formats whose groups have a scale and a minimum: Q2_K, Q4_K, Q5_K.

It follows the steps that `superblock_math` lists. Minimums are subtracted, as these formats store
them.
"""

from dataclasses import dataclass

import numpy as np

from zeropoint.formats.base import F32
from zeropoint.formats.encoders.arithmetic import (
    MAX_FLOAT16,
    clamp,
    inverse,
    ordered_sum,
    round_even,
)
from zeropoint.formats.encoders.superblock_math import (
    BlockFactors,
    EncodedSuperblocks,
    SearchState,
    SuperblockGroups,
)


@dataclass(frozen=True)
class GroupLines:
    """Scale and minimum of each group, (n, groups): x ≈ scale · q − minimum."""

    scale: F32
    minimum: F32


@dataclass(frozen=True, kw_only=True)
class MinimumSearch:
    """Groups with scale and minimum: x ≈ d · s · q − dmin · m.

    q in 0 … top, s and m in 0 … most.
    """

    #: Weights per group.
    size: int
    #: Largest code.
    top: int
    #: Largest scale and minimum of a group.
    max_scale: int
    #: First value, step and count of the changes of the range, in codes (see `fit`).
    stretch: tuple[float, float, int] = (-0.9, 0.3, 6)
    #: Numbers of scales and minimums on each side that the start tries.
    window: tuple[int, int]
    #: The same in each round.
    near: tuple[int, int] = (1, 1)
    #: Factors on d and dmin in each round.
    nudges: tuple[tuple[float, float], ...]

    def __call__(self, weights: F32, importance: F32 | None) -> EncodedSuperblocks:
        """Encode (n, 256) weights."""
        low, high = (
            -float(MAX_FLOAT16) * self.max_scale,
            float(MAX_FLOAT16) * self.max_scale * self.top,
        )
        with np.errstate(all="ignore"):  # a candidate that overflows never has the lowest error
            blocks = SuperblockGroups.of(weights, importance, self.size, low, high)
            best = self.search(blocks)
            return best.encoded(self.codes(blocks, best))

    def search(self, blocks: SuperblockGroups) -> SearchState:
        """Return the best d, dmin, group scales and minimums of all candidates."""
        low = np.minimum(blocks.x.min(axis=2), np.float32(0))
        span = blocks.x.max(axis=2) - low  # 0 for equal negative weights, which get code 0
        part = np.float32(1) / np.float32(self.top)
        plain = GroupLines(np.where(span != 0, span * part, -low), -low)
        best = self.begin(blocks, plain, (0, 0))
        best = best.better(self.begin(blocks, self.fit(blocks, plain), self.window))
        for nudge in self.nudges:
            lines = GroupLines(best.d.value * best.scale, best.dmin.value * best.minimum)
            best = best.better(
                self.around(blocks, self.refit(blocks, best, nudge), lines, self.near)
            )
        return best

    def fit(self, blocks: SuperblockGroups, plain: GroupLines) -> GroupLines:
        """Return the best scale and minimum of each group before rounding, among some candidates.

        Codes result from dividing the plain range into `top` steps, plus or minus some tenths (the
        `stretch`). The scale and minimum that fit them best solve two normal equations; a negative
        minimum is replaced by 0.
        """
        scale, minimum, best_gain = plain.scale, plain.minimum, np.zeros_like(plain.scale)
        start, step, count = self.stretch
        for k in range(count):
            change = np.float32(start) + np.float32(step) * np.float32(k)
            inverse_scale = inverse(plain.scale) * (np.float32(1) + change / np.float32(self.top))
            q, qq, xq = self.code_sums(blocks, inverse_scale, plain.minimum * inverse_scale)
            product = blocks.sum_w * qq
            determinant = product - q * q
            both_scale = (blocks.sum_w * xq - blocks.sum_x * q) / determinant
            both_minimum = (q * xq - qq * blocks.sum_x) / determinant
            both = (determinant > np.float32(1e-6) * product) & (both_minimum >= 0)
            alone = np.where(qq > 0, xq / qq, np.float32(0))
            gain = np.where(both, both_scale * xq - both_minimum * blocks.sum_x, alone * xq)
            better = gain > best_gain
            best_gain = np.where(better, gain, best_gain)
            scale = np.where(better, np.where(both, both_scale, alone), scale)
            minimum = np.where(better, np.where(both, both_minimum, np.float32(0)), minimum)
        return GroupLines(scale, minimum)

    def begin(
        self, blocks: SuperblockGroups, lines: GroupLines, window: tuple[int, int]
    ) -> SearchState:
        """Try a window around these lines, with the smallest d and dmin that can represent them."""
        part = np.float32(1) / np.float32(self.max_scale)
        d = blocks.factors(lines.scale.max(axis=1, keepdims=True) * part)
        dmin = blocks.factors(lines.minimum.max(axis=1, keepdims=True) * part)
        return self.around(blocks, (d, dmin), lines, window)

    def around(
        self,
        blocks: SuperblockGroups,
        factors: tuple[BlockFactors, BlockFactors],
        lines: GroupLines,
        sides: tuple[int, int],
    ) -> SearchState:
        """Try integers around the line of each group: `sides` scales and minimums on each side.

        A larger scale needs a larger minimum to keep the mean of the group, so the minimums of the
        window change with its scales.
        """
        d, dmin = factors
        state = SearchState.zero(d, dmin, blocks.sum_xx)
        s = clamp(round_even(lines.scale * inverse(d.value)), 0, self.max_scale)
        m = clamp(round_even(lines.minimum * inverse(dmin.value)), 0, self.max_scale)
        mean = blocks.sum_x / blocks.sum_w + m * dmin.value
        slope = (mean * inverse(s)) * inverse(dmin.value)
        for row in range(-sides[0], sides[0] + 1):
            candidate = clamp(s + np.float32(row), 0, self.max_scale)
            along = round_even(m + (candidate - s) * slope)
            real = d.value * candidate
            inverse_scale = inverse(real)
            for column in range(-sides[1], sides[1] + 1):
                other = clamp(along + np.float32(column), 0, self.max_scale)
                ratio = self.ratio(blocks, inverse_scale, (dmin.value * other) * inverse_scale)
                rest = ratio - self.nearest(ratio)
                error = ordered_sum(blocks.weigh(rest * rest)) * (real * real)
                state.attempt(candidate, other, error, real)
        return state

    def refit(
        self, blocks: SuperblockGroups, state: SearchState, nudge: tuple[float, float]
    ) -> tuple[BlockFactors, BlockFactors]:
        """Return the d and dmin that fit codes, scales and minimums best, times `nudge`.

        They solve two normal equations. Where these do not determine both, or give a negative
        factor, d alone is fitted.
        """
        s, m = state.scale, state.minimum
        inverse_scale = inverse(state.d.value * s)
        offset = (state.dmin.value * m) * inverse_scale
        q, qq, xq = self.code_sums(blocks, inverse_scale, offset)
        terms = ((s * s) * qq, (s * m) * q, (m * m) * blocks.sum_w, s * xq, m * blocks.sum_x)
        ss, sm, mm, sx, mx = (ordered_sum(term)[:, None] for term in terms)
        product = ss * mm
        determinant = product - sm * sm
        both_d = (mm * sx - sm * mx) / determinant
        both_dmin = (sm * sx - ss * mx) / determinant
        both = (determinant > np.float32(1e-6) * product) & (both_d > 0) & (both_dmin >= 0)
        alone = np.where(ss > 0, (sx + state.dmin.value * sm) / ss, state.d.value)
        d = np.where(both, both_d, np.maximum(alone, np.float32(0))) * np.float32(nudge[0])
        dmin = np.where(both, both_dmin, state.dmin.value) * np.float32(nudge[1])
        return blocks.factors(d), blocks.factors(dmin)

    def code_sums(
        self, blocks: SuperblockGroups, inverse_scale: F32, offset: F32
    ) -> tuple[F32, F32, F32]:
        """Return Σ w q, Σ w q², Σ w q x of each group for the nearest codes."""
        q = self.nearest(self.ratio(blocks, inverse_scale, offset))
        wq = blocks.weigh(q)
        return ordered_sum(wq), ordered_sum(wq * q), ordered_sum(wq * blocks.x)

    def codes(self, blocks: SuperblockGroups, state: SearchState) -> F32:
        """Return the nearest codes."""
        inverse_scale = inverse(state.d.value * state.scale)
        offset = (state.dmin.value * state.minimum) * inverse_scale
        return self.nearest(self.ratio(blocks, inverse_scale, offset))

    def ratio(self, blocks: SuperblockGroups, inverse_scale: F32, offset: F32) -> F32:
        """Return (x + minimum) / scale: (n, groups, size)."""
        return blocks.x * inverse_scale[:, :, None] + offset[:, :, None]

    def nearest(self, ratio: F32) -> F32:
        """Return the nearest code, ties to even."""
        return clamp(np.rint(ratio), 0, self.top)
