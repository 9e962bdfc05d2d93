"""The choice of a scale of one byte: the candidate with the lowest error."""

from collections.abc import Iterable

import numpy as np

from zeropoint.formats.base import F32, U8
from zeropoint.formats.encoders.arithmetic import reciprocal
from zeropoint.formats.encoders.group_math import ScaledGroups
from zeropoint.formats.levels import Levels


def search_byte_scale(
    groups: ScaledGroups, levels: Levels, candidates: Iterable[tuple[U8, F32]]
) -> tuple[U8, F32]:
    """Return the best byte of each group, (n,), and the levels, (n, size).

    Candidates are bytes and their scales in the units of the scaled weights, (n,) each. The first
    of equally good candidates wins.
    """
    lowest = np.full_like(groups.peak, np.inf)
    byte = np.zeros(len(lowest), np.uint8)
    chosen = np.zeros_like(lowest)
    for candidate, scale in candidates:
        level = levels.nearest(groups.weights * reciprocal(scale)[:, None])
        error = groups.error(scale[:, None] * level)
        byte = np.where(error < lowest, candidate, byte)
        chosen = np.where(error < lowest, scale, chosen)
        lowest = np.minimum(error, lowest)
    return byte, levels.nearest(groups.weights * reciprocal(chosen)[:, None])
