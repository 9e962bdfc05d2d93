"""From pairs of texts to figures: how long they are the same, and whether losses compound.

Prompts are what is drawn again in every interval: the steps of one text belong together.
"""

from collections.abc import Callable, Sequence
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from zeropoint.metrics.generation.divergence_point import Pair
from zeropoint.metrics.generation.texts import answer_of, loops, rejoins, repetition, same_answer
from zeropoint.metrics.statistics import (
    ConfidenceInterval,
    estimate,
    interval,
    paired_share,
    share,
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

PARTED = 5  # texts that have parted, for an interval of the factor


def drift_figures(
    pairs: Sequence[Pair],
    limit: int,
    *,
    stops: frozenset[int] = frozenset(),
    answer: Callable[[Pair, Sequence[int]], str | None] | None = None,
) -> dict[str, FreeRun]:
    """Sum up pairs by way, "greedy" and "sampled". `answer` finds the answer in a pair's text."""
    ways = dict.fromkeys(pair.way for pair in pairs)
    return {
        way: _figures([pair for pair in pairs if pair.way == way], limit, stops, answer)
        for way in ways
    }


def _figures(
    pairs: Sequence[Pair],
    limit: int,
    stops: frozenset[int],
    answer: Callable[[Pair, Sequence[int]], str | None] | None,
) -> FreeRun:
    lengths = np.array([float(len(pair.reference)) for pair in pairs])
    flips = share(np.array([float((~pair.on_reference.same).sum()) for pair in pairs]), lengths)
    kl = estimate(np.array([pair.on_reference.kl[:, 0].sum() for pair in pairs]), lengths)
    splits = [pair.split for pair in pairs]
    curve = survival(splits, limit)
    return FreeRun(
        prompts=len(pairs),
        split=FirstDivergence(
            **vars(median_split(curve)), never=interval(wilson(splits.count(None), len(pairs)))
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
        recovery=_recovery(pairs, answer),
        length=_change(pairs, lambda ids: float(len(ids))),
        stopped=_endings(pairs, stops),
        repetition=_change(pairs, repetition),
        loops=_both(pairs, loops),
    )


def survival(splits: Sequence[int | None], limit: int) -> list[ConfidenceInterval]:
    """Return the share of texts that are the same after 1 … limit steps, with Wilson's band.

    A text that ended the same in both is the same from then on.
    """
    parted = np.array([limit if split is None else split for split in splits])
    return [wilson(int((parted > step).sum()), len(splits)) for step in range(limit)]


def median_split(curve: Sequence[ConfidenceInterval]) -> MedianDivergence:
    """Return the step by which half of the texts have parted, with the interval of the band.

    Null: not within the steps that were measured (Brookmeyer and Crowley, 1982).
    """

    def first(value: Callable[[ConfidenceInterval], float]) -> int | None:
        before = sum(1 for _ in takewhile(lambda point: value(point) > 0.5, curve))
        return before + 1 if before < len(curve) else None

    return MedianDivergence(
        median=first(lambda point: point.mean),
        low=first(lambda point: point.low),
        high=first(lambda point: point.high),
    )


def compounding(pairs: Sequence[Pair], steps: int) -> Compounding:
    """Return what adds up in the first `steps` tokens, in nats per text.

    `own`: Σ KL(reference ‖ quant) along the quant's own text; `predicted`: the same along the
    reference's, where single-token measures look; `factor`: own / predicted, 1 where losses only
    add up. `texts`: by the chain rule, for sampled texts KL(reference ‖ quant) of whole beginnings
    of this length (Σ along the reference's path), and `texts_back` KL(quant ‖ reference) of them.

    Only a text that has parted before its last token can tell of compounding: with fewer than
    `PARTED` of them the factor's interval is unknown. (By simulation, 95 % wanted: 0 % with none,
    where all say 1; 37 to 99 % with one or two, 65 to 100 % with three or four; from five on 87 to
    99 %.)
    """
    ones = np.ones(len(pairs))
    own = np.array([pair.on_quant.kl[:steps, 0].sum() for pair in pairs])
    predicted = np.array([pair.on_reference.kl[:steps, 0].sum() for pair in pairs])
    back = np.array([pair.on_quant.kl[:steps, 1].sum() for pair in pairs])
    factor = estimate(own, predicted)
    parted = sum(pair.split is not None and pair.split + 1 < steps for pair in pairs)
    if parted < PARTED and steps > 1:
        factor = ConfidenceInterval(factor.mean, np.nan, np.nan)
    return Compounding(
        steps=steps,
        own=interval(estimate(own, ones), 0.0),
        predicted=interval(estimate(predicted, ones), 0.0),
        factor=interval(factor, 0.0),
        texts=interval(estimate(predicted, ones), 0.0),
        texts_back=interval(estimate(back, ones), 0.0),
    )


def _recovery(
    pairs: Sequence[Pair], answer: Callable[[Pair, Sequence[int]], str | None] | None
) -> Recovery:
    """Of the texts that parted: how many meet again, and how many answer the same."""
    parted = [pair for pair in pairs if pair.split is not None]
    met = sum(rejoins(pair.reference, pair.quant) is not None for pair in parted)
    answered = None
    if answer is not None:
        same = sum(
            same_answer(answer(pair, pair.reference), answer(pair, pair.quant)) for pair in parted
        )
        answered = interval(wilson(same, len(parted)))
    return Recovery(len(parted), interval(wilson(met, len(parted))), answered)


def _both(pairs: Sequence[Pair], measure: Callable[[Sequence[int]], float]) -> BothSides:
    """Return the mean of a measure over both models' texts."""
    reference, quant = _measured(pairs, measure)
    return BothSides(float(reference.mean()), float(quant.mean()))


def _change(pairs: Sequence[Pair], measure: Callable[[Sequence[int]], float]) -> Change:
    """Return the same with the paired difference."""
    reference, quant = _measured(pairs, measure)
    difference = interval(estimate(quant - reference, np.ones(len(pairs))))
    return Change(float(reference.mean()), float(quant.mean()), difference)


def _endings(pairs: Sequence[Pair], stops: frozenset[int]) -> Change:
    """Return the shares of texts that ended by themselves."""
    reference, quant = _measured(pairs, lambda ids: float(bool(ids) and ids[-1] in stops))
    lost, won = int((quant < reference).sum()), int((quant > reference).sum())
    difference = interval(paired_share(lost, won, len(pairs)))
    return Change(float(reference.mean()), float(quant.mean()), difference)


def _measured(pairs: Sequence[Pair], measure: Callable[[Sequence[int]], float]) -> tuple[F64, F64]:
    """Return (pairs,) values of a measure for each model."""
    reference = np.array([measure(pair.reference) for pair in pairs], np.float64)
    return reference, np.array([measure(pair.quant) for pair in pairs], np.float64)


def answers(
    decode: Callable[[Sequence[int]], str], patterns: Sequence[str | None]
) -> Callable[[Pair, Sequence[int]], str | None]:
    """Return what finds the answer in a text of a pair: `patterns` are those of the prompts."""
    return lambda pair, ids: answer_of(decode(ids), patterns[pair.index])


def doublings(limit: int) -> list[int]:
    """Return 1, 2, 4 … and the limit itself.

    >>> doublings(12)
    [1, 2, 4, 8, 12]
    """
    found = [1]
    while found[-1] * 2 < limit:
        found.append(found[-1] * 2)
    return found if found[-1] == limit else [*found, limit]
