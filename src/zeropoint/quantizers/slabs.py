"""Cuts a tensor into slabs of rows, so that memory does not depend on the size of the model."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from zeropoint import kernels
from zeropoint.formats import Format

# 16 MiB of float32: enough work for all threads, and little memory.
SLAB_WEIGHTS = 1 << 22
# The numpy implementation has many temporary arrays of the size of its input.
NUMPY_SLAB_WEIGHTS = 1 << 17


@dataclass(frozen=True)
class Slab:
    """Rows `start` to `stop` − 1 of a tensor, counted over all leading axes."""

    start: int
    stop: int
    expert: int  # index of the matrix in a tensor (experts, rows, columns); 0 for other tensors


def cut_slabs(
    shape: tuple[int, ...], source: Format, target: Format | None = None
) -> Iterator[Slab]:
    """Yield the slabs of a tensor of this shape, in order; none of them spans two experts.

    `source` and `target` are its formats before and after. Without a compiled kernel for both, the
    slabs are smaller.
    """
    columns = shape[-1] if shape else 1
    experts = math.prod(shape[:-2])
    rows = shape[-2] if len(shape) > 1 else 1
    fast = kernels.has_decoder(source.name)
    if target is not None:
        fast = fast and kernels.has_encoder(target.name)
    step = max(1, (SLAB_WEIGHTS if fast else NUMPY_SLAB_WEIGHTS) // max(columns, 1))
    for expert in range(experts):
        for row in range(0, rows, step):
            first = expert * rows + row
            yield Slab(first, expert * rows + min(row + step, rows), expert)
