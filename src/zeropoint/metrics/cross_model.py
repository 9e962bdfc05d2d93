"""Models with different tokenizers on one axis: nats per byte of the same text, beside memory.

A window is some lines that are read and some lines that are scored, cut by bytes and not by tokens,
so that every model scores the same bytes after the same beginning. −log p of the scored tokens over
their bytes is what a model needs to write that text down, whatever its vocabulary.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from zeropoint.calibration.corpus import Corpus
from zeropoint.errors import MeasurementError
from zeropoint.metrics.divergence.compatibility import ModelIdentity
from zeropoint.metrics.divergence.ranking import group_letters, tell_apart
from zeropoint.metrics.statistics import estimate, interval, paired_p_value
from zeropoint.metrics.tasks.likelihood import encode_pair, score_continuations
from zeropoint.models import Architecture, LanguageModel
from zeropoint.results.run_checks import ROUNDING, finite_number
from zeropoint.results.run_store import RunFolder
from zeropoint.results.tasks import CacheKind, TextScore

F64 = NDArray[np.float64]

READ_BYTES = SCORED_BYTES = 1024  # of a window, at least: whole lines
TOGETHER = 8  # windows between two records


@dataclass(frozen=True)
class Window:
    """Lines of one domain: `before` is read, `scored` is scored after it."""

    domain: str
    before: str
    scored: str

    @property
    def nbytes(self) -> int:
        """Bytes that are scored, as UTF-8."""
        return len(self.scored.encode())


@dataclass(frozen=True)
class WindowsScored:
    """So many windows are scored."""

    done: int
    nats_per_byte: float


def cut_windows(corpus: Corpus, *, limit: int | None = None) -> list[Window]:
    """Cut each domain into windows, the domains taking turns; the tail of a domain is dropped.

    Lines stay whole up to `READ_BYTES` characters.

    Raises MeasurementError if no text fills a window.
    """
    queues = []
    for domain, text in corpus.domains.items():
        queue: list[Window] = []
        parts = ["", ""]  # before, scored
        for line in _lines(text):
            place = 0 if len(parts[0].encode()) < READ_BYTES else 1
            parts[place] += line
            if len(parts[1].encode()) >= SCORED_BYTES:
                queue.append(Window(domain, *parts))
                parts = ["", ""]
        queues.append(queue)
    longest = max(map(len, queues), default=0)
    windows = [queue[at] for at in range(longest) for queue in queues if at < len(queue)]
    if not windows:
        raise MeasurementError(
            f"the text is shorter than one window of {READ_BYTES + SCORED_BYTES} bytes; give more"
        )
    return windows[:limit]


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of a text; one without end in pieces, so that it fills no window alone."""
    for line in text.splitlines(keepends=True):
        for at in range(0, len(line), READ_BYTES):
            yield line[at : at + READ_BYTES]


def score_windows(
    model: LanguageModel,
    windows: Sequence[Window],
    into: list[float],
    run: RunFolder | None = None,
    place: int = 0,
) -> Iterator[WindowsScored]:
    """Score the windows in order; fills `into` with nats, one number a window.

    What the run folder holds (`nats-PLACE.json`) is not scored again.
    """
    tokenizer = model.tokenizer
    bos = tokenizer.vocabulary.bos
    begin = [bos] if tokenizer.adds_bos and bos is not None else []
    into[:] = [] if run is None else load_nats(run, place)[: len(windows)]
    total = sum(into)
    while True:
        done = len(into)
        read = sum(window.nbytes for window in windows[:done])
        yield WindowsScored(done, total / max(read, 1))
        part = windows[done : done + TOGETHER]
        if not part:
            return
        requests, owners = [], []
        for owner, window in enumerate(part):
            before, scored = encode_pair(tokenizer, window.before, window.scored)
            for request in _pieces([*begin, *before], scored, model.context_length):
                requests.append(request)
                owners.append(owner)
        nats = [0.0] * len(part)
        for one in sorted(score_continuations(model, requests), key=lambda one: one.index):
            nats[owners[one.index]] += one.nats
        into += nats
        total = sum(into)
        if run:
            run.save_table(f"nats-{place}", into)


def _pieces(
    before: Sequence[int], scored: Sequence[int], context: int
) -> Iterator[tuple[list[int], list[int]]]:
    """Cut what is scored into pieces of half a context; almost always it is one."""
    whole, size = [*before, *scored], max(1, context // 2)
    for at in range(len(before), len(whole), size):
        yield whole[:at], whole[at : at + size]


def load_nats(run: RunFolder, place: int) -> list[float]:
    """Return what a run holds of one model."""
    return run.load_rows(f"nats-{place}", lambda row: finite_number(row, -ROUNDING))


def text_figures(windows: Sequence[Window], nats: Sequence[Sequence[float]]) -> list[TextScore]:
    """Return nats per byte of each model: with its interval, by domain, beside the first's.

    `difference` is to the first model, paired by window, with a sign-flip test `p`; models that
    share a letter of `group` cannot be told apart (all pairs together, Holm).
    """
    sizes = np.array([float(window.nbytes) for window in windows])
    sums = [np.array(one, np.float64) for one in nats]
    order = sorted(range(len(sums)), key=lambda i: float(sums[i].sum()))
    letters = group_letters(tell_apart([sums[i] for i in order]))
    groups = {i: letter for i, letter in zip(order, letters, strict=True)}
    found: list[TextScore] = []
    for place, one in enumerate(sums):
        domains = dict.fromkeys(window.domain for window in windows)
        masks = {name: np.array([w.domain == name for w in windows]) for name in domains}
        found.append(
            TextScore(
                bytes=int(sizes.sum()),
                windows=len(windows),
                nats_per_byte=interval(estimate(one, sizes), 0.0),
                by_domain={
                    name: interval(estimate(one[mask], sizes[mask]), 0.0)
                    for name, mask in masks.items()
                },
                difference=interval(estimate(one - sums[0], sizes)),
                p=paired_p_value(one - sums[0]),
                group=groups[place],
            )
        )
    return found


def cache_of(architecture: Architecture) -> list[CacheKind]:
    """Return what the layers of a model keep."""
    kinds = Counter(
        (2 * layer.kv_heads * (layer.head_size + layer.value_size), layer.window)
        for layer in architecture.layers
    )
    return [
        CacheKind(layers=count, bytes=size, window=window)
        for (size, window), count in kinds.items()
    ]


def cache_bytes(architecture: Architecture, context: int) -> int:
    """Return the bytes of keys and values for a context, 16 bits each, windows counted as such."""
    return sum(
        kind.layers * kind.bytes * min(context, kind.window or context)
        for kind in cache_of(architecture)
    )


class ModelSize(TypedDict):
    """The fields that results say a model's size with."""

    weights: int
    bits_per_weight: float
    shape: str
    cache: tuple[CacheKind, ...]


def size_of(architecture: Architecture, side: ModelIdentity) -> ModelSize:
    """Return what a model's size is told by: `weights`, its `shape` in words, its `cache`."""
    return ModelSize(
        weights=round(8 * side.file_bytes / side.bits_per_weight),
        bits_per_weight=side.bits_per_weight,
        shape=f"{architecture.name}, {len(architecture.layers)} layers of {architecture.width}",
        cache=tuple(cache_of(architecture)),
    )


def as_text_inputs(corpus: Corpus, windows: Sequence[Window]) -> Mapping[str, object]:
    """Return what identifies the text of a run."""
    return {"corpus": corpus.hash, "windows": len(windows)}
