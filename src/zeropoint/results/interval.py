"""A figure with its 95 % confidence interval."""

import math
from dataclasses import dataclass

from zeropoint.results.schema import UNKNOWN_NUMBER, Record


@dataclass(frozen=True)
class Interval(Record):
    """A mean and its 95 % confidence interval, in the unit of the figure."""

    #: NaN if there was nothing to take a mean of.
    mean: float
    #: Ends of the 95 % interval, low ≤ mean ≤ high; None if the sample is too small.
    low: float | None = None
    high: float | None = None

    @property
    def known(self) -> bool:
        """Whether the interval is known."""
        return self.low is not None and self.high is not None

    @property
    def ends(self) -> tuple[float, float] | None:
        """Both ends of the interval, None if they are not known."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def empty(self) -> bool:
        """Whether nothing was measured."""
        return math.isnan(self.mean)

    def __repr__(self) -> str:
        if self.ends is None:
            return f"{self.mean:.4g} (interval unknown)"
        return f"{self.mean:.4g} ({self.ends[0]:.4g} … {self.ends[1]:.4g})"


def unknown() -> Interval:
    """Return a figure that was not measured."""
    return Interval(UNKNOWN_NUMBER)
