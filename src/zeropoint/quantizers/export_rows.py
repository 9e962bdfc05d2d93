"""Reads matrices of a GGUF file in the order of rows and columns that a folder has."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from zeropoint import kernels
from zeropoint.checkpoints import Checkpoint, TensorInfo
from zeropoint.formats import F32

SLAB_WEIGHTS = 1 << 24  # decoded at a time


def ordered_rows(
    source: Checkpoint,
    parts: Sequence[TensorInfo],
    order: NDArray[np.int64],
    columns: NDArray[np.int64] | None,
    threads: int,
) -> Iterator[F32]:
    """Yield slabs (n, columns) float32 of the rows `order` of matrices that lie one after another.

    `columns` is the order of the columns; None leaves it.
    """
    step = max(SLAB_WEIGHTS // parts[0].columns, 1)
    for start in range(0, order.size, step):
        rows = order[start : start + step]
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        slab = np.concatenate(
            [
                _read(source, parts, int(run[0]), int(run[-1]) + 1, threads)
                for run in np.split(rows, breaks)
            ]
        )
        yield np.ascontiguousarray(slab if columns is None else slab[:, columns])


def _read(
    source: Checkpoint, parts: Sequence[TensorInfo], low: int, high: int, threads: int
) -> F32:
    """Return the decoded rows low … high − 1, which may lie in several matrices."""
    found, first = [], 0
    for part in parts:
        start, stop = max(low - first, 0), min(high - first, part.rows)
        if start < stop:
            blocks = source.read_rows(part.name, start, stop)
            decoded = kernels.decode(blocks.format, blocks.data, threads=threads)
            found.append(decoded.reshape(stop - start, -1))
        first += part.rows
    return np.concatenate(found)
