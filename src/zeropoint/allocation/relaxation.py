"""The linear relaxation of the multiple-choice knapsack, in exact integers.

The relaxation allows fractions of options. The least loss is then a convex, piecewise linear
function of the bytes. To construct it, the lower convex hull of each group's (bytes, loss) is cut
into its line segments, and the segments of all groups are joined, the steepest first. At the points
between two segments there are no fractions, so each of these corners is a choice.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from zeropoint.allocation.problem import TensorGroup

I64 = NDArray[np.int64]

FINEST_UNIT_BITS = 60  # the unit of a loss is 2^-60 nats or more
MAX_LOSS_BITS = 61  # bits of the largest sum of losses, in units, so that int64 holds differences
SLOPE_BITS = 128  # fraction bits of a slope: two different slopes differ by more than 2^-128 units
ROUNDING = 1 + 2.0**-48  # more than the relative error of three operations on float64


@dataclass(frozen=True)
class ScaledOption:
    """An option of a group, with its loss as an integer."""

    #: Position among the options of the group.
    index: int
    nbytes: int
    #: In units.
    loss: int


@dataclass(frozen=True)
class LossUnit:
    """The unit of integer losses: 2^-bits nats per token."""

    bits: int

    @classmethod
    def of(cls, groups: Sequence[TensorGroup]) -> "LossUnit":
        """Return the finest unit in which all sums of losses fit into int64.

        Raises ValueError for a group without options, and for a loss that is not finite.
        """
        total = 0.0
        for group in groups:
            if not group.options:
                raise ValueError(f"{group.names[0]} has no format to choose from")
            largest = max(abs(option.loss) for option in group.options)
            if not math.isfinite(largest):
                raise ValueError(f"{group.names[0]} has a loss that is not finite")
            total += largest
        return cls(min(FINEST_UNIT_BITS, MAX_LOSS_BITS - 2 - math.frexp(total)[1]))

    def integer(self, loss: float) -> int:
        """Return a loss in units, rounded to the nearest."""
        return round(math.ldexp(loss, self.bits))

    def nats(self, units: int) -> float:
        """Return the nats per token of some units."""
        return math.ldexp(float(units), -self.bits)

    def options(self, group: TensorGroup) -> list[ScaledOption]:
        """Return the options that no other one dominates: more bytes come with less loss."""
        scaled = sorted(
            (option.nbytes, self.integer(option.loss), index)
            for index, option in enumerate(group.options)
        )
        kept: list[ScaledOption] = []
        for nbytes, loss, index in scaled:
            if not kept or loss < kept[-1].loss:
                kept.append(ScaledOption(index, nbytes, loss))
        return kept


@dataclass(frozen=True)
class ConvexHull:
    """The merged lower convex hulls of some groups."""

    #: By group: bytes and loss of its smallest option; 0 for a group that was taken out.
    first_bytes: I64
    first_losses: I64
    #: The pieces, the steepest first: more bytes, less loss, and the group.
    steps: I64
    gains: I64
    groups: NDArray[np.int32]

    @cached_property
    def nbytes(self) -> I64:
        """Bytes of each corner, increasing."""
        start = [self.first_bytes.sum()]
        return np.cumsum(np.concatenate((start, self.steps)))

    @cached_property
    def losses(self) -> I64:
        """Loss of each corner, decreasing."""
        start = [self.first_losses.sum()]
        return np.cumsum(np.concatenate((start, -self.gains)))

    def without(self, group: int) -> "ConvexHull":
        """Return the hull of the other groups."""
        others = self.groups != group
        first_bytes, first_losses = self.first_bytes.copy(), self.first_losses.copy()
        first_bytes[group] = first_losses[group] = 0
        return ConvexHull(
            first_bytes, first_losses, self.steps[others], self.gains[others], self.groups[others]
        )

    def bounds(self, rooms: I64) -> tuple[NDArray[np.bool_], I64, I64]:
        """Return what the groups lose at least, and what they can be made to lose, within `rooms`.

        `rooms` (n,) are bytes. The result is (n,) each: whether anything fits, the value of the
        hull (rounded down) and the loss of its last corner that fits. Where nothing fits, the two
        losses mean nothing.
        """
        corner = np.searchsorted(self.nbytes, rooms, side="right") - 1
        fits = corner >= 0
        corner = np.maximum(corner, 0)
        upper = self.losses[corner]
        if not len(self.steps):
            return fits, upper, upper
        piece = np.minimum(corner, len(self.steps) - 1)
        inside = fits & (corner < len(self.steps))
        part = np.where(inside, rooms - self.nbytes[corner], 0)  # bytes of the piece that fit
        gain = self.gains[piece] * (part / self.steps[piece]) * ROUNDING
        saved = np.minimum(np.ceil(gain).astype(np.int64) + 1, self.gains[piece])
        return fits, upper - np.where(part > 0, saved, 0), upper


def hull_of(groups: Sequence[Sequence[ScaledOption]]) -> ConvexHull:
    """Return the merged hull of groups, whose options are ordered by bytes, without dominated ones.

    Pieces of the same slope are in the order of the groups.
    """
    pieces = []
    for number, options in enumerate(groups):
        corners = _lower_corners(options)
        for a, b in pairwise(corners):
            slope = ((a.loss - b.loss) << SLOPE_BITS) // (b.nbytes - a.nbytes)
            pieces.append((-slope, number, b.nbytes - a.nbytes, a.loss - b.loss))
    pieces.sort(key=lambda piece: piece[:2])
    return ConvexHull(
        np.array([options[0].nbytes for options in groups], np.int64),
        np.array([options[0].loss for options in groups], np.int64),
        np.array([piece[2] for piece in pieces], np.int64),
        np.array([piece[3] for piece in pieces], np.int64),
        np.array([piece[1] for piece in pieces], np.int32),
    )


def _lower_corners(options: Sequence[ScaledOption]) -> list[ScaledOption]:
    """Return the options on the lower convex hull: slopes become less steep."""
    corners: list[ScaledOption] = []
    for c in options:
        while len(corners) > 1:
            a, b = corners[-2:]
            if (a.loss - b.loss) * (c.nbytes - b.nbytes) > (b.loss - c.loss) * (
                b.nbytes - a.nbytes
            ):
                break
            corners.pop()
        corners.append(c)
    return corners


@dataclass(frozen=True)
class ReducedCosts:
    """What each option costs at least, by the Lagrangian relaxation with one price per byte.

        bound  =  Σ_g min_j (loss + price · bytes) − price · budget
        cost   =  loss + price · bytes − min_j (loss + price · bytes)

    No choice with an option loses less than bound + cost of that option.
    """

    bound: int
    #: By group and option.
    costs: Sequence[Sequence[int]]


def reduced_costs(
    hull: ConvexHull, groups: Sequence[Sequence[ScaledOption]], budget: int
) -> ReducedCosts:
    """Return the reduced costs at the slope of the hull's piece that ends beyond the budget."""
    corner = int(np.searchsorted(hull.nbytes, budget, side="right")) - 1
    ends = corner == len(hull.steps)
    price = 0 if ends else int(hull.gains[corner]) // int(hull.steps[corner])
    priced = [[option.loss + price * option.nbytes for option in options] for options in groups]
    least = [min(values) for values in priced]
    return ReducedCosts(
        sum(least) - price * budget,
        [[value - low for value in values] for values, low in zip(priced, least, strict=True)],
    )
