"""The search for formats whose groups have a scale and no minimum: Q3_K, Q6_K, IQ4_XS.

It follows the steps that `superblock_math` lists.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True, kw_only=True)
class ScaleSearch:
    """Groups with a scale and no minimum: x ≈ d · s · level(q).

    Plain rounding maps the largest weight of a group to the first level, which is the largest in
    magnitude, with a scale of either sign.
    """

    #: Weights per group.
    size: int
    #: Lowest and highest s; the lowest is the largest in magnitude.
    scales: tuple[int, int]
    #: Values of the codes, ascending.
    levels: tuple[int, ...]
    #: Number of candidates below the plain scale, by 1, 2, … times `stride`.
    below: int
    #: Number of candidates from the plain scale on upwards.
    above: int
    stride: int = 1
    #: Whether negative candidates are tried too, because the levels are not symmetric.
    both_signs: bool = False
    #: For each start, the factor by which d is larger than necessary.
    slacks: tuple[float, ...] = (1.15,)
    #: Factors of `exact_scales`, which are tried only with importance.
    exact: tuple[float, ...] = (1, 0.7, 0.85, 1.2)
    #: Number of candidates in each round.
    near: int
    #: Factor on d in each round.
    nudges: tuple[float, ...]

    def __call__(self, weights: F32, importance: F32 | None) -> EncodedSuperblocks:
        """Encode (n, 256) weights."""
        reach = float(MAX_FLOAT16) * self.scales[0] * self.levels[0]
        with np.errstate(all="ignore"):  # a candidate that overflows never has the lowest error
            blocks = SuperblockGroups.of(weights, importance, self.size, -reach, reach)
            best = self.search(blocks)
            ratio = blocks.x * inverse(best.d.value * best.scale)[:, :, None]
            return best.encoded(self.code(ratio))

    def search(self, blocks: SuperblockGroups) -> SearchState:
        """Return the best d and group scales of all candidates."""
        x = blocks.x
        zero = blocks.sum_xx
        low = np.minimum(x.min(axis=2), np.float32(0))
        high = np.maximum(x.max(axis=2), np.float32(0))
        plain = np.where(-low > high, low, high) * (np.float32(1) / np.float32(self.levels[0]))
        first = np.argmax(np.abs(plain), axis=1)[:, None]
        largest = np.take_along_axis(plain, first, axis=1)
        no_dmin = blocks.factors(np.zeros_like(largest))

        def around_plain(
            d: BlockFactors, below: int, count: int, stride: int, both: bool
        ) -> SearchState:
            state = SearchState.zero(d, no_dmin, zero)
            middle = round_even(plain * inverse(d.value))
            step: F32 = np.where(middle < 0, np.float32(-stride), np.float32(stride))
            for sign in (1, -1) if both else (1,):
                for k in range(-below, count - below):
                    candidate: F32 = np.float32(sign) * (middle + np.float32(k) * step)
                    self.attempt(blocks, state, candidate)
            return state

        lowest = np.float32(self.scales[0])
        d = blocks.factors(largest * (np.float32(1) / lowest))
        best = around_plain(d, 0, 1, 1, False)
        for slack in self.slacks:  # a margin for larger candidates
            d = blocks.factors(largest * (np.float32(slack) / lowest))
            state = around_plain(
                d, self.below, self.below + self.above, self.stride, self.both_signs
            )
            for scale in self.exact_scales(blocks, plain):
                self.attempt(blocks, state, round_even(scale * inverse(d.value)))
            best = best.better(state)
        for nudge in self.nudges:
            d = self.refit(blocks, best, nudge)
            state = SearchState.zero(d, no_dmin, zero)
            middle = round_even(best.scale * (best.d.value * inverse(d.value)))
            for k in range(self.near):
                self.attempt(blocks, state, middle + np.float32(k - self.near // 2))
            best = best.better(state)
        return best

    def attempt(self, blocks: SuperblockGroups, state: SearchState, candidate: F32) -> None:
        """Try one integer as the scale of each group, (n, groups)."""
        candidate = clamp(candidate, *self.scales)
        scale = state.d.value * candidate
        ratio = blocks.x * inverse(scale)[:, :, None]
        rest = ratio - self.nearest(ratio)
        error = ordered_sum(blocks.weigh(rest * rest)) * (scale * scale)
        state.attempt(candidate, state.minimum, error, scale)

    def exact_scales(self, blocks: SuperblockGroups, plain: F32) -> Iterator[F32]:
        """Yield scales that represent the most important weight of each group exactly.

        Importance comes from squared inputs, and that of one column is often a thousand times that
        of the others (massive activations). Clipping the rest of the group for it can pay, so these
        scales may differ much from the plain one. The level is the nearest one under the plain
        scale times each of `exact`.
        """
        if blocks.w is None:
            return
        first = np.argmax(blocks.w, axis=2)[:, :, None]
        heaviest = np.take_along_axis(blocks.x, first, axis=2)[:, :, 0]
        for factor in self.exact:
            level = self.nearest(heaviest * inverse(plain * np.float32(factor)))
            divisor: F32 = np.where(level == 0, np.float32(1), level)
            yield heaviest / divisor

    def refit(self, blocks: SuperblockGroups, state: SearchState, nudge: float) -> BlockFactors:
        """Return the d that fits codes and group scales best, times `nudge`.

        d = Σ s · (Σ w x q) / Σ s² · (Σ w q²)
        """
        q = self.nearest(blocks.x * inverse(state.d.value * state.scale)[:, :, None])
        wq = blocks.weigh(q)
        over = ordered_sum(state.scale * ordered_sum(wq * blocks.x))[:, None]
        under = ordered_sum((state.scale * state.scale) * ordered_sum(wq * q))[:, None]
        return blocks.factors(np.where(under > 0, over / under, state.d.value) * np.float32(nudge))

    def code(self, ratio: F32) -> NDArray[Any]:
        """Return the code of the nearest level; ties to the even integer, or to a table's lower."""
        low, high = self.levels[0], self.levels[-1]
        if high - low == len(self.levels) - 1:
            return clamp(np.rint(ratio), low, high) - np.float32(low)
        levels = np.array(self.levels, np.float32)
        return np.searchsorted((levels[:-1] + levels[1:]) / np.float32(2), ratio)

    def nearest(self, ratio: F32) -> F32:
        """Return the nearest level."""
        return np.array(self.levels, np.float32)[self.code(ratio).astype(np.int32)]
