"""Statistics of the inputs of each layer, collected on a text.

This module does not import torch; `run` does.
"""

from zeropoint.calibration.coverage import (
    Coverage,
    coverage,
    find_importance,
    find_statistics,
)
from zeropoint.calibration.statistics import (
    Calibration,
    InputSquares,
    InputStatistics,
    merge,
    read_imatrix,
    write_imatrix,
)

__all__ = [
    "Calibration",
    "Coverage",
    "InputSquares",
    "InputStatistics",
    "coverage",
    "find_importance",
    "find_statistics",
    "merge",
    "read_imatrix",
    "write_imatrix",
]
