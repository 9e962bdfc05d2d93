"""Several quants on the same tokens: who is shown to lose less, and who cannot be told apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import MeasurementError
from zeropoint.metrics.divergence.score_chunks import ChunkScores
from zeropoint.metrics.statistics import holm, paired_p_value
from zeropoint.results.divergence import CompareResult, MeasureResult, RankedQuant

SIGNIFICANT = 0.05

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Entry:
    """One quant, measured."""

    name: str
    nbytes: int
    chunks: Sequence[ChunkScores]
    figures: MeasureResult

    @property
    def kl(self) -> float:
        """Mean KL, nats per token."""
        return float(np.concatenate([c.comparison.kl for c in self.chunks]).mean())


@dataclass(frozen=True)
class Ranked:
    """An entry among the others."""

    entry: Entry
    groups: str  # letters; two entries that share one cannot be told apart
    frontier: bool  # no entry of at most these bytes is shown to lose less


def rank(entries: Sequence[Entry]) -> list[Ranked]:
    """Order entries by mean KL, and group those that a paired test cannot tell apart.

    The test is a sign-flip over chunks (`statistics.paired_p_value`), corrected for the number of
    pairs (Holm, 1979). Raises MeasurementError if the entries were not measured on the same chunks.
    """
    entries = sorted(entries, key=lambda entry: entry.kl)
    different = tell_apart([_sums(entry, entries[0]) for entry in entries])
    letters = group_letters(different)
    return [
        Ranked(
            entry,
            letters[i],
            not any(
                other.nbytes <= entry.nbytes and different[j, i] and other.kl < entry.kl
                for j, other in enumerate(entries)
            ),
        )
        for i, entry in enumerate(entries)
    ]


def compare_result(ranked: Sequence[Ranked], floor: float | None) -> CompareResult:
    """Return ranked entries as the result of `compare`; `floor` is that of the reference."""
    found = tuple(
        RankedQuant(
            name=one.entry.name,
            bytes=one.entry.nbytes,
            group=one.groups,
            frontier=one.frontier,
            measured=one.entry.figures,
        )
        for one in ranked
    )
    return CompareResult(floor=floor, results=found)


def tell_apart(sums: Sequence[F64]) -> NDArray[np.bool_]:
    """Return (n, n): whether two quants' losses differ, by their sums per chunk (chunks,)."""
    count = len(sums)
    pairs = [(i, j) for i in range(count) for j in range(i)]
    values = [paired_p_value(sums[i] - sums[j]) for i, j in pairs]
    different = np.zeros((count, count), bool)
    for (i, j), shown in zip(pairs, holm(values, level=SIGNIFICANT), strict=True):
        different[i, j] = different[j, i] = shown
    return different


def group_letters(different: NDArray[np.bool_]) -> list[str]:
    """Return letters for entries in order: neighbours that share one cannot be told apart.

    >>> group_letters(np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]], bool))
    ['a', 'ab', 'b']
    """
    count = len(different)
    runs: list[tuple[int, int]] = []
    for start in range(count):
        stop = start + 1
        while stop < count and not different[start : stop + 1, start : stop + 1].any():
            stop += 1
        if not runs or stop > runs[-1][1]:
            runs.append((start, stop))
    names = [chr(ord("a") + i) if i < 26 else f"({i})" for i in range(len(runs))]
    return [
        "".join(n for n, (a, b) in zip(names, runs, strict=True) if a <= i < b)
        for i in range(count)
    ]


def _sums(entry: Entry, first: Entry) -> F64:
    if len(entry.chunks) != len(first.chunks) or any(
        not np.array_equal(a.tokens, b.tokens)
        for a, b in zip(entry.chunks, first.chunks, strict=True)
    ):
        raise MeasurementError(
            f"{entry.name} and {first.name} were measured on different text: they are not ranked"
        )
    return np.array([c.comparison.kl.sum() for c in entry.chunks])
