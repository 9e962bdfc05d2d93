"""Statistics over whole tensors; with the compiled extension at the speed of memory."""

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats import F32
from zeropoint.kernels.dispatch import native

HISTOGRAM_BINS = 256


def moments(values: F32, *, threads: int = 1) -> tuple[float, float, int]:
    """Return Σ v and Σ v² in float64, and the index of the first v of largest magnitude.

    `values` is (n,) and not empty. Σ v² is finite if and only if all values are.
    """
    values = np.ascontiguousarray(values, np.float32)
    module = native()
    if module is not None:
        total, squares, largest = module.moments(values, threads)
        return float(total), float(squares), int(largest)
    wide = values.astype(np.float64)
    return float(wide.sum()), float(wide @ wide), int(np.abs(values).argmax())


def histogram(values: F32, limit: float, *, threads: int = 1) -> NDArray[np.int64]:
    """Count (n,) values in 256 equal bins from −limit to limit: (256,).

    `limit` is a power of two of at least 2^-120. A bin includes its lower edge. Values beyond the
    limits, also infinities, count in the outermost bins. Raises ValueError if a value is NaN or if
    128 / limit is not a positive finite float32.
    """
    counts = np.zeros(HISTOGRAM_BINS, np.int64)
    module = native()
    if module is not None:
        module.histogram(np.ascontiguousarray(values, np.float32), limit, counts, threads)
        return counts
    with np.errstate(over="ignore", divide="ignore"):
        scale = np.float32(np.float64(HISTOGRAM_BINS / 2) / limit)
    if not (scale > 0 and np.isfinite(scale)):
        raise ValueError("histogram: the limit must be positive, finite and at least 2^-120")
    values = np.asarray(values, np.float32)
    if np.isnan(values).any():
        raise ValueError("histogram: a value is NaN")
    with np.errstate(over="ignore"):
        places = np.floor(values * scale)
    bins = (
        np.clip(places, -HISTOGRAM_BINS // 2, HISTOGRAM_BINS // 2 - 1).astype(np.int64)
        + HISTOGRAM_BINS // 2
    )
    return counts + np.bincount(bins, minlength=HISTOGRAM_BINS)


def worst_block(
    weights: F32, decoded: F32, importance: F32 | None, block_size: int, *, threads: int = 1
) -> tuple[int, float]:
    """Return the first block with the largest Σ importance · (w − ŵ)², and that error.

    Both arrays are (rows, columns) and not empty, with rows of whole blocks. Blocks are counted row
    by row.
    """
    module = native()
    if module is not None:
        if importance is not None:
            importance = np.ascontiguousarray(importance, np.float32)
        index, error = module.worst_block(weights, decoded, importance, block_size, threads)
        return int(index), float(error)
    costs = (weights.astype(np.float64) - decoded) ** 2
    if importance is not None:
        costs *= importance
    errors = costs.reshape(-1, block_size).sum(axis=1)
    worst = int(errors.argmax())
    return worst, float(errors[worst])
