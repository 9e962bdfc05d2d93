"""Finds outliers: the weight of each matrix that is largest in relation to the others.

All weights of a group share a scale, so a single large weight makes the steps of the others coarse.
The figure is max |w| / σ, where σ is the standard deviation of the tensor's weights. A million
normally distributed weights reach about 5.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from zeropoint import kernels
from zeropoint.checkpoints import Checkpoint, TensorInfo
from zeropoint.quantizers.slabs import cut_slabs


@dataclass(frozen=True)
class TensorScanned:
    """The largest weight of one tensor."""

    name: str
    shape: tuple[int, ...]
    largest: float  # the weight with the largest magnitude, with its sign
    row: int  # of that weight, counted over all leading axes
    column: int
    sigma: float  # standard deviation of all weights
    finite: bool  # False if a weight is NaN or infinite; the other figures then mean nothing
    done: int  # weights scanned so far, over all tensors

    @property
    def ratio(self) -> float:
        """max |w| / σ; 0 if all weights are equal."""
        return abs(self.largest) / self.sigma if self.sigma else 0.0


def matrices(source: Checkpoint) -> list[TensorInfo]:
    """Return the tensors that are scanned: two or more axes, floating-point weights."""
    integers = ("I8", "I16", "I32", "I64")
    return [
        info
        for info in source.tensors.values()
        if len(info.shape) > 1 and info.elements and info.format.name not in integers
    ]


def scan_outliers(source: Checkpoint, *, threads: int | None = None) -> Iterator[TensorScanned]:
    """Decode every matrix slab by slab; yield its largest weight and standard deviation."""
    threads = kernels.default_threads() if threads is None else threads
    done = 0
    for info in matrices(source):
        total = squares = largest = 0.0
        position = 0
        for slab in cut_slabs(info.shape, info.format):
            tensor = source.read_rows(info.name, slab.start, slab.stop)
            weights = kernels.decode(info.format, tensor.data, threads=threads).reshape(-1)
            added, squared, index = kernels.moments(weights, threads=threads)
            total, squares = total + added, squares + squared
            if not abs(weights[index]) <= abs(largest):  # true for NaN too
                largest, position = float(weights[index]), slab.start * info.columns + index
            if not math.isfinite(squares):
                break
        done += info.elements
        finite = math.isfinite(squares)
        variance = squares / info.elements - (total / info.elements) ** 2 if finite else 0.0
        row, column = divmod(position, info.columns)
        sigma = math.sqrt(max(variance, 0.0))
        yield TensorScanned(info.name, info.shape, largest, row, column, sigma, finite, done)
