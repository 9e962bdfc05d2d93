"""Summarizes pairs of texts: how long they are identical, and whether errors compound.

All intervals are over prompts, because the steps of one text are not independent.
"""

from collections.abc import Callable, Sequence
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from zeropoint.metrics.generation.divergence_point import ContinuationPair
from zeropoint.metrics.generation.texts import (
    answer_of,
    common_continuation,
    ends_in_loop,
    repetition,
    same_answer,
)
from zeropoint.metrics.statistics import (
    ConfidenceInterval,
    clustered_rate,
    estimate,
    interval,
    paired_share,
    wilson,
)
from zeropoint.results.drift import (
    BothSides,
    Change,
    Compounding,
    FirstDivergence,
    FreeRun,
    MedianDivergence,
    Recovery,
    Survival,
)

F64 = NDArray[np.float64]

MIN_DIVERGED_TEXTS = 5  # for an interval of the compounding factor

AnswerFinder = Callable[[ContinuationPair, Sequence[int]], str | None]


def free_run_figures(
    pairs: Sequence[ContinuationPair],
    limit: int,
    *,
    stops: frozenset[int] = frozenset(),
    find_answer: AnswerFinder | None = None,
) -> dict[str, FreeRun]:
    """Summarize pairs by decoding mode, "greedy" and "sampled".

    `limit` is the maximum number of tokens per text, and `stops` are the tokens that end one.
    `find_answer` returns the answer in a text of a pair.
    """
    modes = dict.fromkeys(pair.mode for pair in pairs)
    return {
        mode: _figures([pair for pair in pairs if pair.mode == mode], limit, stops, find_answer)
        for mode in modes
    }


def _figures(
    pairs: Sequence[ContinuationPair],
    limit: int,
    stops: frozenset[int],
    find_answer: AnswerFinder | None,
) -> FreeRun:
    lengths = np.array([float(len(pair.reference)) for pair in pairs])
    flips = clustered_rate(
        np.array([float((~pair.on_reference.same).sum()) for pair in pairs]), lengths
    )
    kl = estimate(np.array([pair.on_reference.kl[:, 0].sum() for pair in pairs]), lengths)
    steps = [pair.divergence_step for pair in pairs]
    curve = survival(steps, limit)
    return FreeRun(
        prompts=len(pairs),
        split=FirstDivergence(
            **vars(median_divergence(curve)),
            never=interval(wilson(steps.count(None), len(pairs))),
        ),
        survival=Survival(
            share=tuple(point.mean for point in curve),
            low=tuple(point.low for point in curve),
            high=tuple(point.high for point in curve),
            predicted=tuple(
                float(np.mean((1 - flips.mean) ** np.minimum(step + 1, lengths)))
                for step in range(limit)
            ),
        ),
        flips_per_token=interval(flips),
        kl_per_token=interval(kl, 0.0),
        compounding=tuple(compounding(pairs, steps) for steps in doublings(limit)),
        recovery=_recovery(pairs, find_answer),
        length=_change(pairs, lambda ids: float(len(ids))),
        stopped=_endings(pairs, stops),
        repetition=_change(pairs, repetition),
        loops=_both(pairs, ends_in_loop),
    )


def survival(divergences: Sequence[int | None], limit: int) -> list[ConfidenceInterval]:
    """Return the share of texts that are identical after 1 … `limit` tokens, with Wilson's band.

    `divergences` are the first divergent tokens, counted from 0; None: identical texts. Identical
    texts that end before the limit count as identical from then on.
    """
    steps = np.array([limit if step is None else step for step in divergences])
    return [wilson(int((steps > step).sum()), len(divergences)) for step in range(limit)]


def median_divergence(curve: Sequence[ConfidenceInterval]) -> MedianDivergence:
    """Return the token, from 1, by which half of the texts diverge, and the interval of the band.

    None: not within the curve (Brookmeyer and Crowley, 1982).
    """

    def first(value: Callable[[ConfidenceInterval], float]) -> int | None:
        before = sum(1 for _ in takewhile(lambda point: value(point) > 0.5, curve))
        return before + 1 if before < len(curve) else None

    return MedianDivergence(
        median=first(lambda point: point.mean),
        low=first(lambda point: point.low),
        high=first(lambda point: point.high),
    )


def compounding(pairs: Sequence[ContinuationPair], steps: int) -> Compounding:
    """Return the loss that accumulates in the first `steps` tokens, in nats per text.

    `own` is Σ KL(reference ‖ quant) along the quantized model's own text. `predicted` is the same
    sum along the reference's text, which single-token measures see. `factor` = own / predicted is 1
    if losses only add up. For sampled texts, the chain rule makes `texts` (Σ along the reference's
    text) the KL(reference ‖ quant) of whole beginnings of this length, and `texts_back` their
    KL(quant ‖ reference).

    Only texts that diverge before their last token carry information about compounding. With fewer
    than MIN_DIVERGED_TEXTS of them, the factor has no interval. (Coverage by simulation, nominally
    95 %: 0 % with no such text, where all intervals are [1, 1]; 37 to 99 % with one or two, 65 to
    100 % with three or four, 87 to 99 % with five or more.)
    """
    ones = np.ones(len(pairs))
    own = np.array([pair.on_quant.kl[:steps, 0].sum() for pair in pairs])
    predicted = np.array([pair.on_reference.kl[:steps, 0].sum() for pair in pairs])
    reverse = np.array([pair.on_quant.kl[:steps, 1].sum() for pair in pairs])
    factor = estimate(own, predicted)
    first = [pair.divergence_step for pair in pairs]
    diverged = sum(step is not None and step + 1 < steps for step in first)
    if diverged < MIN_DIVERGED_TEXTS and steps > 1:
        factor = ConfidenceInterval(factor.mean, np.nan, np.nan)
    return Compounding(
        steps=steps,
        own=interval(estimate(own, ones), 0.0),
        predicted=interval(estimate(predicted, ones), 0.0),
        factor=interval(factor, 0.0),
        texts=interval(estimate(predicted, ones), 0.0),
        texts_back=interval(estimate(reverse, ones), 0.0),
    )


def _recovery(pairs: Sequence[ContinuationPair], find_answer: AnswerFinder | None) -> Recovery:
    """Return how many of the diverged texts continue identically later, or answer the same."""
    diverged = [pair for pair in pairs if pair.divergence_step is not None]
    met = sum(common_continuation(pair.reference, pair.quant) is not None for pair in diverged)
    answered = None
    if find_answer is not None:
        same = sum(
            same_answer(find_answer(pair, pair.reference), find_answer(pair, pair.quant))
            for pair in diverged
        )
        answered = interval(wilson(same, len(diverged)))
    return Recovery(len(diverged), interval(wilson(met, len(diverged))), answered)


def _both(
    pairs: Sequence[ContinuationPair], measure: Callable[[Sequence[int]], float]
) -> BothSides:
    """Return the mean of a measure over both models' texts."""
    reference, quant = _values(pairs, measure)
    return BothSides(float(reference.mean()), float(quant.mean()))


def _change(pairs: Sequence[ContinuationPair], measure: Callable[[Sequence[int]], float]) -> Change:
    """Return the mean of a measure over both models' texts, and the paired difference."""
    reference, quant = _values(pairs, measure)
    difference = interval(estimate(quant - reference, np.ones(len(pairs))))
    return Change(float(reference.mean()), float(quant.mean()), difference)


def _endings(pairs: Sequence[ContinuationPair], stops: frozenset[int]) -> Change:
    """Return the share of texts that each model ended itself, before the limit."""
    reference, quant = _values(pairs, lambda ids: float(bool(ids) and ids[-1] in stops))
    lost, won = int((quant < reference).sum()), int((quant > reference).sum())
    difference = interval(paired_share(lost, won, len(pairs)))
    return Change(float(reference.mean()), float(quant.mean()), difference)


def _values(
    pairs: Sequence[ContinuationPair], measure: Callable[[Sequence[int]], float]
) -> tuple[F64, F64]:
    """Return (pairs,) values of a measure for each model."""
    reference = np.array([measure(pair.reference) for pair in pairs], np.float64)
    return reference, np.array([measure(pair.quant) for pair in pairs], np.float64)


def answer_finder(
    decode: Callable[[Sequence[int]], str], patterns: Sequence[str | None]
) -> AnswerFinder:
    """Return a function that finds the answer in a text of a pair; `patterns` are by prompt."""
    return lambda pair, ids: answer_of(decode(ids), patterns[pair.index])


def doublings(limit: int) -> list[int]:
    """Return 1, 2, 4 … and the limit itself.

    >>> doublings(12)
    [1, 2, 4, 8, 12]
    """
    steps = [1]
    while steps[-1] * 2 < limit:
        steps.append(steps[-1] * 2)
    return steps if steps[-1] == limit else [*steps, limit]
