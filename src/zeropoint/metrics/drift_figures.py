"""From pairs of texts to figures: how long they are the same, and whether losses compound.

Prompts are what is drawn again in every interval: the steps of one text belong together.
"""

from collections.abc import Callable, Sequence
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from zeropoint.metrics.drift import Pair
from zeropoint.metrics.statistics import Estimate, estimate, paired_share, share, wilson
from zeropoint.metrics.summary import Figures
from zeropoint.metrics.texts import answer_of, loops, rejoins, repetition, same_answer

F64 = NDArray[np.float64]

PARTED = 5  # texts that have parted, for an interval of the factor


def drift_figures(
    pairs: Sequence[Pair],
    limit: int,
    *,
    stops: frozenset[int] = frozenset(),
    answer: Callable[[Pair, Sequence[int]], str | None] | None = None,
) -> Figures:
    """Sum up pairs by way ("greedy", "sampled"): plain numbers, ready for JSON.

    For each way: `prompts`; `split` (the first token that differs, counted from 1: median with
    interval, null where most texts stay the same, and the share `never`); `survival` (share of
    texts the same after 1 … limit tokens, with its band, and what single tokens predict: the mean
    over texts of (1 − f)^t, f being `flips_per_token` and t no more than the text has);
    `flips_per_token` (share of tokens on the reference's path where the quant, from the same
    beginning and with the same noise, chooses another); `kl_per_token` on the reference's path;
    `compounding` at 1, 2, 4 … steps; `recovery`; `length`, `stopped`, `repetition` and `loops`
    {reference, quant}, the first three with the paired difference.
    """
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
) -> Figures:
    lengths = np.array([float(len(pair.reference)) for pair in pairs])
    flips = share(np.array([float((~pair.on_reference.same).sum()) for pair in pairs]), lengths)
    kl = estimate(np.array([pair.on_reference.kl[:, 0].sum() for pair in pairs]), lengths)
    splits = [pair.split for pair in pairs]
    curve = survival(splits, limit)
    return {
        "prompts": len(pairs),
        "split": {**median_split(curve), "never": interval(wilson(splits.count(None), len(pairs)))},
        "survival": {
            "share": [point.mean for point in curve],
            "low": [point.low for point in curve],
            "high": [point.high for point in curve],
            "predicted": [
                float(np.mean((1 - flips.mean) ** np.minimum(step + 1, lengths)))
                for step in range(limit)
            ],
        },
        "flips_per_token": interval(flips),
        "kl_per_token": interval(kl, 0.0),
        "compounding": [compounding(pairs, steps) for steps in doublings(limit)],
        "recovery": _recovery(pairs, answer),
        **_shapes(pairs, stops),
    }


def survival(splits: Sequence[int | None], limit: int) -> list[Estimate]:
    """Return the share of texts that are the same after 1 … limit steps, with Wilson's band.

    A text that ended the same in both is the same from then on.
    """
    parted = np.array([limit if split is None else split for split in splits])
    return [wilson(int((parted > step).sum()), len(splits)) for step in range(limit)]


def median_split(curve: Sequence[Estimate]) -> Figures:
    """Return the step by which half of the texts have parted, with the interval of the band.

    Null: not within the steps that were measured (Brookmeyer and Crowley, 1982).
    """

    def first(value: Callable[[Estimate], float]) -> int | None:
        before = sum(1 for _ in takewhile(lambda point: value(point) > 0.5, curve))
        return before + 1 if before < len(curve) else None

    return {
        "median": first(lambda point: point.mean),
        "low": first(lambda point: point.low),
        "high": first(lambda point: point.high),
    }


def compounding(pairs: Sequence[Pair], steps: int) -> Figures:
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
        factor = Estimate(factor.mean, np.nan, np.nan)
    return {
        "steps": steps,
        "own": interval(estimate(own, ones), 0.0),
        "predicted": interval(estimate(predicted, ones), 0.0),
        "factor": interval(factor, 0.0),
        "texts": interval(estimate(predicted, ones), 0.0),
        "texts_back": interval(estimate(back, ones), 0.0),
    }


def _recovery(
    pairs: Sequence[Pair], answer: Callable[[Pair, Sequence[int]], str | None] | None
) -> Figures:
    """Of the texts that parted: how many meet again, and how many answer the same."""
    parted = [pair for pair in pairs if pair.split is not None]
    met = sum(rejoins(pair.reference, pair.quant) is not None for pair in parted)
    found: Figures = {"parted": len(parted), "met_again": interval(wilson(met, len(parted)))}
    if answer is not None:
        same = sum(
            same_answer(answer(pair, pair.reference), answer(pair, pair.quant)) for pair in parted
        )
        found["same_answer"] = interval(wilson(same, len(parted)))
    return found


def _shapes(pairs: Sequence[Pair], stops: frozenset[int]) -> Figures:
    """Length, endings and repetition of both sides."""
    sides = [pair.reference for pair in pairs], [pair.quant for pair in pairs]
    measures: dict[str, Callable[[Sequence[int]], float]] = {
        "length": lambda ids: float(len(ids)),
        "stopped": lambda ids: float(bool(ids) and ids[-1] in stops),
        "repetition": repetition,
    }
    found: Figures = {}
    for name, measure in measures.items():
        reference, quant = (np.array([measure(ids) for ids in side]) for side in sides)
        found[name] = {
            "reference": float(reference.mean()),
            "quant": float(quant.mean()),
            "difference": interval(
                paired_share(
                    int((quant < reference).sum()), int((quant > reference).sum()), len(pairs)
                )
                if name == "stopped"
                else estimate(quant - reference, np.ones(len(pairs)))
            ),
        }
    found["loops"] = {
        name: float(np.mean([loops(ids) for ids in side]))
        for name, side in zip(("reference", "quant"), sides, strict=True)
    }
    return found


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


def interval(
    found: Estimate, least: float = -np.inf, most: float = np.inf
) -> dict[str, float | None]:
    """Return {mean, low, high} within what is possible; null where unknown."""
    return {
        name: None if np.isnan(value) else float(min(max(value, least), most))
        for name, value in (("mean", found.mean), ("low", found.low), ("high", found.high))
    }
