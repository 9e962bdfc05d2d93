"""Arrays of the panels that error feedback and coordinate descent round.

A panel is some columns of a matrix, at most MAX_PANEL_COLUMNS, with some of its rows. Its arrays
are (columns, rows): the rows are independent, and each is a vector lane of the kernel.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats import F32

MAX_PANEL_COLUMNS = 128
REFINEMENTS = 2  # searches for a point around a better target, after the first one

I32 = NDArray[np.int32]


@dataclass(frozen=True)
class Panel:
    """The values that the weights of a panel can have, and how an error moves the other columns."""

    #: (columns, rows) the wanted weights, or the gradient of the objective; overwritten.
    target: F32
    #: (columns, columns) row k has the effect of an error in column k on the columns after it.
    coupling: F32
    #: (columns, rows), or (columns / 8, rows) for points: a weight is scale · level + minimum.
    scale: F32
    #: Of the same shape; None: 0.
    minimum: F32 | None

    def arrays(self) -> tuple[F32, F32, F32, F32 | None]:
        """Return the arguments that all kernels begin with."""
        return self.target, self.coupling, self.scale, self.minimum


@dataclass(frozen=True)
class GroupMetric:
    """The cost eᵀ D e of errors e in 8 columns, and a diagonal that is never below D."""

    #: (columns / 8, 8, 8): D.
    cost: F32
    #: (columns,): Σ_j |D_kj|, so that diag(bounds) − D is positive semidefinite.
    bounds: F32

    @classmethod
    def of(cls, cost: F32) -> "GroupMetric":
        """Return the metric with cost D, (groups, 8, 8)."""
        bounds = np.abs(cost).sum(axis=2, dtype=np.float64).astype(np.float32)
        return cls(cost, bounds.reshape(-1))

    def part(self, groups: slice) -> "GroupMetric":
        """Return the metric of some groups of 8 columns."""
        columns = slice(8 * groups.start, 8 * groups.stop)
        return GroupMetric(self.cost[groups], self.bounds[columns])


@dataclass(frozen=True)
class ChosenPoints:
    """The chosen points (columns / size, rows) and signs (columns / 8, rows), overwritten."""

    points: I32
    signs: I32
