"""Details of one quantized tensor: histograms of weights and errors, and the worst block.

They are collected slab by slab, so that their memory does not depend on the size of the tensor.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint import kernels
from zeropoint.formats import F32, U8, Format
from zeropoint.kernels.passes import HISTOGRAM_BINS


class Histogram:
    """Counts of values in 256 equal bins from −limit to limit, limit a power of two.

    A value beyond the limit doubles the limit and merges pairs of bins. So the result does not
    depend on how the values are split into pieces.
    """

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(HISTOGRAM_BINS, np.int64)
        self.limit = 2.0**-40

    def add(self, values: F32, *, threads: int = 1) -> None:
        """Count values, (n,) float32. Raises ValueError if one is not finite."""
        largest = abs(float(values[kernels.moments(values, threads=threads)[2]]))
        if not math.isfinite(largest):
            raise ValueError("histogram: a value is not finite")
        while largest >= self.limit:
            pairs = self.counts.reshape(HISTOGRAM_BINS // 2, 2).sum(axis=1)
            self.counts = np.pad(pairs, HISTOGRAM_BINS // 4)
            self.limit *= 2
        self.counts += kernels.histogram(values, self.limit, threads=threads)


@dataclass(frozen=True)
class BlockDetails:
    """One block of a tensor, before and after quantization."""

    row: int  # counted over all leading axes
    column: int  # of its first weight
    error: float  # Σ importance · (w − ŵ)² over the block
    weights: tuple[float, ...]
    decoded: tuple[float, ...]
    data: bytes  # as stored


@dataclass(frozen=True)
class TensorDetails:
    """Histograms and the worst block of one tensor."""

    weights: Histogram
    errors: Histogram  # of w − ŵ
    worst: BlockDetails | None


class DetailsCollector:
    """Collects the TensorDetails of one tensor from its slabs."""

    def __init__(self, format: Format, threads: int) -> None:
        self.format = format
        self.threads = threads
        self.weights, self.errors = Histogram(), Histogram()
        self.worst: BlockDetails | None = None

    def add(
        self, first_row: int, weights: F32, decoded: F32, blocks: U8, importance: F32 | None
    ) -> None:
        """Add a slab.

        `weights` and `decoded` are (rows, columns) float32, `blocks` (blocks, bytes) uint8, and
        `importance` (columns,) float32. `first_row` is the row of the tensor where the slab begins.
        """
        self.weights.add(weights.reshape(-1), threads=self.threads)
        self.errors.add((weights - decoded).reshape(-1), threads=self.threads)
        size = self.format.block_size
        index, error = kernels.worst_block(weights, decoded, importance, size, threads=self.threads)
        if self.worst is not None and error <= self.worst.error:
            return
        row, block = divmod(index, weights.shape[1] // size)
        place = slice(block * size, (block + 1) * size)
        self.worst = BlockDetails(
            row=first_row + row,
            column=place.start,
            error=error,
            weights=tuple(weights[row, place].tolist()),
            decoded=tuple(decoded[row, place].tolist()),
            data=blocks[index].tobytes(),
        )

    def details(self) -> TensorDetails:
        """Return the details of all slabs so far."""
        return TensorDetails(self.weights, self.errors, self.worst)
