"""Choose between the compiled kernel and its numpy twin, and say which.

`import zeropoint` works without the extension. A format without a kernel is encoded and decoded by
its specification in `formats`, which gives the same bits, more slowly.
"""

import os
from functools import cache
from types import ModuleType

import numpy as np

from zeropoint.errors import ZeropointError
from zeropoint.formats import F32, U8, Format


@cache
def native() -> ModuleType | None:
    """Return the compiled extension, or None where it was not built."""
    try:
        from zeropoint.kernels import _native
    except ImportError:
        return None
    try:
        _native.variant()
    except RuntimeError as error:  # ZEROPOINT_CPU names what this machine has not
        raise ZeropointError(str(error)) from None
    return _native


def variant() -> str:
    """Return the instruction set in use: avx512, avx2, baseline, or numpy without the extension."""
    module = native()
    return str(module.variant()) if module else "numpy"


def default_threads() -> int:
    """Return how many threads to use: the processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def has_decoder(name: str) -> bool:
    """Tell whether a compiled decoder of this format exists here."""
    module = native()
    return module is not None and name in module.decoders()


def decode(format: Format, blocks: U8, *, threads: int = 1) -> F32:
    """Decode (n, block_bytes) bytes to (n, block_size) weights, as `format.decode_blocks` does."""
    module = native()
    if module is None or not has_decoder(format.name):
        return format.decode_blocks(blocks)
    weights = np.empty((blocks.shape[0], format.block_size), np.float32)
    module.decode(format.name, np.ascontiguousarray(blocks), weights, threads)
    return weights
