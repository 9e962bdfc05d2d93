"""The nearest point of an IQ format's grid to a vector of weights.

A code names a point for 4 or 8 weights at once, and the grid has 256 to 2048 of them. The cost of a
point is the sum of the costs of its two halves, and there are only 64 or 81 combinations of levels
for half a point. So the costs of these are computed once for each half, and the cheapest point with
a given first half follows from the minimum over the second halves that the grid pairs with it. All
points are compared, whatever the costs of single weights are; ggml (2026-10) compares the points of
a list of neighbours, and weights their errors by the roots of the costs.

Arrays are (..., size of a vector), float32. Additions are ordered as written, so the kernels give
the same bits (decision 1); a minimum does not depend on the order.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats.base import F32
from zeropoint.formats.encoders.arithmetic import clamp, round_even
from zeropoint.formats.grids import GRIDS

I32 = NDArray[np.int32]
LARGEST_COST = np.float32(3e38)  # below infinity, whose bits with a number in them are NaN
NUMBER_BITS = np.int32(127)  # the bits of a cost that hold the number of a half


@dataclass(frozen=True)
class GridVectors:
    """Weights of n blocks and the costs of their errors: (n, groups, vectors of a group, size)."""

    x: F32
    cost: F32

    @classmethod
    def of(cls, x: F32, cost: F32 | None, size: int) -> "GridVectors":
        """Divide weights and costs, (n, groups, weights of a group); no cost is a cost of 1."""
        shape = (*x.shape[:2], -1, size)
        cost = np.ones_like(x) if cost is None else cost
        return cls(x.reshape(shape), cost.reshape(shape))

    def grouped(self, terms: F32) -> F32:
        """Return (n, groups, vectors, size) as (n, groups, weights of a group)."""
        return terms.reshape(*terms.shape[:2], -1)


def odd_multiple(ratio: F32, largest: int) -> F32:
    """Return the odd number 1, 3 … `largest` next to each ratio."""
    half = round_even((clamp(ratio, 1, largest) - np.float32(1)) * np.float32(0.5))
    return half * np.float32(2) + np.float32(1)


@dataclass(frozen=True)
class Codebook:
    """The points of a grid by their halves.

    A half is the number Σ digit_i · levels^i of its combination of levels.
    """

    #: (levels,), ascending.
    levels: F32
    #: (points, size), in the order of the codes.
    points: F32
    #: Each first half that the grid has, and the second halves that it is paired with.
    pairs: tuple[tuple[int, I32], ...]
    #: (first halves, second halves): the code of a point.
    codes: I32

    @property
    def size(self) -> int:
        """Weights per point."""
        return int(self.points.shape[1])

    def half_costs(self, x: F32, cost: F32, scale: F32) -> tuple[F32, F32]:
        """Return the cost of all combinations of levels of both halves: (..., combinations).

        cost · (x − scale · level)² of each weight; those of a half are added as
        (c_0 + c_1) + (c_2 + c_3). `x` and `cost` are (..., size), `scale` broadcasts to (...).
        """
        rest = x[..., None] - (scale[..., None] * self.levels)[..., None, :]
        terms = (rest * rest) * cost[..., None]
        half = self.size // 2
        return added(terms[..., :half, :]), added(terms[..., half:, :])

    def least(self, x: F32, cost: F32, scale: F32) -> F32:
        """Return the cost of the nearest point to each vector: (...)."""
        first, second = self.half_costs(x, cost, scale)
        best = np.full(x.shape[:-1], np.inf, np.float32)
        for number, paired in self.pairs:
            best = np.minimum(first[..., number] + second[..., paired].min(axis=-1), best)
        return best

    def nearest(self, x: F32, cost: F32, scale: F32) -> I32:
        """Return the code of the nearest point to each vector: (...)."""
        return self.nearest_with_cost(x, cost, scale)[0]

    def nearest_with_cost(self, x: F32, cost: F32, scale: F32) -> tuple[I32, F32]:
        """Return the code of the nearest point to each vector, and its cost: (...) each.

        The lowest 7 bits of the cost of a second half are replaced by its number, so a minimum
        finds both. This changes a cost by less than 2^-16 of it. Of equal points, the one with the
        lower number of the first half is taken.
        """
        first, second = self.half_costs(x, cost, scale)
        bits = np.minimum(second, LARGEST_COST).view(np.int32) & ~NUMBER_BITS
        second = (bits | np.arange(bits.shape[-1], dtype=np.int32)).view(np.float32)
        best = np.full(x.shape[:-1], np.inf, np.float32)
        code = np.full(x.shape[:-1], self.codes[0, 0])
        for number, paired in self.pairs:
            least = second[..., paired].min(axis=-1)
            total = first[..., number] + least
            found = self.codes[number, least.view(np.int32) & NUMBER_BITS]
            code = np.where(total < best, found, code)
            best = np.minimum(total, best)
        return code, best


def added(terms: F32) -> F32:
    """Return the sums of all combinations of levels: (..., weights, levels) to (..., combinations).

    The first weight is the lowest digit of the number of a combination.
    """
    if terms.shape[-2] == 1:
        return terms[..., 0, :]
    half = terms.shape[-2] // 2
    low, high = added(terms[..., :half, :]), added(terms[..., half:, :])
    total = low[..., None, :] + high[..., :, None]
    return total.reshape(*total.shape[:-2], -1)


@cache
def codebook(name: str) -> Codebook:
    """Return the codebook of a grid in `GRIDS`."""
    levels = GRIDS[name].levels
    points = np.array(GRIDS[name].points())
    digits = np.searchsorted(levels, points)
    half = points.shape[1] // 2
    places = len(levels) ** np.arange(half)
    first, second = digits[:, :half] @ places, (digits[:, half:] @ places).astype(np.int32)
    codes = np.zeros((len(levels) ** half,) * 2, np.int32)
    codes[first, second] = np.arange(len(points))
    pairs = tuple((int(number), second[first == number]) for number in np.unique(first))
    return Codebook(np.array(levels, np.float32), points.astype(np.float32), pairs, codes)
