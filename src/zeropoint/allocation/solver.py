"""Solves the multiple-choice knapsack exactly: one option per group, least loss within a budget.

    minimize  Σ_g loss(g, j_g)      subject to      Σ_g bytes(g, j_g) ≤ budget

Options that another option of their group dominates (no more bytes, no more loss) are dropped. The
rest is a dynamic program over lists of Pareto-optimal partial sums of (bytes, loss), a group at a
time. Each partial sum has two bounds from the linear relaxation of the remaining groups, whose
lower convex hulls, merged by slope, are one piecewise linear function of the remaining bytes
(Sinha and Zoltners 1979): the value of that function is a lower bound, and its last corner within
the budget is a solution. A partial sum whose lower bound exceeds the best solution is dropped. So
is an option whose Lagrangian reduced cost exceeds the gap. Groups are decided in the order of their
smallest reduced cost, as in Pisinger's expanding core (1995), so that the lists stay short.

Losses are compared as integers: multiples of 2^-60 nats per token, or of a larger power of two if
their sums would not fit into 64 bits. Exactness means exactness in these integers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.allocation.problem import TensorGroup
from zeropoint.allocation.relaxation import (
    I64,
    ConvexHull,
    LossUnit,
    ScaledOption,
    hull_of,
    reduced_costs,
)
from zeropoint.errors import InfeasibleBudget

MAX_STATES = 1 << 20  # partial sums that are kept; beyond them the solution has a gap


@dataclass(frozen=True)
class Solution:
    """One option of each group, within a budget."""

    #: By group, the index of its option.
    choices: tuple[int, ...]
    #: Bytes of all groups.
    nbytes: int
    #: Predicted loss of all groups, in nats per token.
    loss: float
    #: A proven maximum of the loss that another solution could save, in nats per token. It is 0 if
    #: the solution is optimal, which is always the case below MAX_STATES partial sums.
    gap: float = 0.0


@dataclass(frozen=True)
class FrontierPoint:
    """A corner of the lower convex hull of (bytes, loss) over all choices."""

    nbytes: int
    #: In nats per token.
    loss: float


def smallest_choice(groups: Sequence[TensorGroup]) -> Solution:
    """Return the choice with the fewest bytes, and among those of a group the least loss."""
    return _choice(groups, 1)


def largest_choice(groups: Sequence[TensorGroup]) -> Solution:
    """Return the choice with the most bytes, and among those of a group the least loss."""
    return _choice(groups, -1)


def _choice(groups: Sequence[TensorGroup], sign: int) -> Solution:
    chosen = tuple(
        min(range(len(group.options)), key=lambda i: (sign * options[i].nbytes, options[i].loss))
        for group in groups
        for options in [group.options]
    )
    found = [group.options[i] for group, i in zip(groups, chosen, strict=True)]
    return Solution(chosen, sum(one.nbytes for one in found), sum(one.loss for one in found))


def solve(groups: Sequence[TensorGroup], budget: int, *, max_states: int = MAX_STATES) -> Solution:
    """Return the options with the least sum of losses whose bytes are at most `budget`.

    Equal losses are decided by fewer bytes, then by the option that comes first in its group. The
    result depends on nothing else than the arguments.

    Raises InfeasibleBudget, with the smallest possible bytes, if no choice fits, and ValueError for
    a group without options or a loss that is not finite.
    """
    smallest = smallest_choice(groups).nbytes
    if smallest > budget:
        raise InfeasibleBudget(
            f"no choice of formats fits into {budget:,} bytes; the smallest one has "
            f"{smallest:,} bytes",
            smallest=smallest,
        )
    unit = LossUnit.of(groups)
    scaled = [unit.options(group) for group in groups]
    choices, gap = _ParetoSearch(scaled, budget, max_states).run()
    options = [group.options[index] for group, index in zip(groups, choices, strict=True)]
    return Solution(
        choices=choices,
        nbytes=sum(option.nbytes for option in options),
        loss=math.fsum(option.loss for option in options),
        gap=unit.nats(gap),
    )


def frontier(groups: Sequence[TensorGroup]) -> tuple[FrontierPoint, ...]:
    """Return the corners of the lower convex hull of (bytes, loss), from the fewest bytes up.

    Each corner is the bytes and loss of a choice, and no choice lies below the lines between them.
    """
    unit = LossUnit.of(groups)
    hull = hull_of([unit.options(group) for group in groups])
    return tuple(
        FrontierPoint(int(nbytes), unit.nats(int(loss)))
        for nbytes, loss in zip(hull.nbytes, hull.losses, strict=True)
    )


@dataclass(frozen=True)
class _Stage:
    """How each partial sum with one more group arose."""

    group: int
    #: Position of the partial sum without the group, and the index of the group's option.
    parents: NDArray[np.int32]
    options: NDArray[np.int16]


class _ParetoSearch:
    """The dynamic program: partial sums of (bytes, loss), none of which dominates another."""

    def __init__(
        self, groups: Sequence[Sequence[ScaledOption]], budget: int, max_states: int
    ) -> None:
        self.groups = groups
        self.budget = budget
        self.max_states = max_states
        self.hull = hull_of(groups)
        self.reduced = reduced_costs(self.hull, groups, budget)
        #: The least loss that is known to be possible.
        self.best = int(self.hull.bounds(np.array([budget]))[2][0])
        #: The lowest bound of a partial sum that was dropped for want of memory.
        self.dropped: int | None = None
        self.stages: list[_Stage] = []

    def run(self) -> tuple[tuple[int, ...], int]:
        """Return the index of the option of each group, and the gap."""
        nbytes, losses, rest = np.zeros(1, np.int64), np.zeros(1, np.int64), self.hull
        for group in sorted(range(len(self.groups)), key=self._second_cost):
            rest = rest.without(group)
            nbytes, losses = self._extend(group, rest, nbytes, losses)
        last = len(losses) - 1  # more bytes, less loss
        gap = 0 if self.dropped is None else max(0, int(losses[last]) - self.dropped)
        return self._choices(last), gap

    def _second_cost(self, group: int) -> tuple[bool, int]:
        costs = sorted(self.reduced.costs[group])
        return (False, costs[1]) if len(costs) > 1 else (True, 0)

    def _extend(self, group: int, rest: ConvexHull, nbytes: I64, losses: I64) -> tuple[I64, I64]:
        """Return bytes and losses of the partial sums with one more group, in order of bytes."""
        costs = zip(self.groups[group], self.reduced.costs[group], strict=True)
        kept = [option for option, cost in costs if self.reduced.bound + cost <= self.best]
        own_bytes = np.array([option.nbytes for option in kept], np.int64)
        own_losses = np.array([option.loss for option in kept], np.int64)
        nbytes = (nbytes[:, None] + own_bytes).ravel()
        losses = (losses[:, None] + own_losses).ravel()
        order = np.lexsort((losses, nbytes))
        least = np.minimum.accumulate(losses[order])
        order = order[np.concatenate(([True], least[1:] < least[:-1]))]
        nbytes, losses = nbytes[order], losses[order]
        alive = self._alive(rest, nbytes, losses)
        order = order[alive]
        indices = np.array([option.index for option in kept], np.int16)
        self.stages.append(
            _Stage(group, (order // len(kept)).astype(np.int32), indices[order % len(kept)])
        )
        return nbytes[alive], losses[alive]

    def _alive(self, rest: ConvexHull, nbytes: I64, losses: I64) -> NDArray[np.intp]:
        """Return the positions of partial sums that may lead to the best solution."""
        fits, lower, upper = rest.bounds(self.budget - nbytes)
        possible = np.where(fits, losses + upper, np.iinfo(np.int64).max)
        self.best = min(self.best, int(possible.min()))
        bounds = losses + lower
        alive = np.flatnonzero(fits & (bounds <= self.best))
        if len(alive) <= self.max_states:
            return alive
        # The best solution known starts with the first of these, and must stay possible.
        ranked = alive[np.lexsort((bounds[alive], possible[alive] > self.best))]
        lowest = int(bounds[ranked[self.max_states :]].min())
        self.dropped = lowest if self.dropped is None else min(self.dropped, lowest)
        return np.sort(ranked[: self.max_states])

    def _choices(self, state: int) -> tuple[int, ...]:
        chosen = [0] * len(self.groups)
        for stage in reversed(self.stages):
            chosen[stage.group] = int(stage.options[state])
            state = int(stage.parents[state])
        return tuple(chosen)
