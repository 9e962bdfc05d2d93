"""Choose a scale of one byte: of a list of candidates, the one with the least error."""

from collections.abc import Iterable

import numpy as np

from zeropoint.formats.base import F32, U8
from zeropoint.formats.encoders.group_math import Groups, reciprocal
from zeropoint.formats.levels import Levels


def search_byte_scale(
    groups: Groups, levels: Levels, candidates: Iterable[tuple[U8, F32]]
) -> tuple[U8, F32]:
    """Return the best byte of each group (n,), and the levels (n, size).

    Candidates are bytes and the scales that they mean in the units of the scaled weights, (n,)
    each; of equally good ones the first is taken.
    """
    least = np.full_like(groups.peak, np.inf)
    byte = np.zeros(len(least), np.uint8)
    chosen = np.zeros_like(least)
    for candidate, scale in candidates:
        level = levels.nearest(groups.weights * reciprocal(scale)[:, None])
        error = groups.error(scale[:, None] * level)
        byte = np.where(error < least, candidate, byte)
        chosen = np.where(error < least, scale, chosen)
        least = np.minimum(error, least)
    return byte, levels.nearest(groups.weights * reciprocal(chosen)[:, None])
