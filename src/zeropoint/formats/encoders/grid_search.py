"""The search for scales, signs and points of the IQ formats; `kernels` computes the same, faster.

A block of 256 weights x has groups g of 16 or 32 weights. It can represent

    x ≈ d · unit · m_g · sign · level      m_g ∈ {1, 3, … 31}

where the levels of 4 or 8 weights are a point of a grid. In the formats that store 7 signs for 8
weights, the number of minus signs is even.

The search minimizes Σ cost · (x − ŵ)², with the cost that `superblock_math` explains. Every
candidate is judged by the error of the scale as it is stored and of the points nearest under it.

    1. Signs are those of the weights. Where their number must be even and is odd, the weight with
       the lowest cost · |x| gets the other sign: with the lowest level on both sides, its error
       grows by 4 · cost · |x| · level.
    2. d maps the largest weight of the block to the largest level and m = 31. For each group, try
       several m around the one that maps its largest weight to the largest level.
    3. In each round, take the d that fits all points of the block best by least squares, times a
       nudge, and try the m next to the current ones. Keep the result if the error of the block
       decreases.

ggml's encoders (2026-10) search the best float scale of each group and round it to m with a d that
is the largest scale / 31, times a constant of the format (1.033 in IQ3_S); neither points nor d are
fitted again. Least squares and the nudges replace that constant here.

Units, and the order of sums, are those of `superblock_math`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats.base import F32
from zeropoint.formats.encoders.arithmetic import (
    MAX_FLOAT16,
    clamp,
    inverse,
    ordered_sum,
)
from zeropoint.formats.encoders.grid_points import (
    I32,
    Codebook,
    GridVectors,
    codebook,
    odd_multiple,
)
from zeropoint.formats.encoders.superblock_math import (
    BlockFactors,
    SearchState,
    SuperblockGroups,
    unless_constant,
)

MAX_MULTIPLE = 31
SIGN_GROUP = 8  # weights whose signs are one code


@dataclass(frozen=True)
class EncodedGridBlocks:
    """Contents of n blocks: d (n,), scale codes (n, groups), points (n, vectors), signs (n, 32)."""

    d: NDArray[np.float16]
    #: (m − 1) / 2, 0 … 15.
    scales: I32
    codes: I32
    #: The signs of 8 weights in a byte, lowest bit first; 1 is minus.
    signs: I32


@dataclass(frozen=True, kw_only=True)
class GridSearch:
    """The encoder of one format."""

    #: Name in `GRIDS`.
    grid: str
    #: Weights per group.
    size: int
    #: A scale is d · unit · m.
    unit: float
    #: Whether the number of minus signs of 8 weights is even.
    even_signs: bool
    #: Number of candidates m below the one of the largest weight, and from it on upwards.
    below: int = 4
    above: int = 2
    #: Number of candidates in each round.
    near: int = 3
    #: Factor on d in each round.
    nudges: tuple[float, ...] = (1.03, 1)

    def __call__(self, weights: F32, importance: F32 | None) -> EncodedGridBlocks:
        """Encode (n, 256) weights, n > 0."""
        book = codebook(self.grid)
        importance = unless_constant(importance)
        reach = float(MAX_FLOAT16) * self.unit * MAX_MULTIPLE * float(book.levels[-1])
        with np.errstate(all="ignore"):  # a candidate that overflows never has the lowest error
            blocks = SuperblockGroups.of(weights, importance, self.size, -reach, reach)
            x, signs = self.split_signs(blocks)
            # Negative where a weight gets the other sign.
            vectors = GridVectors.of(x, blocks.w, book.size)
            best = self.search(blocks, vectors, book)
            codes = self.nearest(vectors, best, book)
        scales = np.maximum(best.scale.astype(np.int32) - 1, 0) // 2
        return EncodedGridBlocks(best.d.half[:, 0], scales, codes.reshape(len(codes), -1), signs)

    def split_signs(self, blocks: SuperblockGroups) -> tuple[F32, I32]:
        """Return magnitudes in the shape of the groups, and the signs of each 8 weights (n, 32)."""
        x = blocks.x.reshape(len(blocks.x), -1, SIGN_GROUP)
        minus = x < 0
        magnitude = np.abs(x)
        if self.even_signs:
            loss = blocks.weigh(np.abs(blocks.x)).reshape(x.shape)
            cheapest = np.arange(SIGN_GROUP) == loss.argmin(axis=-1)[..., None]
            flipped = cheapest & (minus.sum(axis=-1) % 2 == 1)[..., None]
            magnitude = np.where(flipped, -magnitude, magnitude)
            minus = minus ^ flipped
        signs = (minus << np.arange(SIGN_GROUP)).sum(axis=-1)
        return magnitude.reshape(blocks.x.shape), signs.astype(np.int32)

    def search(self, blocks: SuperblockGroups, vectors: GridVectors, book: Codebook) -> SearchState:
        """Return the best d and multiples of all candidates; the `scale` of a state is m."""
        unit = np.float32(self.unit)
        highest = np.maximum(vectors.grouped(vectors.x).max(axis=2), np.float32(0))
        plain = highest * (np.float32(1) / book.levels[-1])
        largest = plain.max(axis=1, keepdims=True)
        nothing = blocks.factors(np.zeros_like(largest))
        best = SearchState.zero(nothing, nothing, blocks.sum_xx)

        def attempts(d: BlockFactors, middle: F32, first: int, count: int) -> SearchState:
            state = SearchState.zero(d, nothing, np.full_like(middle, np.inf))
            centre = odd_multiple(middle, MAX_MULTIPLE)
            for k in range(first, first + count):
                multiple = clamp(centre + np.float32(2 * k), 1, MAX_MULTIPLE)
                scale = (d.value * unit) * multiple
                errors = book.least(vectors.x, vectors.cost, scale[:, :, None])
                state.attempt(multiple, state.minimum, ordered_sum(errors), scale)
            return state

        d = blocks.factors(largest * (np.float32(1) / (np.float32(MAX_MULTIPLE) * unit)))
        middle = plain * inverse(d.value * unit)
        best = best.better(attempts(d, middle, -self.below, self.below + self.above))
        for nudge in self.nudges:
            d = blocks.factors(self.refit(vectors, best, book) * np.float32(nudge))
            middle = best.scale * (best.d.value * inverse(d.value))
            best = best.better(attempts(d, middle, -(self.near // 2), self.near))
        return best

    def nearest(self, vectors: GridVectors, state: SearchState, book: Codebook) -> I32:
        """Return the codes of the nearest points: (n, groups, vectors)."""
        scale = (state.d.value * np.float32(self.unit)) * state.scale
        return book.nearest(vectors.x, vectors.cost, scale[:, :, None])

    def refit(self, vectors: GridVectors, state: SearchState, book: Codebook) -> F32:
        """Return the d that fits the points and multiples best: (n, 1).

        d = Σ m · (Σ w x q) / Σ m² · (Σ w q²) / unit
        """
        q = book.points[self.nearest(vectors, state, book)]
        wq = vectors.cost * q
        over = ordered_sum(state.scale * ordered_sum(vectors.grouped(wq * vectors.x)))[:, None]
        squares = ordered_sum(vectors.grouped(wq * q))
        under = ordered_sum((state.scale * state.scale) * squares)[:, None]
        fitted = (over / under) * (np.float32(1) / np.float32(self.unit))
        return np.where(over > 0, fitted, state.d.value)
