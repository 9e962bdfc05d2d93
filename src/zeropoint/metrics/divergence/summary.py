"""From per-token values to the figures that are printed, saved and gated."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from zeropoint.metrics.divergence.score_chunks import ChunkScores
from zeropoint.metrics.divergence.token_classes import CLASSES, token_class
from zeropoint.metrics.divergence.verdict import WORDS, verdict
from zeropoint.metrics.statistics import ConfidenceInterval, estimate, interval, share
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

METRICS_VERSION = 1  # 1: first; bumped when a published number changes

POSITION_BINS = 4


def summarize(
    chunks: Sequence[ChunkScores],
    *,
    floor: float | None = None,
    token_text: Callable[[int], str] | None = None,
) -> MeasureResult:
    """Sum up measured chunks, and the same by text, by position and by kind of token.

    `by_class` is empty without `token_text`. `worse` names the texts and kinds of token that are
    shown to lose more than the whole. Divergences are nats per token; intervals are 95 %, over
    chunks.
    """
    everything = [np.ones(c.comparison.kl.size, bool) for c in chunks]
    whole = _divergence(chunks, everything)
    kl, top1, ratio = _estimates(chunks, everything)
    word = verdict(kl, 0.0 if floor is None else floor, top1, ratio)
    domains = {
        name: _divergence(
            chunks, [m & (c.domain == name) for m, c in zip(everything, chunks, strict=True)]
        )
        for name in sorted({c.domain for c in chunks})
    }
    classes = {} if token_text is None else _by_class(chunks, token_text)
    return MeasureResult(
        **vars(whole),
        floor=floor,
        verdict=Verdict(word, WORDS[word]),
        by_domain=domains,
        by_position=_by_position(chunks),
        by_class=classes,
        worse=tuple(_worse(whole, domains | classes)),
        metrics_version=METRICS_VERSION,
    )


def _worse(whole: Divergence, groups: Mapping[str, Divergence]) -> Iterator[str]:
    """Yield the groups whose interval lies wholly above that of everything."""
    for name, group in groups.items():
        low, high = group.kl.low, whole.kl.high
        if low is not None and high is not None and low > high:
            yield name


def _by_position(chunks: Sequence[ChunkScores]) -> dict[str, Divergence]:
    first = min(c.first for c in chunks)
    last = max(c.first + c.comparison.kl.size for c in chunks)
    edges = np.linspace(first, last, POSITION_BINS + 1).astype(int)
    found = {}
    for low, high in pairwise(edges):
        positions = [c.first + np.arange(c.comparison.kl.size) for c in chunks]
        masks = [(p >= low) & (p < high) for p in positions]
        if any(m.any() for m in masks):
            found[f"{low}-{high - 1}"] = _divergence(chunks, masks)
    return found


def _by_class(
    chunks: Sequence[ChunkScores], token_text: Callable[[int], str]
) -> dict[str, Divergence]:
    names: dict[int, str] = {}
    for token in np.unique(np.concatenate([c.tokens for c in chunks])):
        names[int(token)] = token_class(token_text(int(token)))
    labels = [np.array([names[int(t)] for t in c.tokens[c.first + 1 :]]) for c in chunks]
    found = {}
    for name in CLASSES:
        masks = [label == name for label in labels]
        if any(m.any() for m in masks):
            found[name] = _divergence(chunks, masks)
    return found


def _divergence(chunks: Sequence[ChunkScores], masks: Sequence[NDArray[np.bool_]]) -> Divergence:
    """Sum up the positions that `masks` choose in each chunk."""
    kl_interval, top1, ratio = _estimates(chunks, masks)
    pairs = list(zip(chunks, masks, strict=True))
    kl = np.concatenate([c.comparison.kl[m] for c, m in pairs])
    nll_reference = np.concatenate([c.comparison.nll_reference[m] for c, m in pairs])
    nll_quant = np.concatenate([c.comparison.nll_quant[m] for c, m in pairs])
    targets = np.concatenate([c.tokens[c.first + 1 :][m] for c, m in pairs])
    tops = np.concatenate([c.comparison.top_ids[m][:, :, 0] for c, m in pairs])
    delta_p = np.exp(-nll_quant) - np.exp(-nll_reference)
    right = tops == targets[:, None]  # (n, 2)
    median, p90, p95, p99, p999 = map(float, np.percentile(kl, [50, 90, 95, 99, 99.9]))
    mean = interval(kl_interval)
    agreement = interval(top1)
    return Divergence(
        tokens=int(kl.size),
        chunks=sum(bool(m.any()) for m in masks),
        kl=KL(mean.mean, mean.low, mean.high, median, p90, p95, p99, p999, float(kl.max())),
        perplexity=Perplexity(
            float(np.exp(nll_reference.mean())),
            float(np.exp(nll_quant.mean())),
            interval(ratio),
        ),
        top1=agreement.mean,
        top1_low=agreement.low,
        top1_high=agreement.high,
        delta_p=ProbabilityChange(
            mean=float(delta_p.mean()),
            rms=float(np.sqrt((delta_p**2).mean())),
            p1=float(np.percentile(delta_p, 1)),
            p99=float(np.percentile(delta_p, 99)),
        ),
        flips=Flips(
            lost=float((right[:, 0] & ~right[:, 1]).mean()),
            won=float((~right[:, 0] & right[:, 1]).mean()),
        ),
    )


def _estimates(
    chunks: Sequence[ChunkScores], masks: Sequence[NDArray[np.bool_]]
) -> tuple[ConfidenceInterval, ConfidenceInterval, ConfidenceInterval]:
    """KL, top-1 agreement and the perplexity ratio, with intervals over chunks."""
    counts = np.array([m.sum() for m in masks], np.float64)

    def over_chunks(
        values: Callable[[ChunkScores], NDArray[np.floating] | NDArray[np.bool_]],
    ) -> F64:
        return np.array(
            [values(c)[m].sum() for c, m in zip(chunks, masks, strict=True)], np.float64
        )

    kl = estimate(over_chunks(lambda c: c.comparison.kl), counts)
    kl = ConfidenceInterval(
        kl.mean, max(kl.low, 0.0) if kl.low == kl.low else kl.low, kl.high
    )  # KL ≥ 0
    top1 = share(over_chunks(lambda c: c.comparison.same_top), counts)
    log_ratio = estimate(
        over_chunks(lambda c: c.comparison.nll_quant - c.comparison.nll_reference), counts
    )
    ratio = ConfidenceInterval(
        *(float(np.exp(v)) for v in (log_ratio.mean, log_ratio.low, log_ratio.high))
    )
    return kl, top1, ratio
