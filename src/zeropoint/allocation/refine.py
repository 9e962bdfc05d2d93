"""The short search with true losses: corrections of the prediction are tried, and judged.

The state is a vector of factors (see `factors`). Every proposal is solved to the exact budget, so
no recipe is over budget. The proposals are, in this order and again until nothing helps:

    factor moves   the factor of one class times or divided by STEP, the largest share first
    refits         the factors that explain all true losses so far best
    exchanges      one tensor in the next larger or smaller format, and the rest solved again

A recipe replaces the incumbent if its paired difference per chunk is better, by the rule of
`prefers`. The result depends on the arguments and the losses alone: not on the clock, and not on
whether the losses were measured now or read from the journal of an interrupted search.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar

import numpy as np

from zeropoint.allocation.budget import SizeBudget, assignment_of
from zeropoint.allocation.factors import (
    CLASSES,
    F64,
    NO_FACTORS,
    Factors,
    LossModel,
    Observation,
    fit_factors,
)
from zeropoint.allocation.judge import ChunkLosses, weighted_estimate
from zeropoint.allocation.problem import Assignment, TensorGroup
from zeropoint.allocation.solver import smallest_choice, solve
from zeropoint.errors import InfeasibleBudget
from zeropoint.results.interval import Interval

R = TypeVar("R")

STEP = 1.6  # of a factor; it is halved as a logarithm when no move helps
SMALLEST_STEP = 1.1
REFIT_EVERY = 4  # evaluations
EXCHANGES = 8  # that are tried in a row
#: Differences of size and of speed that decide between recipes of the same loss, as shares.
SIZE_TOLERANCE = 0.002
SPEED_TOLERANCE = 0.03
SLOPE_PART = 0.01  # of the budget, over which the price of a byte is taken

#: Groups with the index of the option that each must have.
Fixed: TypeAlias = tuple[tuple[int, int], ...]
#: A proposal in words, its factors, and the groups whose option is fixed.
Move: TypeAlias = tuple[str, Factors, Fixed]
#: Returns the true losses of an assignment; the records are the progress of the evaluation.
Evaluate: TypeAlias = Callable[[Assignment], Generator[R, None, ChunkLosses]]
#: Returns the predicted seconds that a token takes with the formats of an assignment.
Speed: TypeAlias = Callable[[Assignment], float]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A recipe with its losses."""

    change: str
    factors: Factors
    fixed: Fixed
    assignment: Assignment
    tensor_bytes: int
    predicted: float
    seconds: float  # per token, for decisions between recipes of the same loss
    losses: ChunkLosses | None = None  # None: it was not evaluated
    accepted: bool = False


@dataclass(frozen=True)
class RecipeJudged:
    """One more recipe is evaluated."""

    done: int  # chunks, over all evaluations so far
    change: str
    evaluation: int  # from 1
    evaluations: int
    loss: Interval
    tensor_bytes: int
    accepted: bool

    @property
    def detail(self) -> str:
        """The figure of the recipe, for a progress bar."""
        return f"{self.change}: KL {self.loss.mean:.5f}"


@dataclass
class Refinement:
    """The search for one budget. `candidates` are all recipes that were evaluated, in order."""

    groups: Sequence[TensorGroup]
    model: LossModel
    budget: SizeBudget
    weights: F64  # of the chunks, with a sum of 1
    speed: Speed
    #: "mean" or "tail", of ChunkLosses.
    figure: str = "mean"
    start: Factors = field(default_factory=lambda: NO_FACTORS)
    candidates: list[Candidate] = field(default_factory=list, init=False)
    best: Candidate | None = field(default=None, init=False)

    def propose(self, move: Move) -> Candidate:
        """Return the recipe that is best by corrected predictions, within the budget.

        Raises InfeasibleBudget if no recipe with the fixed options is.
        """
        change, factors, fixed = move
        priced = self._priced(factors, fixed)
        solution = self.budget.solve(priced)
        assignment = assignment_of(priced, solution.choices)
        return Candidate(
            change, factors, fixed, assignment, solution.nbytes,
            self.model.predicted(assignment), self.speed(assignment),
        )  # fmt: skip

    def run(
        self, evaluate: Evaluate[R], evaluations: int
    ) -> Generator[R | RecipeJudged, None, Candidate]:
        """Evaluate at most `evaluations` recipes, and return the one that is decided for.

        Without evaluations, the predicted losses decide. Raises InfeasibleBudget, with the smallest
        possible size, if no recipe is within the budget.
        """
        moves = self._moves()
        found = self.propose(next(moves))
        if not evaluations:
            return found
        seen: set[tuple[str, ...]] = set()
        while len(self.candidates) < evaluations:
            key = tuple(found.assignment[name] for name in sorted(found.assignment))
            accepted = False  # a move to a recipe that was evaluated before does not help
            if key not in seen:
                seen.add(key)
                losses = yield from evaluate(found.assignment)
                found = self._decide(replace(found, losses=losses))
                accepted = found.accepted
                yield self._record(found, evaluations)
            following = self._next_proposal(moves, accepted)
            if following is None:
                break
            found = following
        return self._choose()

    def _next_proposal(
        self, moves: Generator[Move, bool, None], accepted: bool
    ) -> Candidate | None:
        """Return the recipe of the next move that the budget allows; None after the last move."""
        while True:
            try:
                return self.propose(moves.send(accepted))
            except InfeasibleBudget:  # of this move's fixed options
                accepted = False
            except StopIteration:
                return None

    def _decide(self, found: Candidate) -> Candidate:
        """Return the candidate with the decision whether it becomes the incumbent."""
        accepted = self.best is None or self.prefers(found, self.best)
        found = replace(found, accepted=accepted)
        self.candidates.append(found)
        if accepted:
            self.best = found
        return found

    def prefers(self, new: Candidate, old: Candidate) -> bool:
        """Return whether a recipe is better than another one.

        A loss that is shown to be smaller decides. If the 95 % interval of the paired difference
        contains 0, a size that differs decides, then a speed, then the mean loss.
        """
        difference = weighted_estimate(self._losses(new) - self._losses(old), self.weights)
        if difference.high < 0 or difference.low > 0:
            return bool(difference.high < 0)
        if abs(new.tensor_bytes - old.tensor_bytes) > SIZE_TOLERANCE * old.tensor_bytes:
            return new.tensor_bytes < old.tensor_bytes
        if abs(new.seconds - old.seconds) > SPEED_TOLERANCE * old.seconds:
            return new.seconds < old.seconds
        return bool(difference.mean < 0)

    def loss(self, candidate: Candidate) -> Interval:
        """Return the weighted loss of a candidate with its interval."""
        found = weighted_estimate(self._losses(candidate), self.weights)
        ends = (None, None) if np.isnan(found.low) else (max(found.low, 0.0), found.high)
        return Interval(found.mean, *ends)

    def fitted(self) -> Factors:
        """Return the factors that explain the mean losses of all candidates best."""
        return fit_factors([self._observation(one) for one in self.candidates])

    def _observation(self, candidate: Candidate) -> Observation:
        assert candidate.losses is not None
        loss = float(candidate.losses.mean @ self.weights)
        return self.model.observe(candidate.assignment, loss)

    def _losses(self, candidate: Candidate) -> F64:
        """Return the losses of chunks, with the gain that error feedback is predicted to have."""
        assert candidate.losses is not None
        values: F64 = getattr(candidate.losses, self.figure)
        return values * self.model.rounding_factor(candidate.assignment)

    def _record(self, found: Candidate, evaluations: int) -> RecipeJudged:
        done = len(self.candidates) * len(self.weights)
        return RecipeJudged(
            done, found.change, len(self.candidates), evaluations, self.loss(found),
            found.tensor_bytes, found.accepted,
        )  # fmt: skip

    def _choose(self) -> Candidate:
        """Return the recipe with the least loss, or one that is as good and preferred to it."""
        chosen = min(self.candidates, key=lambda one: float(self._losses(one) @ self.weights))
        for one in self.candidates:
            if self.prefers(one, chosen):
                chosen = one
        return chosen

    def _priced(self, factors: Factors, fixed: Fixed) -> list[TensorGroup]:
        """Return the groups with corrected losses; a fixed group has one option, the last one."""
        priced = list(self.model.priced(self.groups, factors))
        for group, option in dict(fixed).items():
            priced[group] = replace(priced[group], options=(priced[group].options[option],))
        return priced

    def _moves(self) -> Generator[Move, bool, None]:
        """Yield proposals; each is answered by whether it was accepted."""
        yield "predicted losses", self.start, ()
        step, until_refit = float(np.log(STEP)), REFIT_EVERY
        while step >= np.log(SMALLEST_STEP):
            helped = False
            for place in self._classes():
                for sign, word in ((1, "times"), (-1, "divided by")):
                    factors = self._incumbent.factors.copy()
                    factors[place] += sign * step
                    change = f"loss of {CLASSES[place]} {word} {np.exp(step):.2f}"
                    accepted = yield change, factors, self._incumbent.fixed
                    helped |= accepted
                    until_refit -= 1
                    if until_refit <= 0:
                        until_refit = REFIT_EVERY
                        helped |= yield "factors fitted to all true losses", self.fitted(), ()
                    if accepted:
                        break
            for change, change_of_one in self._exchanges():
                fixed = (*self._incumbent.fixed, change_of_one)
                helped |= yield change, self._incumbent.factors, fixed
            if not helped:
                step /= 2

    @property
    def _incumbent(self) -> Candidate:
        assert self.best is not None
        return self.best

    def _classes(self) -> list[int]:
        """Return the classes by their share in the corrected loss, without absent ones."""
        best = self._incumbent
        shares = self.model.shares(best.assignment, best.factors)
        return [int(place) for place in np.argsort(-shares, kind="stable") if shares[place] > 0]

    def _exchanges(self) -> list[tuple[str, tuple[int, int]]]:
        """Return changes of one group to a neighbouring format that are predicted to cost least.

        The cost of a change is its loss plus the price of its bytes. A byte costs what the solution
        for a budget that is SLOPE_PART smaller loses per byte.
        """
        best = self._incumbent
        priced = self._priced(best.factors, best.fixed)
        smallest, budget = smallest_choice(priced).nbytes, best.tensor_bytes
        less = max(smallest, int(budget * (1 - SLOPE_PART)))
        rise = solve(priced, less).loss - solve(priced, budget).loss
        price = rise / max(1, budget - less)
        costs: list[tuple[float, str, tuple[int, int]]] = []
        for index, group in enumerate(priced):
            held = next(o for o in group.options if o.format == best.assignment[group.names[0]])
            least = min(option.nbytes for option in group.options)
            for place in _neighbours(group, held.nbytes):
                option = group.options[place]
                if smallest - least + option.nbytes <= budget:
                    cost = option.loss - held.loss + price * (option.nbytes - held.nbytes)
                    costs.append((cost, f"{group.names[0]} in {option.format}", (index, place)))
        return [(change, fixed) for _, change, fixed in sorted(costs)[:EXCHANGES]]


def _neighbours(group: TensorGroup, held: int) -> list[int]:
    """Return the indices of the next larger and the next smaller option: the best of its size."""
    larger = [option.nbytes for option in group.options if option.nbytes > held]
    smaller = [option.nbytes for option in group.options if option.nbytes < held]
    sizes = [*([min(larger)] if larger else []), *([max(smaller)] if smaller else [])]
    places = range(len(group.options))
    return [
        min((group.options[place].loss, place) for place in places
            if group.options[place].nbytes == size)[1]
        for size in sizes
    ]  # fmt: skip
