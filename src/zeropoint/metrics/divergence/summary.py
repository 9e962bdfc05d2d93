"""Summarizes the scores of positions: the figures that are printed, stored and gated."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from zeropoint.metrics.divergence.changed_predictions import changed_predictions
from zeropoint.metrics.divergence.score_chunks import ChunkScores
from zeropoint.metrics.divergence.token_classes import CLASSES, token_class
from zeropoint.metrics.divergence.verdict import VERDICT_MEANINGS, verdict, verdict_reason
from zeropoint.metrics.statistics import ConfidenceInterval, clustered_rate, estimate, interval
from zeropoint.results.divergence import (
    KL,
    Divergence,
    Flips,
    MeasureResult,
    Perplexity,
    ProbabilityChange,
    Verdict,
)

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]  # (positions,) of one chunk: which positions count
Values = NDArray[np.floating] | Mask
Scalar = TypeVar("Scalar", bound=np.generic)

METRICS_VERSION = 1  # raised when the definition of a published figure changes

POSITION_BINS = 4


def summarize(
    chunks: Sequence[ChunkScores],
    *,
    floor: float | None = None,
    token_text: Callable[[int], str] | None = None,
) -> MeasureResult:
    """Summarize the chunks as a whole, and by text, by position and by class of token.

    `floor` is the noise floor in nats per token. `token_text` returns the text of a token; without
    it, `by_class` and `changed_predictions` are empty. `worse` names the texts and classes whose
    loss is significantly larger than that of the whole. Divergences are in nats per token;
    intervals are 95 %, over chunks.
    """
    everything = [np.ones(chunk.comparison.kl.size, bool) for chunk in chunks]
    whole = _divergence(chunks, everything)
    intervals = _intervals(chunks, everything)
    figures = intervals.kl, floor or 0.0, intervals.top1, intervals.perplexity_ratio
    word = verdict(*figures)
    domains = _by_domain(chunks)
    classes = {} if token_text is None else _by_class(chunks, token_text)
    return MeasureResult(
        **vars(whole),
        floor=floor,
        verdict=Verdict(word, VERDICT_MEANINGS[word], verdict_reason(*figures)),
        by_domain=domains,
        by_position=_by_position(chunks),
        by_class=classes,
        worse=tuple(_worse(whole, domains | classes)),
        changed_predictions=changed_predictions(chunks, token_text) if token_text else (),
        metrics_version=METRICS_VERSION,
    )


def _worse(whole: Divergence, groups: Mapping[str, Divergence]) -> Iterator[str]:
    """Yield the names of the groups whose interval of KL lies wholly above that of the whole."""
    for name, group in groups.items():
        low, high = group.kl.low, whole.kl.high
        if low is not None and high is not None and low > high:
            yield name


def _by_domain(chunks: Sequence[ChunkScores]) -> dict[str, Divergence]:
    return {
        name: _divergence(
            chunks, [np.full(chunk.comparison.kl.size, chunk.domain == name) for chunk in chunks]
        )
        for name in sorted({chunk.domain for chunk in chunks})
    }


def _by_position(chunks: Sequence[ChunkScores]) -> dict[str, Divergence]:
    """Return the figures of POSITION_BINS bins for each range of positions that chunks score."""
    positions = [chunk.first + np.arange(chunk.comparison.kl.size) for chunk in chunks]
    ranges = {(int(numbers[0]), int(numbers[-1]) + 1) for numbers in positions if numbers.size}
    groups = {}
    for first, last in sorted(ranges):
        edges = np.linspace(first, last, POSITION_BINS + 1).astype(int)
        for low, high in pairwise(edges):
            masks = [
                (numbers >= low)
                & (numbers < high)
                & (numbers[0] == first)
                & (numbers[-1] + 1 == last)
                for numbers in positions
            ]
            if any(mask.any() for mask in masks):
                groups[f"{low}-{high - 1}"] = _divergence(chunks, masks)
    return groups


def _by_class(
    chunks: Sequence[ChunkScores], token_text: Callable[[int], str]
) -> dict[str, Divergence]:
    tokens = np.unique(np.concatenate([chunk.tokens for chunk in chunks]))
    names = {int(token): token_class(token_text(int(token))) for token in tokens}
    labels = [np.array([names[int(token)] for token in _targets(chunk)]) for chunk in chunks]
    groups = {}
    for name in CLASSES:
        masks = [label == name for label in labels]
        if any(mask.any() for mask in masks):
            groups[name] = _divergence(chunks, masks)
    return groups


def _targets(chunk: ChunkScores) -> NDArray[np.int32]:
    """Return the tokens that the scored positions predict, (positions,)."""
    return chunk.tokens[chunk.first + 1 :]


def _divergence(chunks: Sequence[ChunkScores], masks: Sequence[Mask]) -> Divergence:
    """Summarize the positions that `masks` choose, one mask per chunk."""

    def chosen(values: Callable[[ChunkScores], NDArray[Scalar]]) -> NDArray[Scalar]:
        pairs = zip(chunks, masks, strict=True)
        return np.concatenate([values(chunk)[mask] for chunk, mask in pairs])

    intervals = _intervals(chunks, masks)
    kl = chosen(lambda chunk: chunk.comparison.kl)
    nll_reference = chosen(lambda chunk: chunk.comparison.nll_reference)
    nll_quant = chosen(lambda chunk: chunk.comparison.nll_quant)
    top_tokens = chosen(lambda chunk: chunk.comparison.top_ids[:, :, 0])  # (n, 2)
    correct = top_tokens == chosen(_targets)[:, None]  # (n, 2): reference, quant
    mean, agreement = interval(intervals.kl), interval(intervals.top1)
    median, p90, p95, p99, p999 = map(float, np.percentile(kl, [50, 90, 95, 99, 99.9]))
    return Divergence(
        tokens=int(kl.size),
        chunks=sum(bool(mask.any()) for mask in masks),
        kl=KL(mean.mean, mean.low, mean.high, median, p90, p95, p99, p999, float(kl.max())),
        perplexity=Perplexity(
            float(np.exp(nll_reference.mean())),
            float(np.exp(nll_quant.mean())),
            interval(intervals.perplexity_ratio),
        ),
        top1=agreement.mean,
        top1_low=agreement.low,
        top1_high=agreement.high,
        delta_p=_probability_change(nll_reference, nll_quant),
        flips=Flips(
            lost=float((correct[:, 0] & ~correct[:, 1]).mean()),
            won=float((~correct[:, 0] & correct[:, 1]).mean()),
        ),
    )


def _probability_change(nll_reference: F64, nll_quant: F64) -> ProbabilityChange:
    change = np.exp(-nll_quant) - np.exp(-nll_reference)
    return ProbabilityChange(
        mean=float(change.mean()),
        rms=float(np.sqrt((change**2).mean())),
        p1=float(np.percentile(change, 1)),
        p99=float(np.percentile(change, 99)),
    )


@dataclass(frozen=True)
class DivergenceIntervals:
    """The figures that have a confidence interval over chunks."""

    kl: ConfidenceInterval  # nats per token
    top1: ConfidenceInterval  # share of positions with the same most likely token
    perplexity_ratio: ConfidenceInterval  # quant / reference


def _intervals(chunks: Sequence[ChunkScores], masks: Sequence[Mask]) -> DivergenceIntervals:
    counts = np.array([mask.sum() for mask in masks], np.float64)

    def sums(values: Callable[[ChunkScores], Values]) -> F64:
        pairs = zip(chunks, masks, strict=True)
        return np.array([values(chunk)[mask].sum() for chunk, mask in pairs], np.float64)

    kl = estimate(sums(lambda chunk: chunk.comparison.kl), counts)
    log_ratio = estimate(
        sums(lambda chunk: chunk.comparison.nll_quant - chunk.comparison.nll_reference), counts
    )
    return DivergenceIntervals(
        # A KL divergence is not negative, but the bootstrap does not know that.
        kl=ConfidenceInterval(kl.mean, kl.low if np.isnan(kl.low) else max(kl.low, 0.0), kl.high),
        top1=clustered_rate(sums(lambda chunk: chunk.comparison.same_top), counts),
        perplexity_ratio=ConfidenceInterval(
            *(float(np.exp(value)) for value in (log_ratio.mean, log_ratio.low, log_ratio.high))
        ),
    )
