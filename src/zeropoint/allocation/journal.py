"""The journal of a search: the true loss of every recipe that it evaluated, in the run folder."""

import hashlib

import numpy as np

from zeropoint.allocation.judge import ChunkLosses
from zeropoint.allocation.problem import Assignment
from zeropoint.results.run_checks import ROUNDING, ArrayRule
from zeropoint.results.run_store import RunFolder


class EvaluationJournal:
    """Losses by assignment. A search that is started again finds the losses of its first run.

    A search decides by losses alone, so it then repeats its decisions and continues where it was
    stopped. The folder must belong to one model, one text and one importance.
    """

    def __init__(self, folder: RunFolder, chunks: int) -> None:
        self._folder = folder
        rule = ArrayRule((chunks,), np.float64, low=-ROUNDING)
        self._rules = {"mean": rule, "tail": rule}

    def find(self, assignment: Assignment) -> ChunkLosses | None:
        """Return the losses of an assignment, or None if it was not evaluated yet.

        Raises CheckpointError if they are damaged.
        """
        name = _name(assignment)
        if not (self._folder.path / f"{name}.npz").exists():
            return None
        arrays = self._folder.load_arrays(name, self._rules)
        return ChunkLosses(arrays["mean"].astype(float), arrays["tail"].astype(float))

    def add(self, assignment: Assignment, losses: ChunkLosses) -> None:
        """Store the losses of an assignment."""
        self._folder.save_arrays(_name(assignment), {"mean": losses.mean, "tail": losses.tail})


def _name(assignment: Assignment) -> str:
    """Return the name of the file of an assignment."""
    text = "\n".join(f"{name} {assignment[name]}" for name in sorted(assignment))
    return f"evaluation-{hashlib.sha256(text.encode()).hexdigest()[:32]}"
