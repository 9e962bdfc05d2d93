"""The triangular factor of second moments, in tiles, so that threads do not change its bits."""

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

TILE_COLUMNS = 256
STRIP_ROWS = 1024  # of one task

F64 = NDArray[np.float64]


def upper_factor(matrix: F64, threads: int) -> F64:
    """Overwrite the symmetric `matrix` with the upper triangular R of matrix = R Rᵀ, and return it.

    It is the Cholesky factor from the last column to the first. The entries below the diagonal are
    not zero but meaningless. Raises numpy's LinAlgError if the matrix is not positive definite; its
    contents are lost then.
    """
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        for stop in range(len(matrix), 0, -TILE_COLUMNS):
            start = max(0, stop - TILE_COLUMNS)
            tile = matrix[:, start:stop]
            after = np.ascontiguousarray(matrix[start:stop, stop:].T)
            _over_strips(pool, stop, partial(_subtract, tile, matrix[:, stop:], after))
            corner = np.linalg.cholesky(tile[start:stop][::-1, ::-1])[::-1, ::-1]
            tile[start:stop] = corner
            _over_strips(pool, start, partial(_multiply, tile, np.linalg.inv(corner).T))
    return matrix


def _over_strips(pool: Executor, stop: int, work: Callable[[slice], None]) -> None:
    """Call work(rows) for strips of the rows before `stop`."""
    strips = (slice(row, min(row + STRIP_ROWS, stop)) for row in range(0, stop, STRIP_ROWS))
    for _ in pool.map(work, strips):
        pass


def _subtract(tile: F64, factor: F64, after: F64, rows: slice) -> None:
    """Subtract what the columns after a tile explain of it."""
    tile[rows] -= factor[rows] @ after


def _multiply(tile: F64, by: F64, rows: slice) -> None:
    tile[rows] = tile[rows] @ by
