"""What the evidence of a run keeps of one tensor: two histograms and its worst block.

Both are collected slab by slab, so that their memory does not depend on the tensor.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint import kernels
from zeropoint.formats import F32, U8, Format
from zeropoint.kernels.passes import BINS


class Histogram:
    """Counts of values in 256 equal bins from −limit to limit, limit a power of two.

    A value beyond the limit doubles it, and pairs of bins become one: the result is the same in
    whatever pieces the values come.
    """

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self.limit = 2.0**-40

    def add(self, values: F32, *, threads: int = 1) -> None:
        """Count finite values (n,). Raises ValueError if one is not finite."""
        largest = abs(float(values[kernels.moments(values, threads=threads)[2]]))
        if not math.isfinite(largest):
            raise ValueError("histogram: a value is not finite")
        while largest >= self.limit:
            pairs = self.counts.reshape(BINS // 2, 2).sum(axis=1)
            self.counts = np.pad(pairs, BINS // 4)
            self.limit *= 2
        self.counts += kernels.histogram(values, self.limit, threads=threads)


@dataclass(frozen=True)
class BlockDetails:
    """One block of a tensor, before and after."""

    row: int  # counted over all leading axes
    column: int  # of its first weight
    error: float  # Σ importance · (w − ŵ)² over the block
    weights: tuple[float, ...]
    decoded: tuple[float, ...]
    data: bytes  # as stored


@dataclass(frozen=True)
class TensorDetails:
    """The evidence of one tensor."""

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
        """Take in (rows, columns) weights, what they became, their (blocks, bytes) and costs."""
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
        """Return what was collected."""
        return TensorDetails(self.weights, self.errors, self.worst)
