"""How far the largest weight of each matrix stands out: what makes a tensor hard to quantize.

One scale serves a whole group of weights, so a single large one makes the steps of its neighbours
coarse. The figure is max |w| ÷ σ, σ the standard deviation of the tensor's weights; a million
normally distributed ones reach about 5.
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
    row: int  # where it stands; rows are counted over all leading axes
    column: int
    sigma: float  # standard deviation of all weights
    finite: bool  # False: NaN or infinity was met, and the other figures mean nothing
    done: int  # weights looked at so far, over all tensors

    @property
    def ratio(self) -> float:
        """max |w| ÷ σ; 0 for a tensor without spread."""
        return abs(self.largest) / self.sigma if self.sigma else 0.0


def matrices(source: Checkpoint) -> list[TensorInfo]:
    """Return the tensors worth a look: those with rows and columns, and weights in them."""
    integers = ("I8", "I16", "I32", "I64")
    return [
        info
        for info in source.tensors.values()
        if len(info.shape) > 1 and info.elements and info.format.name not in integers
    ]


def scan_outliers(source: Checkpoint, *, threads: int | None = None) -> Iterator[TensorScanned]:
    """Decode every matrix slab by slab and yield its largest weight and its spread."""
    threads = kernels.default_threads() if threads is None else threads
    done = 0
    for info in matrices(source):
        total = squares = largest = 0.0
        place = 0
        for slab in cut_slabs(info.shape, info.format):
            tensor = source.read_rows(info.name, slab.start, slab.stop)
            weights = kernels.decode(info.format, tensor.data, threads=threads).reshape(-1)
            added, squared, index = kernels.moments(weights, threads=threads)
            total, squares = total + added, squares + squared
            if not abs(weights[index]) <= abs(largest):  # also if it is NaN
                largest, place = float(weights[index]), slab.start * info.columns + index
            if not math.isfinite(squares):
                break
        done += info.elements
        finite = math.isfinite(squares)
        variance = squares / info.elements - (total / info.elements) ** 2 if finite else 0.0
        row, column = divmod(place, info.columns)
        sigma = math.sqrt(max(variance, 0.0))
        yield TensorScanned(info.name, info.shape, largest, row, column, sigma, finite, done)
