"""How many chunks, windows, prompts or tasks a verb takes if no option says so.

The first one is timed. The count is the largest of 8, 16, 32, 64, 128 and all of them that takes
at most DEFAULT_SECONDS at this speed, and never less than a minimum. A run folder stores the count,
and the same command resumes with it, so that the figures of a run do not depend on the speed of the
machine at the time it is resumed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from zeropoint.results.chosen_count import ChosenCount, stored_count
from zeropoint.verbs.options.checks import ALL, Count

COUNTS = (8, 16, 32, 64, 128)
DEFAULT_SECONDS = 120.0  # that the counted work of a verb may take
MIN_COUNT = COUNTS[0]
MIN_CALIBRATION_CHUNKS = 32  # with less text, an imatrix depends on the text

T = TypeVar("T")


@dataclass(frozen=True)
class FirstTimed:
    """The first chunk is about to be timed, because no option gives the count."""

    unit: str
    available: int


@dataclass(frozen=True)
class CountChosen:
    """The count is chosen, or read from the run folder that is resumed."""

    chosen: ChosenCount
    seconds: float | None  # of one; None if the count was not chosen by time


def choose_count(
    seconds: float, available: int, *, minimum: int = MIN_COUNT, limit: float = DEFAULT_SECONDS
) -> int:
    """Return how many to take, given the seconds that one takes and how many there are.

    >>> choose_count(0.1, 484), choose_count(2.0, 484), choose_count(60.0, 484)
    (484, 32, 8)
    >>> choose_count(60.0, 484, minimum=32), choose_count(60.0, 5)
    (32, 5)
    """
    if available <= minimum or seconds * available <= limit:
        return available
    fitting = [count for count in COUNTS if count < available and seconds * count <= limit]
    return max([minimum, *fitting])


class CountChoice:
    """The choice of one count: by an option, by an earlier run, or by the time of the first one."""

    def __init__(
        self, unit: str, requested: Count, run: Path | None = None, *, minimum: int = MIN_COUNT
    ) -> None:
        self.unit = unit
        self.requested = requested
        self.minimum = minimum
        self.stored = stored_count(run, unit) if requested is None else None

    @property
    def limit(self) -> int | None:
        """The count that is known before anything is timed; None for all, or if it is not known."""
        if self.stored:
            return self.stored.count
        return None if self.requested == ALL else self.requested

    def needs_time(self, available: int) -> bool:
        """Return whether the first one has to be timed, because nothing else gives the count."""
        return self.requested is None and self.stored is None and available > self.minimum

    def choose(
        self, available: int, seconds: float | None, *, share: float = 1.0
    ) -> CountChosen | None:
        """Return the count, given the seconds that one takes, within a share of the time.

        Returns None if an option gives the count, or if there are so few that all are taken.
        """
        if self.stored:
            return CountChosen(self.stored, None)
        if seconds is None or not self.needs_time(available):
            return None
        limit = share * DEFAULT_SECONDS
        count = choose_count(seconds, available, minimum=self.minimum, limit=limit)
        return CountChosen(ChosenCount(self.unit, count, available), seconds)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Do some work, and return its result and the seconds that it took."""
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started
