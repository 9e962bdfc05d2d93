"""The search for scales, shifts and points of IQ1_S and IQ1_M; `kernels` computes the same, faster.

A block of 256 weights x has groups g of 32 or 16 weights. It can represent

    x ≈ d · m_g · (level + shift)      m_g ∈ {1, 3 … 15}, levels −1, 0, 1, shift ±⅛

where the levels of 8 weights are one of 2048 points of a grid. IQ1_S has one shift for each group,
IQ1_M one for each 8 weights.

The search minimizes Σ cost · (x − ŵ)², with the cost that `superblock_math` explains. The nearest
point is expensive to find, and the nearest levels without regard to the grid are cheap, so the
scales are chosen by the error of free levels, which ranks them almost alike.

    1. The plain scale of a group is Σ cost · |x|² / Σ cost · |x|. The plain d maps the largest of
       the block to m = 15.
    2. For each d = slack · plain d and each group, try several m around the plain scale, with both
       shifts. Take the d with the lowest error of free levels.
    3. Find the nearest points with both shifts under these scales, and the d that fits them best by
       least squares. With this d, try the m next to the current ones as in step 2, and find the
       points again. Keep them if the error of the block decreases.
    4. Store the d that fits the points best.

ggml's encoders (2026-10) find the best float scale of each group for free levels by trying all
splits of its sorted weights into three, replace combinations that the grid does not have by a
neighbour of a list, and round the scales to m with a d that is the largest scale / 15, times a
constant of the format (1.125 in IQ1_S). They do not fit d or points again; with a fitted d, such a
constant increases the KL divergence (docs/encoders.md).

Units, and the order of sums, are those of `superblock_math`.
"""

from dataclasses import dataclass, replace
from functools import cache

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
    SuperblockGroups,
    unless_constant,
)

GRID = "IQ1_S"  # of both formats
LEVEL_SHIFT = np.float32(0.125)
MAX_MULTIPLE = 15
VECTOR = 8  # weights of a point


@dataclass(frozen=True)
class EncodedShiftedBlocks:
    """Contents of n blocks: d (n,), scale codes (n, groups), points and shifts (n, 32)."""

    d: NDArray[np.float16]
    #: (m − 1) / 2, 0 … 7.
    scales: I32
    codes: I32
    #: 1 where the shift is negative.
    minus: I32


@dataclass(frozen=True)
class GroupScales:
    """A d and multiples of n blocks, and the error of each block under them."""

    d: BlockFactors
    multiple: F32  # (n, groups)
    total: F32  # (n,)

    def better(self, other: "GroupScales") -> "GroupScales":
        """Return these scales, with the blocks of the others whose error is lower."""
        lower = other.total < self.total
        column = lower[:, None]
        half = np.where(column, other.d.half, self.d.half)
        return GroupScales(
            BlockFactors(half, np.where(column, other.d.value, self.d.value)),
            np.where(column, other.multiple, self.multiple),
            np.where(lower, other.total, self.total),
        )


@dataclass(frozen=True)
class GridPoints:
    """Points of n blocks, (n, groups, vectors of a group), and the d that fits them: (n, 1)."""

    codes: I32
    minus: NDArray[np.bool_]
    fit: F32


@dataclass(frozen=True, kw_only=True)
class ShiftedGridSearch:
    """The encoder of one format."""

    #: Weights per group.
    size: int
    #: Whether each point has a shift of its own; otherwise each group has one.
    separate_shifts: bool
    #: Factors on the plain d.
    slacks: tuple[float, ...] = (0.8, 0.9, 1, 1.1, 1.2)
    #: Number of candidates m below the plain scale, and from it on upwards.
    below: int = 2
    above: int = 2
    #: Number of candidates m with the fitted d.
    near: int = 3

    def __call__(self, weights: F32, importance: F32 | None) -> EncodedShiftedBlocks:
        """Encode (n, 256) weights, n > 0."""
        reach = float(MAX_FLOAT16) * MAX_MULTIPLE
        with np.errstate(all="ignore"):  # a candidate that overflows never has the lowest error
            importance = unless_constant(importance)
            blocks = SuperblockGroups.of(weights, importance, self.size, -reach, reach)
            vectors = GridVectors.of(blocks.x, blocks.w, VECTOR)
            scales, points = self.search(blocks, vectors)
            d = blocks.factors(points.fit)
        flat = (len(weights), -1)
        return EncodedShiftedBlocks(
            d.half[:, 0],
            (scales.multiple.astype(np.int32) - 1) // 2,
            points.codes.reshape(flat),
            points.minus.astype(np.int32).reshape(flat),
        )

    def search(
        self, blocks: SuperblockGroups, vectors: GridVectors
    ) -> tuple[GroupScales, GridPoints]:
        """Return the best scales of all candidates, and the points under them."""
        plain = plain_scales(vectors)
        largest = plain.max(axis=1, keepdims=True)
        best = GroupScales(
            blocks.factors(np.zeros_like(largest)),
            np.ones_like(plain),
            ordered_sum(blocks.sum_xx),
        )
        for slack in self.slacks:
            d = blocks.factors(largest * (np.float32(slack) / np.float32(MAX_MULTIPLE)))
            middle = plain * inverse(d.value)
            best = best.better(self.attempts(vectors, d, middle, -self.below, self.above))
        best, points = self.nearest(vectors, best)
        d = blocks.factors(points.fit)
        middle = best.multiple * (best.d.value * inverse(d.value))
        first = -(self.near // 2)
        tried = self.attempts(vectors, d, middle, first, self.near + first)
        tried, others = self.nearest(vectors, tried)
        lower = tried.total < best.total
        cube = lower[:, None, None]
        return best.better(tried), GridPoints(
            np.where(cube, others.codes, points.codes),
            np.where(cube, others.minus, points.minus),
            np.where(lower[:, None], others.fit, points.fit),
        )

    def attempts(
        self, vectors: GridVectors, d: BlockFactors, middle: F32, first: int, end: int
    ) -> GroupScales:
        """Return the best multiples at centre + 2 · first … centre + 2 · (end − 1), by free levels.

        The centre is the multiple next to `middle`, (n, groups).
        """
        centre = odd_multiple(middle, MAX_MULTIPLE)
        best, error = np.ones_like(middle), np.full_like(middle, np.inf)
        for k in range(first, end):
            multiple = clamp(centre + np.float32(2 * k), 1, MAX_MULTIPLE)
            scale = (d.value * multiple)[:, :, None]
            here = self.of_groups(*(free_errors(vectors, scale, book) for book in shifted_books()))
            best = np.where(here < error, multiple, best)
            error = np.minimum(here, error)
        return GroupScales(d, best, ordered_sum(error))

    def of_groups(self, plus: F32, minus: F32) -> F32:
        """Return the error of each group with the better shifts: (n, groups)."""
        if self.separate_shifts:
            return ordered_sum(np.minimum(minus, plus))
        return np.minimum(ordered_sum(minus), ordered_sum(plus))

    def nearest(self, vectors: GridVectors, scales: GroupScales) -> tuple[GroupScales, GridPoints]:
        """Return the scales with the error of the nearest points under them, and the points."""
        scale = (scales.d.value * scales.multiple)[:, :, None]
        plus, minus = shifted_books()
        code_plus, error_plus = plus.nearest_with_cost(vectors.x, vectors.cost, scale)
        code_minus, error_minus = minus.nearest_with_cost(vectors.x, vectors.cost, scale)
        if self.separate_shifts:
            negative = error_minus < error_plus
        else:
            lower = (ordered_sum(error_minus) < ordered_sum(error_plus))[:, :, None]
            negative = np.broadcast_to(lower, error_plus.shape)
        codes = np.where(negative, code_minus, code_plus)
        errors = np.where(negative, error_minus, error_plus)
        total = ordered_sum(errors.reshape(len(errors), -1))
        q = np.where(negative[..., None], minus.points[codes], plus.points[codes])
        fit = fitted(vectors, scales, q)
        return replace(scales, total=total), GridPoints(codes, negative, fit)


@cache
def shifted_books() -> tuple[Codebook, Codebook]:
    """Return the grid shifted by +⅛ and by −⅛."""
    book = codebook(GRID)
    plus, minus = (
        replace(book, levels=book.levels + shift, points=book.points + shift)
        for shift in (LEVEL_SHIFT, -LEVEL_SHIFT)
    )
    return plus, minus


def plain_scales(vectors: GridVectors) -> F32:
    """Return the mean magnitude of each group, weighted by cost · magnitude: (n, groups)."""
    magnitude = vectors.grouped(np.abs(vectors.x))
    loss = magnitude * vectors.grouped(vectors.cost)
    over, under = ordered_sum(loss * magnitude), ordered_sum(loss)
    return np.where(over > 0, over / under, np.float32(0))


def free_errors(vectors: GridVectors, scale: F32, book: Codebook) -> F32:
    """Return the error of each vector if all weights could have any level: (n, groups, vectors)."""
    levels = scale[..., None] * book.levels
    rest = np.abs(vectors.x - levels[..., 0:1])
    for level in range(1, len(book.levels)):
        rest = np.minimum(rest, np.abs(vectors.x - levels[..., level : level + 1]))
    return ordered_sum((rest * rest) * vectors.cost)


def fitted(vectors: GridVectors, scales: GroupScales, q: F32) -> F32:
    """Return the d that fits points q, (n, groups, vectors, 8), best by least squares: (n, 1).

    d = Σ m · (Σ cost x q) / Σ m² · (Σ cost q²); 0 if the d of `scales` is 0.
    """
    wq = vectors.cost * q
    m = scales.multiple
    over = ordered_sum(m * ordered_sum(vectors.grouped(wq * vectors.x)))[:, None]
    under = ordered_sum((m * m) * ordered_sum(vectors.grouped(wq * q)))[:, None]
    useful = (over > 0) & (scales.d.value != 0)
    return np.where(useful, over / under, scales.d.value)
