"""Corrections of predicted losses: one factor for each class of tensors, fitted to true losses.

The prediction sums quadratic terms of single tensors. A true loss also has what they cause together
and what is not quadratic, which differs mainly by the role of a tensor, its depth, and the size of
its error. So the corrected loss of tensor t in format f is

    loss(t, f) · exp(Σ_c θ_c)        over the classes c that (t, f) belongs to.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from zeropoint.allocation.problem import Assignment, FormatOption, LossTable, TensorGroup
from zeropoint.formats import find_format
from zeropoint.plans.formats.roles import Role, layer_of, role_of

F64 = NDArray[np.float64]

CLASSES = (
    "attention queries and keys",
    "attention values",
    "attention outputs",
    "ffn_gate and ffn_up",
    "ffn_down",
    "the embedding",
    "the output matrix",
    "other matrices",
    "the first and last layers",
    "formats below 3.2 bits",
)
EDGE_LAYERS, LOW_BITS = len(CLASSES) - 2, len(CLASSES) - 1
LOW_FORMAT_BITS = 3.2  # per weight; below, the loss of a weight error is far from quadratic
EDGE = 2  # layers at each end
_BY_ROLE = {
    Role.QUERIES: 0, Role.KEYS: 0, Role.VALUES: 1, Role.ATTENTION_OUTPUT: 2, Role.FFN_GATE: 3,
    Role.FFN_UP: 3, Role.FFN_DOWN: 4, Role.TOKEN_EMBEDDING: 5, Role.OUTPUT: 6, Role.OTHER: 7,
}  # fmt: skip

PRIOR_DEVIATION = 0.5  # of θ: factors between 0.6 and 1.6 are usual
SCALE_DEVIATION = 3.0  # of the logarithm of a factor that all predictions share
NOISE_DEVIATION = 0.02  # of the logarithm of a true loss: what θ cannot explain
FIT_STEPS = 20

#: θ, (classes,) float64.
Factors = F64

NO_FACTORS = np.zeros(len(CLASSES))


@dataclass(frozen=True)
class Observation:
    """A true loss, and the predicted loss of each combination of classes."""

    #: (combinations, classes), 1 where the combination has the class.
    members: F64
    #: (combinations,), in nats per token.
    predicted: F64
    #: Nats per token, above 0.
    loss: float


class LossModel:
    """The predicted losses of a model's tensors, corrected by factors."""

    def __init__(self, table: LossTable, *, rounding: Mapping[str, float] | None = None) -> None:
        """`rounding` is by format the factor of error feedback on the loss; others have 1."""
        self.table = table
        self._rounding = rounding or {}
        numbers = [layer for name in table if (layer := layer_of(name)) is not None]
        self._layers = max(numbers, default=-1) + 1

    def priced(self, groups: Iterable[TensorGroup], factors: Factors) -> list[TensorGroup]:
        """Return the groups with the corrected losses of their options."""
        return [
            TensorGroup(
                group.names,
                tuple(
                    FormatOption(
                        option.format, option.nbytes, self._loss(group, option.format, factors)
                    )
                    for option in group.options
                ),
            )
            for group in groups
        ]

    def predicted(self, assignment: Assignment) -> float:
        """Return the predicted loss of an assignment, rounded to nearest, without factors."""
        return sum(self._of(name, format) for name, format in sorted(assignment.items()))

    def rounding_factor(self, assignment: Assignment) -> float:
        """Return the predicted loss with error feedback by that without."""
        terms = [(self._of(name, f), self._rounding.get(f, 1.0)) for name, f in assignment.items()]
        whole = sum(loss for loss, _ in terms)
        return sum(loss * factor for loss, factor in terms) / whole if whole > 0 else 1.0

    def shares(self, assignment: Assignment, factors: Factors) -> F64:
        """Return the share of each class in the corrected loss, (classes,)."""
        observed = self.observe(assignment, 1.0)
        terms = observed.predicted * np.exp(observed.members @ factors)
        total = float(terms.sum())
        shares = terms @ observed.members / total if total > 0 else np.zeros(len(CLASSES))
        return np.asarray(shares, np.float64)

    def observe(self, assignment: Assignment, loss: float) -> Observation:
        """Return an evaluation in the form that factors are fitted to."""
        sums: dict[tuple[int, ...], float] = {}
        for name, format in sorted(assignment.items()):
            classes = classes_of(name, format, self._layers)
            sums[classes] = sums.get(classes, 0.0) + self._of(name, format)
        members = np.zeros((len(sums), len(CLASSES)))
        for row, classes in enumerate(sums):
            members[row, list(classes)] = 1
        return Observation(members, np.array(list(sums.values())), loss)

    def _loss(self, group: TensorGroup, format: str, factors: Factors) -> float:
        total = 0.0
        for name in group.names:
            log_factor = sum(float(factors[c]) for c in classes_of(name, format, self._layers))
            total += self._of(name, format) * float(np.exp(log_factor))
        return total * self._rounding.get(format, 1.0)

    def _of(self, name: str, format: str) -> float:
        """Return the predicted loss of a tensor; 0 in a format that is not in the table."""
        return self.table.get(name, {}).get(format, 0.0)


@lru_cache(1 << 16)
def classes_of(name: str, format: str, layers: int) -> tuple[int, ...]:
    """Return the indices of the classes that a tensor in a format belongs to.

    >>> [CLASSES[c] for c in classes_of("blk.0.ffn_down.weight", "Q2_K", 12)]
    ['ffn_down', 'the first and last layers', 'formats below 3.2 bits']
    """
    found = [_BY_ROLE[role_of(name)]]
    layer = layer_of(name)
    if layer is not None and min(layer, layers - 1 - layer) < EDGE:
        found.append(EDGE_LAYERS)
    kind = find_format(format)
    if 8 * kind.block_bytes / kind.block_size < LOW_FORMAT_BITS:
        found.append(LOW_BITS)
    return tuple(found)


def fit_factors(observations: Sequence[Observation]) -> Factors:
    """Return the factors that are most likely after some evaluations.

    They maximize, by Gauss and Newton, the posterior of log loss = s + log Σ predicted · exp(Σ θ)
    with normal noise, where θ and s have normal priors around 0. Without evaluations that differ,
    all θ stay near 0.
    """
    size = len(CLASSES) + 1  # the last one is s
    prior = np.full(size, PRIOR_DEVIATION**-2)
    prior[-1] = SCALE_DEVIATION**-2
    theta = np.zeros(size)
    usable = [one for one in observations if one.loss > 0 and one.predicted.sum() > 0]
    for _ in range(FIT_STEPS):
        normal, gradient = np.diag(prior), -prior * theta
        for one in usable:
            terms = one.predicted * np.exp(one.members @ theta[:-1])
            total = terms.sum()
            slope = np.append(terms @ one.members / total, 1.0)
            residual = np.log(one.loss) - np.log(total) - theta[-1]
            normal += np.outer(slope, slope) / NOISE_DEVIATION**2
            gradient += slope * residual / NOISE_DEVIATION**2
        step = np.linalg.solve(normal, gradient)
        theta += np.clip(step, -1.0, 1.0)
    return np.asarray(theta[:-1], np.float64)
