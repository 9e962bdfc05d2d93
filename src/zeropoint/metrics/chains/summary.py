"""Summarizes chains: accuracy after each step, and errors (slips) that follow each other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.metrics.chains.problems import Chain
from zeropoint.metrics.chains.session import StepResults, correct_states, correct_steps
from zeropoint.metrics.statistics import (
    ConfidenceInterval,
    clustered_rate,
    holm,
    interval,
    mcnemar,
    paired_share,
    wilson,
)
from zeropoint.results.chains import ChainPair, ChainSide, ChainStep

MIN_REFERENCE_ACCURACY = 0.2  # at the first step; below it, a comparison is meaningless


@dataclass(frozen=True)
class ChainScores:
    """The scores of one model: arrays of shape (chains, steps)."""

    right: NDArray[np.bool_]  # whether the state is correct
    local: NDArray[np.float64]  # whether the step follows from the state before; NaN: unknown


def score_chains(chains: Sequence[Chain], results: Sequence[StepResults]) -> ChainScores:
    """Score all chains of one model."""
    pairs = list(zip(chains, results, strict=True))
    local = [correct_steps(chain, result) for chain, result in pairs]
    return ChainScores(
        np.array([correct_states(chain, result) for chain, result in pairs]),
        np.array([[np.nan if step is None else step for step in row] for row in local], np.float64),
    )


def join_scores(parts: Sequence[ChainScores]) -> ChainScores:
    """Return the scores of several families in one array each."""
    return ChainScores(np.vstack([p.right for p in parts]), np.vstack([p.local for p in parts]))


def summarize_model(scores: ChainScores) -> ChainSide:
    """Summarize one model: accuracy after each step (Wilson's interval), slips and later errors."""
    right = scores.right
    count, steps = right.shape
    before = np.cumprod(np.concatenate([np.ones((count, 1), bool), right[:, :-1]], 1), 1) > 0
    slip = _share(~right & before, before)
    later = ~before & ~np.isnan(scores.local)
    after = _share((scores.local == 0) & later, later)
    return ChainSide(
        accuracy=tuple(interval(wilson(int(right[:, s].sum()), count)) for s in range(steps)),
        slip=interval(slip),
        predicted=tuple(float((1 - slip.mean) ** (step + 1)) for step in range(steps)),
        after_slip=interval(after),
        at_floor=bool(right[:, 0].mean() < MIN_REFERENCE_ACCURACY),
    )


def compare_chains(reference: ChainScores, quant: ChainScores) -> ChainPair:
    """Compare two models chain by chain, with McNemar's exact test at each step.

    `distinguishable` is the first step at which the models differ significantly, at 5 % for all
    steps together (Holm).
    """
    steps = []
    for step in range(reference.right.shape[1]):
        one, other = reference.right[:, step], quant.right[:, step]
        lost, won = int((one & ~other).sum()), int((~one & other).sum())
        difference = interval(paired_share(lost, won, len(one)), -1, 1)
        steps.append(ChainStep(lost, won, difference, mcnemar(lost, won)))
    significant = holm([step.p for step in steps])
    return ChainPair(
        chains=len(reference.right),
        reference=summarize_model(reference),
        quant=summarize_model(quant),
        steps=tuple(steps),
        distinguishable=significant.index(True) + 1 if any(significant) else None,
    )


def _share(hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> ConfidenceInterval:
    """Return Σ hits / Σ among, with an interval over chains. Both are (chains, steps)."""
    return clustered_rate(hits.sum(1).astype(np.float64), among.sum(1).astype(np.float64))
