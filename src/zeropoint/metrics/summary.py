"""From per-token values to the figures that are printed, saved and gated."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from zeropoint.metrics.classes import CLASSES, token_class
from zeropoint.metrics.measurement import ChunkMeasured
from zeropoint.metrics.statistics import Estimate, estimate, share
from zeropoint.metrics.verdict import WORDS, verdict

F64 = NDArray[np.float64]
Figures = dict[str, object]

METRICS_VERSION = 1  # 1: first; bumped when a published number changes

POSITION_BINS = 4


def summarize(
    chunks: Sequence[ChunkMeasured],
    *,
    floor: float | None = None,
    token_text: Callable[[int], str] | None = None,
) -> Figures:
    """Sum up measured chunks: plain numbers, ready for JSON.

    Keys: `tokens` (scored), `chunks`, `kl` {mean, low, high, median, p90, p95, p99, p999, max},
    `perplexity` {reference, quant, ratio {mean, low, high}}, `top1` (share of positions with the
    same most likely token) with `top1_low`, `top1_high`, `delta_p` of the text's own token {mean,
    rms, p1, p99}, `flips` {lost, won} (shares where only the reference, or only the quant, puts the
    text's token first), `floor`, `verdict`, and the same figures `by_domain`, `by_class` (if
    `token_text` is given) and `by_position`; `worse` names the domains and classes that are shown
    to lose more than the whole. Divergences are nats per token; intervals are 95 %,
    null where unknown.
    """
    everything = [np.ones(c.comparison.kl.size, bool) for c in chunks]
    result = _figures(chunks, everything)
    kl_interval, top1, ratio = _estimates(chunks, everything)
    result["floor"] = floor
    word = verdict(kl_interval, 0.0 if floor is None else floor, top1, ratio)
    result["verdict"] = {"word": word, "meaning": WORDS[word]}
    domains = sorted({c.domain for c in chunks})
    result["by_domain"] = {
        name: _figures(
            chunks, [m & (c.domain == name) for m, c in zip(everything, chunks, strict=True)]
        )
        for name in domains
    }
    result["by_position"] = _by_position(chunks)
    if token_text is not None:
        result["by_class"] = _by_class(chunks, token_text)
    result["worse"] = _worse(result)
    result["metrics_version"] = METRICS_VERSION
    return result


def _worse(result: Figures) -> list[str]:
    """The domains and classes whose interval lies wholly above that of everything."""
    whole = result["kl"]
    assert isinstance(whole, dict)
    found = []
    for key in ("by_domain", "by_class"):
        groups = result.get(key, {})
        assert isinstance(groups, dict)
        for name, figures in groups.items():
            low, high = figures["kl"]["low"], whole["high"]
            if low is not None and high is not None and low > high:
                found.append(name)
    return found


def _by_position(chunks: Sequence[ChunkMeasured]) -> Figures:
    first = min(c.first for c in chunks)
    last = max(c.first + c.comparison.kl.size for c in chunks)
    edges = np.linspace(first, last, POSITION_BINS + 1).astype(int)
    found: Figures = {}
    for low, high in pairwise(edges):
        positions = [c.first + np.arange(c.comparison.kl.size) for c in chunks]
        masks = [(p >= low) & (p < high) for p in positions]
        if any(m.any() for m in masks):
            found[f"{low}-{high - 1}"] = _figures(chunks, masks)
    return found


def _by_class(chunks: Sequence[ChunkMeasured], token_text: Callable[[int], str]) -> Figures:
    names: dict[int, str] = {}
    for token in np.unique(np.concatenate([c.tokens for c in chunks])):
        names[int(token)] = token_class(token_text(int(token)))
    labels = [np.array([names[int(t)] for t in c.tokens[c.first + 1 :]]) for c in chunks]
    found: Figures = {}
    for name in CLASSES:
        masks = [label == name for label in labels]
        if any(m.any() for m in masks):
            found[name] = _figures(chunks, masks)
    return found


def _figures(chunks: Sequence[ChunkMeasured], masks: Sequence[NDArray[np.bool_]]) -> Figures:
    """The figures of the positions that `masks` choose in each chunk."""
    kl_interval, top1, ratio = _estimates(chunks, masks)
    pairs = list(zip(chunks, masks, strict=True))
    kl = np.concatenate([c.comparison.kl[m] for c, m in pairs])
    nll_reference = np.concatenate([c.comparison.nll_reference[m] for c, m in pairs])
    nll_quant = np.concatenate([c.comparison.nll_quant[m] for c, m in pairs])
    targets = np.concatenate([c.tokens[c.first + 1 :][m] for c, m in pairs])
    tops = np.concatenate([c.comparison.top_ids[m][:, :, 0] for c, m in pairs])
    delta_p = np.exp(-nll_quant) - np.exp(-nll_reference)
    right = tops == targets[:, None]  # (n, 2)
    median, p90, p95, p99, p999 = np.percentile(kl, [50, 90, 95, 99, 99.9])
    return {
        "tokens": int(kl.size),
        "chunks": sum(bool(m.any()) for m in masks),
        "kl": {
            **_interval(kl_interval),
            "median": float(median),
            "p90": float(p90),
            "p95": float(p95),
            "p99": float(p99),
            "p999": float(p999),
            "max": float(kl.max()),
        },
        "perplexity": {
            "reference": float(np.exp(nll_reference.mean())),
            "quant": float(np.exp(nll_quant.mean())),
            "ratio": _interval(ratio),
        },
        "top1": top1.mean,
        "top1_low": _number(top1.low),
        "top1_high": _number(top1.high),
        "delta_p": {
            "mean": float(delta_p.mean()),
            "rms": float(np.sqrt((delta_p**2).mean())),
            "p1": float(np.percentile(delta_p, 1)),
            "p99": float(np.percentile(delta_p, 99)),
        },
        "flips": {
            "lost": float((right[:, 0] & ~right[:, 1]).mean()),
            "won": float((~right[:, 0] & right[:, 1]).mean()),
        },
    }


def _estimates(
    chunks: Sequence[ChunkMeasured], masks: Sequence[NDArray[np.bool_]]
) -> tuple[Estimate, Estimate, Estimate]:
    """KL, top-1 agreement and the perplexity ratio, with intervals over chunks."""
    counts = np.array([m.sum() for m in masks], np.float64)

    def over_chunks(
        values: Callable[[ChunkMeasured], NDArray[np.floating] | NDArray[np.bool_]],
    ) -> F64:
        return np.array(
            [values(c)[m].sum() for c, m in zip(chunks, masks, strict=True)], np.float64
        )

    kl = estimate(over_chunks(lambda c: c.comparison.kl), counts)
    kl = Estimate(kl.mean, max(kl.low, 0.0) if kl.low == kl.low else kl.low, kl.high)  # KL ≥ 0
    top1 = share(over_chunks(lambda c: c.comparison.same_top), counts)
    log_ratio = estimate(
        over_chunks(lambda c: c.comparison.nll_quant - c.comparison.nll_reference), counts
    )
    ratio = Estimate(*(float(np.exp(v)) for v in (log_ratio.mean, log_ratio.low, log_ratio.high)))
    return kl, top1, ratio


def _interval(found: Estimate) -> Figures:
    return {"mean": found.mean, "low": _number(found.low), "high": _number(found.high)}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
