"""Compares models with different tokenizers: nats per byte of the same text, against memory.

A window is some lines of context and some lines that are scored. It is cut by bytes and not by
tokens, so that every model scores the same bytes after the same context. The sum of −log p of the
scored tokens, divided by their bytes, is what a model needs to encode the text, whatever its
vocabulary is.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from zeropoint.calibration.corpus import Corpus
from zeropoint.errors import MeasurementError
from zeropoint.metrics.divergence.ranking import group_letters, separable
from zeropoint.metrics.statistics import estimate, interval, paired_p_value
from zeropoint.metrics.tasks.likelihood import encode_pair, score_continuations
from zeropoint.models import Architecture, LanguageModel
from zeropoint.results.model_identity import ModelIdentity
from zeropoint.results.run_checks import ROUNDING, finite_number
from zeropoint.results.run_store import RunFolder
from zeropoint.results.tasks import CacheKind, ModelCompared, TextScore

F64 = NDArray[np.float64]

CONTEXT_BYTES = SCORED_BYTES = 1024  # minimum size of both parts of a window, in whole lines
BATCH_WINDOWS = 8  # windows between two records


@dataclass(frozen=True)
class ScoringWindow:
    """Lines of one domain: `scored` is scored, with `before` as its context."""

    domain: str
    before: str
    scored: str

    @property
    def nbytes(self) -> int:
        """Bytes that are scored, in UTF-8."""
        return len(self.scored.encode())


@dataclass(frozen=True)
class WindowsProgress:
    """Some more windows are scored."""

    done: int  # windows
    nats_per_byte: float  # mean so far

    @property
    def detail(self) -> str:
        """The running figure, for a progress bar."""
        return f"{self.nats_per_byte:.4f} nats per byte"


def cut_windows(corpus: Corpus, *, limit: int | None = None) -> list[ScoringWindow]:
    """Cut each domain into windows; the domains take turns, and the tail of a domain is dropped.

    Lines stay whole up to CONTEXT_BYTES characters. `limit` is the maximum number of windows.
    Raises MeasurementError if no text fills a window.
    """
    queues = []
    for domain, text in corpus.domains.items():
        queue: list[ScoringWindow] = []
        before = scored = ""
        for line in _lines(text):
            if len(before.encode()) < CONTEXT_BYTES:
                before += line
            else:
                scored += line
            if len(scored.encode()) >= SCORED_BYTES:
                queue.append(ScoringWindow(domain, before, scored))
                before = scored = ""
        queues.append(queue)
    longest = max(map(len, queues), default=0)
    windows = [queue[at] for at in range(longest) for queue in queues if at < len(queue)]
    if not windows:
        raise MeasurementError(
            f"the text is shorter than one window of {CONTEXT_BYTES + SCORED_BYTES} bytes; use a"
            " longer text"
        )
    return windows[:limit]


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of a text; long lines are cut, so that none of them fills a window alone."""
    for line in text.splitlines(keepends=True):
        for at in range(0, len(line), CONTEXT_BYTES):
            yield line[at : at + CONTEXT_BYTES]


def score_windows(
    model: LanguageModel,
    windows: Sequence[ScoringWindow],
    nats: list[float],
    folder: RunFolder | None = None,
    index: int = 0,
) -> Iterator[WindowsProgress]:
    """Score the windows in order, and append to `nats` the sum of −log p of each window.

    Windows that the run folder holds in `nats-INDEX.json` are not scored again.
    """
    tokenizer = model.tokenizer
    bos = tokenizer.vocabulary.bos
    begin = [bos] if tokenizer.adds_bos and bos is not None else []
    nats[:] = load_nats(folder, index)[: len(windows)] if folder else []
    while True:
        done = len(nats)
        scored_bytes = sum(window.nbytes for window in windows[:done])
        yield WindowsProgress(done, sum(nats) / max(scored_bytes, 1))
        batch = windows[done : done + BATCH_WINDOWS]
        if not batch:
            return
        requests, owners = [], []
        for owner, window in enumerate(batch):
            before, scored = encode_pair(tokenizer, window.before, window.scored)
            for request in _pieces([*begin, *before], scored, model.context_length):
                requests.append(request)
                owners.append(owner)
        sums = [0.0] * len(batch)
        for score in sorted(score_continuations(model, requests), key=lambda score: score.index):
            sums[owners[score.index]] += score.nats
        nats += sums
        if folder:
            folder.save_table(f"nats-{index}", nats)


def _pieces(
    before: Sequence[int], scored: Sequence[int], context: int
) -> Iterator[tuple[list[int], list[int]]]:
    """Cut the scored tokens into pieces of half a context; almost always there is only one."""
    whole, size = [*before, *scored], max(1, context // 2)
    for at in range(len(before), len(whole), size):
        yield whole[:at], whole[at : at + size]


def load_nats(folder: RunFolder, index: int) -> list[float]:
    """Return the sums of −log p that a run folder holds of one model, one number per window."""
    return folder.load_rows(f"nats-{index}", lambda row: finite_number(row, -ROUNDING))


def text_scores(
    windows: Sequence[ScoringWindow], nats: Sequence[Sequence[float]]
) -> list[TextScore]:
    """Return nats per byte of each model, with intervals over windows, and by domain.

    `nats` holds one number per model and window. `difference` is to the first model, paired by
    window, and `p` is the p-value of a sign-flip test of it. Models that share a letter of `group`
    cannot be separated (all pairs together, corrected by Holm's method).
    """
    sizes = np.array([float(window.nbytes) for window in windows])
    sums = [np.array(model_nats, np.float64) for model_nats in nats]
    order = sorted(range(len(sums)), key=lambda i: float(sums[i].sum()))
    letters = group_letters(separable([sums[i] for i in order]))
    groups = dict(zip(order, letters, strict=True))
    domains = list(dict.fromkeys(window.domain for window in windows))
    masks = {name: np.array([w.domain == name for w in windows]) for name in domains}
    return [
        TextScore(
            bytes=int(sizes.sum()),
            windows=len(windows),
            nats_per_byte=interval(estimate(model_sums, sizes), 0.0),
            by_domain={
                name: interval(estimate(model_sums[mask], sizes[mask]), 0.0)
                for name, mask in masks.items()
            },
            difference=interval(estimate(model_sums - sums[0], sizes)),
            p=paired_p_value(model_sums - sums[0]),
            group=groups[index],
        )
        for index, model_sums in enumerate(sums)
    ]


def kv_cache_kinds(architecture: Architecture) -> list[CacheKind]:
    """Return the layers of a model by the size and the window of their key-value cache."""
    kinds = Counter(
        (2 * part.kv_heads * (part.head_size + part.value_size), part.window)
        for part in (layer.attention for layer in architecture.layers)
        if part
    )
    return [
        CacheKind(layers=count, bytes=size, window=window)
        for (size, window), count in kinds.items()
    ]


def kv_cache_bytes(architecture: Architecture, context: int) -> int:
    """Return the bytes of keys and values of `context` tokens, at 16 bits per number.

    A layer with a sliding window counts the tokens of its window only.
    """
    return sum(
        kind.layers * kind.bytes * min(context, kind.window or context)
        for kind in kv_cache_kinds(architecture)
    )


class ModelSize(TypedDict):
    """The fields of a result that describe the size of a model."""

    weights: int
    bits_per_weight: float
    shape: str
    cache: tuple[CacheKind, ...]


def size_of(architecture: Architecture, identity: ModelIdentity) -> ModelSize:
    """Return the number of weights, the shape in words, and the key-value cache of a model."""
    return ModelSize(
        weights=round(8 * identity.file_bytes / identity.bits_per_weight),
        bits_per_weight=identity.bits_per_weight,
        shape=f"{architecture.name}, {len(architecture.layers)} layers of {architecture.width}",
        cache=tuple(kv_cache_kinds(architecture)),
    )


def compared_model(
    identity: ModelIdentity, architecture: Architecture, context: int, text: TextScore
) -> ModelCompared:
    """Return one model of a comparison; `context` is the number of tokens in its cache."""
    cache = kv_cache_bytes(architecture, context)
    return ModelCompared(
        name=identity.name,
        formats=identity.kind,
        file_bytes=identity.file_bytes,
        cache_bytes=cache,
        memory_bytes=identity.file_bytes + cache,
        **size_of(architecture, identity),
        text=text,
    )
