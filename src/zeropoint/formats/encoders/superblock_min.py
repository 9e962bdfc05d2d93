"""The search for formats whose groups have a scale and a minimum: Q2_K, Q4_K, Q5_K.

See `search`, whose steps these are. Minimums are subtracted here, as these formats store them.
"""

from dataclasses import dataclass

import numpy as np

from zeropoint.formats.base import F32
from zeropoint.formats.encoders.superblock_math import (
    LARGEST_HALF,
    Blocks,
    Factors,
    Found,
    State,
    clamp,
    inverse,
    ordered_sum,
    round_even,
)


@dataclass(frozen=True)
class Lines:
    """Of each group, (n, groups), in units of the block: x ≈ scale · q − minimum."""

    scale: F32
    minimum: F32


@dataclass(frozen=True, kw_only=True)
class MinimumSearch:
    """Groups with scale and minimum: x ≈ d · s · q − dmin · m.

    q in 0 … top, s and m in 0 … most.
    """

    size: int  # weights per group
    top: int
    most: int
    stretch: tuple[float, float, int] = (-0.9, 0.3, 6)  # first, step and count, in codes
    window: tuple[int, int]  # so many scales and minimums on each side, at first
    near: tuple[int, int] = (1, 1)  # likewise in each round
    nudges: tuple[tuple[float, float], ...]  # of d and dmin in each round

    def __call__(self, weights: F32, importance: F32 | None) -> Found:
        """Search for (n, 256) weights."""
        low, high = -float(LARGEST_HALF) * self.most, float(LARGEST_HALF) * self.most * self.top
        with np.errstate(all="ignore"):  # what overflows is not the lowest error
            blocks = Blocks.of(weights, importance, self.size, low, high)
            best = self.search(blocks)
            return best.found(self.codes(blocks, best))

    def search(self, blocks: Blocks) -> State:
        """Return the best d, dmin, group scales and minimums that were tried."""
        low = np.minimum(blocks.x.min(axis=2), np.float32(0))
        span = blocks.x.max(axis=2) - low  # 0 for equal negative weights: code 0 is theirs
        part = np.float32(1) / np.float32(self.top)
        plain = Lines(np.where(span != 0, span * part, -low), -low)
        best = self.begin(blocks, plain, (0, 0))
        best = best.better(self.begin(blocks, self.fit(blocks, plain), self.window))
        for nudge in self.nudges:
            lines = Lines(best.d.value * best.scale, best.dmin.value * best.minimum)
            best = best.better(
                self.around(blocks, self.refit(blocks, best, nudge), lines, self.near)
            )
        return best

    def fit(self, blocks: Blocks, plain: Lines) -> Lines:
        """Return the best free scale and minimum of each group, of some.

        Codes come from dividing the plain range into `top` steps, less or more some tenths (the
        `stretch`). The scale and minimum that fit them best solve two normal equations; a minimum
        that would be negative is 0 instead.
        """
        scale, minimum, most = plain.scale, plain.minimum, np.zeros_like(plain.scale)
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
            better = gain > most
            most = np.where(better, gain, most)
            scale = np.where(better, np.where(both, both_scale, alone), scale)
            minimum = np.where(better, np.where(both, both_minimum, np.float32(0)), minimum)
        return Lines(scale, minimum)

    def begin(self, blocks: Blocks, lines: Lines, window: tuple[int, int]) -> State:
        """Try a window around these lines, with the d and dmin that just hold them."""
        part = np.float32(1) / np.float32(self.most)
        d = blocks.factors(lines.scale.max(axis=1, keepdims=True) * part)
        dmin = blocks.factors(lines.minimum.max(axis=1, keepdims=True) * part)
        return self.around(blocks, (d, dmin), lines, window)

    def around(
        self,
        blocks: Blocks,
        factors: tuple[Factors, Factors],
        lines: Lines,
        sides: tuple[int, int],
    ) -> State:
        """Try the integers around each group's line: so many scales and minimums on each side.

        A larger scale needs a larger minimum to keep the group's mean, so the minimums of the
        window move with its scales.
        """
        d, dmin = factors
        state = State.zero(d, dmin, blocks.sum_xx)
        s = clamp(round_even(lines.scale * inverse(d.value)), 0, self.most)
        m = clamp(round_even(lines.minimum * inverse(dmin.value)), 0, self.most)
        mean = blocks.sum_x / blocks.sum_w + m * dmin.value
        slope = (mean * inverse(s)) * inverse(dmin.value)
        for row in range(-sides[0], sides[0] + 1):
            candidate = clamp(s + np.float32(row), 0, self.most)
            along = round_even(m + (candidate - s) * slope)
            real = d.value * candidate
            inverse_scale = inverse(real)
            for column in range(-sides[1], sides[1] + 1):
                other = clamp(along + np.float32(column), 0, self.most)
                ratio = self.ratio(blocks, inverse_scale, (dmin.value * other) * inverse_scale)
                rest = ratio - self.nearest(ratio)
                error = ordered_sum(blocks.weigh(rest * rest)) * (real * real)
                state.attempt(candidate, other, error, real)
        return state

    def refit(
        self, blocks: Blocks, state: State, nudge: tuple[float, float]
    ) -> tuple[Factors, Factors]:
        """Return the d and dmin that fit codes, scales and minimums best, times the nudges.

        Two normal equations; or the one for d alone where they do not determine both, or give a
        factor whose sign no plain block has.
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

    def code_sums(self, blocks: Blocks, inverse_scale: F32, offset: F32) -> tuple[F32, F32, F32]:
        """Return Σ w q, Σ w q², Σ w q x of each group for the nearest codes."""
        q = self.nearest(self.ratio(blocks, inverse_scale, offset))
        wq = blocks.weigh(q)
        return ordered_sum(wq), ordered_sum(wq * q), ordered_sum(wq * blocks.x)

    def codes(self, blocks: Blocks, state: State) -> F32:
        """Return the nearest codes."""
        inverse_scale = inverse(state.d.value * state.scale)
        offset = (state.dmin.value * state.minimum) * inverse_scale
        return self.nearest(self.ratio(blocks, inverse_scale, offset))

    def ratio(self, blocks: Blocks, inverse_scale: F32, offset: F32) -> F32:
        """Return (x + minimum) / scale: (n, groups, size)."""
        return blocks.x * inverse_scale[:, :, None] + offset[:, :, None]

    def nearest(self, ratio: F32) -> F32:
        """Return the nearest code; halfway, the even one."""
        return clamp(np.rint(ratio), 0, self.top)
