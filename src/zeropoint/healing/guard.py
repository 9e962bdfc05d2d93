"""Decides on held-out text whether a trained model is better than the file it started from.

The windows are of the kinds of text that are trained, and of one that is not. For each window w,

    r_w = log(KL_w / KL⁰_w)

compares the mean KL with that of the start. A state is better if the mean of r over all windows is
below 0 with its whole 95 % interval, and no kind of text is worse with its whole interval.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.metrics.statistics import ConfidenceInterval, estimate

F64 = NDArray[np.float64]
DIVERGED = "the training diverged"
MIN_KL = 1e-9  # of a window, so that the logarithm of identical models exists


@dataclass(frozen=True)
class GuardFigures:
    """Mean KL of each window of the guard, (windows,) nats per token, and the windows' kinds."""

    kl: F64
    kinds: tuple[str, ...]

    def mean(self, kind: str | None = None) -> float:
        """Return the mean KL of a kind of text, or of all."""
        return float(self.kl[self._of(kind)].mean())

    def ratio(self, start: "GuardFigures", kind: str | None = None) -> ConfidenceInterval:
        """Return KL over that of the start: exp of the mean of r, with its 95 % interval."""
        found = self.log_ratio(start, kind)
        return ConfidenceInterval(*(float(np.exp(x)) for x in (found.mean, found.low, found.high)))

    def log_ratio(self, start: "GuardFigures", kind: str | None = None) -> ConfidenceInterval:
        """Return the mean of r over the windows of a kind, or of all, with its 95 % interval."""
        here = self._of(kind)
        logs = np.log(np.maximum(self.kl[here], MIN_KL) / np.maximum(start.kl[here], MIN_KL))
        return estimate(logs, np.ones(len(logs)))

    def verdict(self, start: "GuardFigures") -> str:
        """Return why this state is not better than the start, in words; "" if it is."""
        if not np.isfinite(self.kl).all():
            return DIVERGED
        for kind in dict.fromkeys(self.kinds):
            if self.log_ratio(start, kind).low > 0:
                return f"text of the kind {kind} got worse"
        if not self.log_ratio(start).high < 0:
            return "the gain on held-out text is within the noise"
        return ""

    def score(self, start: "GuardFigures") -> float:
        """Return the number that the best state minimizes: infinite if a kind got worse."""
        if not np.isfinite(self.kl).all():
            return np.inf
        worse = any(self.log_ratio(start, kind).low > 0 for kind in dict.fromkeys(self.kinds))
        return np.inf if worse else self.log_ratio(start).mean

    def _of(self, kind: str | None) -> NDArray[np.bool_]:
        return np.array([kind in (None, one) for one in self.kinds])
