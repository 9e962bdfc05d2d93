"""What the evidence of a run keeps of one tensor: two histograms and its worst block.

Both are collected slab by slab, so that their memory does not depend on the tensor.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats import F32, U8, Format

BINS = 256
CHUNK = 1 << 18  # weights looked at together: bounds the temporaries


class Histogram:
    """Counts of values in 256 equal bins from −limit to limit, limit a power of two.

    A value beyond the limit doubles it, and pairs of bins become one: the result is the same in
    whatever pieces the values come.
    """

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self.limit = 2.0**-40

    def add(self, values: F32) -> None:
        """Count finite values of any shape."""
        flat = values.reshape(-1)
        for start in range(0, flat.size, CHUNK):
            chunk = flat[start : start + CHUNK]
            largest = float(np.abs(chunk).max())
            while largest >= self.limit:
                middle = self.counts.reshape(BINS // 2, 2).sum(axis=1)
                self.counts = np.pad(middle, BINS // 4)
                self.limit *= 2
            scaled = chunk.astype(np.float64) * (BINS / 2 / self.limit)
            bins = np.floor(scaled).astype(np.int64) + BINS // 2
            self.counts += np.bincount(bins, minlength=BINS)


@dataclass(frozen=True)
class Block:
    """One block of a tensor, before and after."""

    row: int  # counted over all leading axes
    column: int  # of its first weight
    error: float  # Σ importance · (w − ŵ)² over the block
    weights: tuple[float, ...]
    decoded: tuple[float, ...]
    data: bytes  # as stored


@dataclass(frozen=True)
class Details:
    """The evidence of one tensor."""

    weights: Histogram
    errors: Histogram  # of w − ŵ
    worst: Block | None


class Collector:
    """Collects the Details of one tensor from its slabs."""

    def __init__(self, format: Format) -> None:
        self.format = format
        self.weights, self.errors = Histogram(), Histogram()
        self.worst: Block | None = None

    def add(
        self, first_row: int, weights: F32, decoded: F32, blocks: U8, importance: F32 | None
    ) -> None:
        """Take in (rows, columns) weights, what they became, their (blocks, bytes) and costs."""
        rows, columns = weights.shape
        per_row = columns // self.format.block_size
        step = max(1, CHUNK // columns)
        for start in range(0, rows, step):
            before, after = weights[start : start + step], decoded[start : start + step]
            difference = before - after
            self.weights.add(before)
            self.errors.add(difference)
            costs = np.square(difference, dtype=np.float64)
            if importance is not None:
                costs *= importance
            per_block = costs.reshape(-1, self.format.block_size).sum(axis=1)
            index = int(per_block.argmax())
            if self.worst is None or per_block[index] > self.worst.error:
                row, block = start + index // per_row, index % per_row
                place = slice(block * self.format.block_size, (block + 1) * self.format.block_size)
                self.worst = Block(
                    row=first_row + row,
                    column=place.start,
                    error=float(per_block[index]),
                    weights=tuple(weights[row, place].tolist()),
                    decoded=tuple(decoded[row, place].tolist()),
                    data=blocks[row * per_row + block].tobytes(),
                )

    def details(self) -> Details:
        """Return what was collected."""
        return Details(self.weights, self.errors, self.worst)
