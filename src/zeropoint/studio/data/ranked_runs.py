"""Runs of measure as one ranking: which quants a paired test over the same chunks can separate."""

from collections.abc import Mapping, Sequence

import numpy as np

from zeropoint.metrics.divergence.ranking import group_letters, separable, split_letters
from zeropoint.metrics.divergence.recorded_chunks import read_chunk
from zeropoint.results.runs import Run


def why_not(runs: Sequence[Run]) -> str:
    """Return why runs cannot be ranked; "" if they can."""
    first = runs[0]
    for run in runs[1:]:
        for key in ("reference", "text"):
            if getattr(run.inputs, key) != getattr(first.inputs, key):
                return f"Not ranked: they were measured on another {key}."
        if run.settings.context != first.settings.context:
            return "Not ranked: they were measured with another context."
        if run.folder.chunks_done() != first.folder.chunks_done():
            return "Not ranked: they were measured on a different number of chunks."
    return ""


def groups(runs: Sequence[Run]) -> tuple[list[str], str]:
    """Return the letters of each run, and the reason if runs cannot be ranked."""
    why = why_not(runs)
    if why:
        return [""] * len(runs), why
    sums = [
        np.array([read_chunk(run.folder, i)["kl"].sum(dtype=np.float64) for i in
                  range(run.folder.chunks_done())])
        for run in runs
    ]  # fmt: skip
    return group_letters(separable(sums)), ""


def alike_of(names: Sequence[str], letters: Sequence[str]) -> Mapping[str, list[str]]:
    """Return, for each name, the names of the quants that it cannot be told apart from.

    >>> alike_of(["x", "y", "z"], ["a", "ab", "b"])
    {'x': ['y'], 'y': ['x', 'z'], 'z': ['y']}
    """
    return {
        name: [
            other
            for other, letter in zip(names, letters, strict=True)
            if other != name and set(split_letters(letter)) & set(split_letters(own))
        ]
        for name, own in zip(names, letters, strict=True)
    }
