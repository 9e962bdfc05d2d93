"""Ranks quantized models on the same tokens, and groups those that a test cannot separate."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import MeasurementError
from zeropoint.metrics.divergence.score_chunks import ChunkScores
from zeropoint.metrics.statistics import holm, paired_p_value
from zeropoint.results.divergence import MeasureResult, RankedQuant

SIGNIFICANCE_LEVEL = 0.05

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class QuantScores:
    """A quantized model, the scores of its chunks and their summary."""

    name: str
    nbytes: int  # size of its file
    scores: Sequence[ChunkScores]
    result: MeasureResult

    @property
    def kl(self) -> float:
        """Mean KL, nats per token."""
        return float(np.concatenate([chunk.comparison.kl for chunk in self.scores]).mean())

    @property
    def kl_sums(self) -> F64:
        """The sum of KL over each chunk, (chunks,)."""
        return np.array([chunk.comparison.kl.sum() for chunk in self.scores])


def rank(quants: Sequence[QuantScores]) -> list[RankedQuant]:
    """Order quantized models by mean KL, and group those that a paired test cannot separate.

    The test flips the signs of chunks (`statistics.paired_p_value`) and is corrected for the number
    of pairs (Holm, 1979). Raises MeasurementError for models with different chunks.
    """
    quants = sorted(quants, key=lambda quant: quant.kl)
    for quant in quants:
        _check_same_text(quant, quants[0])
    different = separable([quant.kl_sums for quant in quants])
    letters = group_letters(different)
    return [
        RankedQuant(
            name=quant.name,
            bytes=quant.nbytes,
            group=letters[i],
            frontier=not any(
                other.nbytes <= quant.nbytes and different[j, i] and other.kl < quant.kl
                for j, other in enumerate(quants)
            ),
            measured=quant.result,
        )
        for i, quant in enumerate(quants)
    ]


def separable(sums: Sequence[F64]) -> NDArray[np.bool_]:
    """Return an (n, n) array: whether the losses of two models differ significantly.

    `sums` holds one array (chunks,) per model, with the sum of its loss over each chunk.
    """
    count = len(sums)
    pairs = [(i, j) for i in range(count) for j in range(i)]
    p_values = [paired_p_value(sums[i] - sums[j]) for i, j in pairs]
    different = np.zeros((count, count), bool)
    significant = holm(p_values, level=SIGNIFICANCE_LEVEL)
    for (i, j), shown in zip(pairs, significant, strict=True):
        different[i, j] = different[j, i] = shown
    return different


def group_letters(different: NDArray[np.bool_]) -> list[str]:
    """Return the letters of each model, in order: models that share one cannot be separated.

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
        "".join(name for name, (a, b) in zip(names, runs, strict=True) if a <= i < b)
        for i in range(count)
    ]


def split_letters(letters: str) -> list[str]:
    """Return the letters of one model one by one; past the 26th they are numbers in brackets.

    >>> split_letters("z(26)(27)")
    ['z', '(26)', '(27)']
    """
    return re.findall(r"\(\d+\)|.", letters)


def inseparable(names: Sequence[str], letters: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return the names of the models that share a letter, for each letter that several have.

    >>> inseparable(["x", "y", "z"], ["a", "ab", "b"])
    (('x', 'y'), ('y', 'z'))
    """
    groups: dict[str, list[str]] = {}
    for name, own in zip(names, letters, strict=True):
        for letter in split_letters(own):
            groups.setdefault(letter, []).append(name)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _check_same_text(quant: QuantScores, first: QuantScores) -> None:
    if len(quant.scores) != len(first.scores) or any(
        not np.array_equal(a.tokens, b.tokens)
        for a, b in zip(quant.scores, first.scores, strict=True)
    ):
        raise MeasurementError(
            f"{quant.name} and {first.name} were measured on different text and cannot be ranked"
        )
