"""Adds x xᵀ of many rows to a symmetric sum, with the same bits for every number of threads.

The sum is divided into tiles of TILE_COLUMNS columns. Each tile on and below the diagonal is one
product on one thread of the linear algebra, so threads share tiles and never a product. The tiles
above the diagonal are copies, made at the end: half of the arithmetic of a whole product.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from threadpoolctl import ThreadpoolController

from zeropoint.formats import F32

TILE_COLUMNS = 512


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # searching the loaded libraries takes milliseconds


def _tiles(columns: int) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and columns of each tile on and below the diagonal."""
    starts = range(0, columns, TILE_COLUMNS)
    cuts = [slice(start, min(start + TILE_COLUMNS, columns)) for start in starts]
    for index, rows in enumerate(cuts):
        for other in cuts[: index + 1]:
            yield rows, other


def add_second_moments(total: F32, rows: F32, threads: int) -> None:
    """Add Σ x xᵀ of input rows (n, columns) to the tiles of `total` (columns, columns)."""

    def add(tile: tuple[slice, slice]) -> None:
        total[tile] += rows[:, tile[0]].T @ rows[:, tile[1]]

    with _controller().limit(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(add, _tiles(total.shape[0])):
            pass


def complete(total: F32) -> None:
    """Fill the tiles above the diagonal, in place."""
    for rows, columns in _tiles(total.shape[0]):
        if rows != columns:
            total[columns, rows] = total[rows, columns].T
