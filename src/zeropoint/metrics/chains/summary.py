"""From chains to figures: accuracy by number of steps, slips and what follows them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.metrics.chains.problems import Chain
from zeropoint.metrics.chains.session import Done, right_states, right_steps
from zeropoint.metrics.statistics import (
    ConfidenceInterval,
    holm,
    interval,
    mcnemar,
    paired_share,
    share,
    wilson,
)
from zeropoint.results.chains import ChainPair, ChainSide, ChainStep

FLOOR = 0.2  # a reference that is right less often at the first step tells nothing about a quant


@dataclass(frozen=True)
class Scored:
    """Chains as one model did them: (chains, steps) each."""

    right: NDArray[np.bool_]  # the state is that of the truth
    local: NDArray[np.float64]  # the step is right for the state before it; NaN: cannot be told


def score(chains: Sequence[Chain], dones: Sequence[Done]) -> Scored:
    """Score all chains of one model."""
    pairs = list(zip(chains, dones, strict=True))
    local = [right_steps(chain, done) for chain, done in pairs]
    return Scored(
        np.array([right_states(chain, done) for chain, done in pairs]),
        np.array([[np.nan if step is None else step for step in row] for row in local], np.float64),
    )


def join(parts: Sequence[Scored]) -> Scored:
    """Return chains of several families as one."""
    return Scored(np.vstack([p.right for p in parts]), np.vstack([p.local for p in parts]))


def side_figures(scored: Scored) -> ChainSide:
    """Sum up one model: accuracy after each step (Wilson's interval), slips and what follows."""
    right = scored.right
    count, steps = right.shape
    before = np.cumprod(np.concatenate([np.ones((count, 1), bool), right[:, :-1]], 1), 1) > 0
    slip = _share(~right & before, before)
    later = ~before & ~np.isnan(scored.local)
    after = _share((scored.local == 0) & later, later)
    return ChainSide(
        accuracy=tuple(interval(wilson(int(right[:, s].sum()), count)) for s in range(steps)),
        slip=interval(slip),
        predicted=tuple(float((1 - slip.mean) ** (step + 1)) for step in range(steps)),
        after_slip=interval(after),
        at_floor=bool(right[:, 0].mean() < FLOOR),
    )


def pair_figures(reference: Scored, quant: Scored) -> ChainPair:
    """Compare both models chain by chain, with McNemar's exact test at each step.

    `distinguishable` is the first step at which they are shown to differ, all steps together at
    5 % (Holm).
    """
    steps = []
    for step in range(reference.right.shape[1]):
        one, other = reference.right[:, step], quant.right[:, step]
        lost, won = int((one & ~other).sum()), int((~one & other).sum())
        difference = interval(paired_share(lost, won, len(one)), -1, 1)
        steps.append(ChainStep(lost, won, difference, mcnemar(lost, won)))
    shown = holm([step.p for step in steps])
    return ChainPair(
        chains=len(reference.right),
        reference=side_figures(reference),
        quant=side_figures(quant),
        steps=tuple(steps),
        distinguishable=shown.index(True) + 1 if any(shown) else None,
    )


def _share(hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> ConfidenceInterval:
    """Return Σ hits / Σ among, with chains as what is drawn again."""
    return share(hits.sum(1).astype(np.float64), among.sum(1).astype(np.float64))
