"""Dispatch to a compiled kernel, or to its numpy version where no kernel exists.

`import zeropoint` works without the compiled extension. A format without a kernel is encoded and
decoded by its specification in `formats`, which gives the same bits but is slower.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import FrameType, ModuleType

import numpy as np

from zeropoint.errors import FormatError, ZeropointError
from zeropoint.formats import F32, U8, Format, check_shape
from zeropoint.formats.base import domain


@contextmanager
def signals_delayed() -> Iterator[None]:
    """Deliver SIGINT and SIGTERM when the block ends.

    Loading the extension runs Python code inside nanobind, which aborts the process when a signal
    handler raises an exception there. Only the main thread runs handlers and may replace them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)

    handlers = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM)
        if callable(handler := signal.getsignal(number))
    }
    for number in handlers:
        signal.signal(number, remember)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for late in arrived:
            signal.raise_signal(late)


@cache
def native() -> ModuleType | None:
    """Return the compiled extension, or None where it was not built."""
    try:
        with signals_delayed():
            from zeropoint.kernels import _native
    except ImportError:
        return None
    try:
        _native.variant()
    except RuntimeError as error:  # ZEROPOINT_CPU names an unsupported instruction set
        raise ZeropointError(str(error)) from None
    return _native


def variant() -> str:
    """Return the instruction set in use: avx512, avx2, baseline, or numpy without the extension."""
    module = native()
    return str(module.variant()) if module else "numpy"


def default_threads() -> int:
    """Return the number of processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def has_decoder(name: str) -> bool:
    """Return whether there is a compiled decoder for a format."""
    module = native()
    return module is not None and name in module.decoders()


def decode(format: Format, blocks: U8, *, threads: int = 1) -> F32:
    """Decode (n, block_bytes) bytes to (n, block_size) float32 weights, as `decode_blocks` does."""
    module = native()
    if module is None or not has_decoder(format.name):
        return format.decode_blocks(blocks)
    weights = np.empty((blocks.shape[0], format.block_size), np.float32)
    module.decode(format.name, np.ascontiguousarray(blocks), weights, threads)
    return weights


@cache
def has_encoder(name: str) -> bool:
    """Return whether there is a compiled encoder for a format."""
    module = native()
    return module is not None and name in module.encoders()


def encode(format: Format, weights: F32, importance: F32 | None = None, *, threads: int = 1) -> U8:
    """Encode (rows, columns) weights into (blocks, block_bytes) bytes, as `encode_blocks` does.

    `importance` (columns,), finite and ≥ 0, is the cost of a squared error in each column; None: 1.
    A group whose importance is 0 everywhere is encoded as if it were 1, because the statistics may
    not have seen inputs that matter to a later user.

    Raises FormatError that names the first weight that is not finite, or the invalid argument.
    """
    if weights.ndim != 2:
        raise FormatError(f"expected (rows, columns) weights, got shape {weights.shape}")
    check_shape(format, weights.shape)
    with np.errstate(over="ignore"):  # values beyond float32 become infinite and are refused below
        weights = np.ascontiguousarray(weights, np.float32)
    check_magnitudes(weights, format.limit, threads)
    if importance is not None:
        importance = check_importance(importance, weights.shape[1])
    module = native()
    blocks_per_row = weights.shape[1] // format.block_size
    if module is None or not has_encoder(format.name):
        rows = weights.reshape(-1, format.block_size)
        if importance is None:
            return format.encode_blocks(rows)
        costs = importance.reshape(blocks_per_row, format.block_size)
        return format.encode_blocks(rows, np.tile(costs, (weights.shape[0], 1)))
    blocks = np.empty((weights.shape[0] * blocks_per_row, format.block_bytes), np.uint8)
    module.encode(format.name, weights, importance, blocks, threads)
    return blocks


def first_not_finite(weights: F32, *, threads: int = 1) -> int | None:
    """Return the flat index of the first NaN or infinity in (rows, columns) weights, or None."""
    return first_beyond(weights, np.inf, threads)


def first_beyond(weights: F32, limit: float, threads: int) -> int | None:
    """Return the flat index of the first weight with a magnitude of `limit` or more, or None."""
    module = native()
    if module is not None:
        first = module.first_beyond(np.ascontiguousarray(weights, np.float32), limit, threads)
        return first if first < weights.size else None
    bad = np.flatnonzero(~(np.abs(weights) < limit))
    return int(bad[0]) if bad.size else None


def check_magnitudes(weights: F32, limit: float, threads: int) -> None:
    """Raise FormatError with row and column of the first magnitude of `limit` or more."""
    first = first_beyond(weights, limit, threads)
    if first is not None:
        row, column = divmod(first, weights.shape[1])
        raise FormatError(
            f"weight {first} (row {row}, column {column}) is {weights[row, column]}: "
            f"{domain(limit)}"
        )


def check_importance(importance: F32, columns: int) -> F32:
    """Return (columns,) importance as contiguous float32. Raises FormatError if it is not valid."""
    if importance.shape != (columns,):
        raise FormatError(
            f"importance has shape {importance.shape}, the weights have {columns} columns"
        )
    with np.errstate(over="ignore"):  # values beyond float32 become infinite and are refused below
        importance = np.ascontiguousarray(importance, np.float32)
    wrong = np.flatnonzero(~(np.isfinite(importance) & (importance >= 0)))
    if wrong.size:
        raise FormatError(
            f"importance of column {int(wrong[0])} is {importance[wrong[0]]}; "
            "it must be finite and ≥ 0"
        )
    return importance


def weighted_error(
    weights: F32, decoded: F32 | None, importance: F32 | None = None, *, threads: int = 1
) -> float:
    """Return Σ importance · (weights − decoded)² in float64 of two (rows, columns) arrays.

    `decoded` defaults to zeros and `importance` (columns,) to ones. Each row is summed in 8 lanes
    (column modulo 8), the lanes as a tree and the rows in order, so the result does not depend on
    the number of threads.
    """
    if importance is not None:
        importance = np.ascontiguousarray(importance, np.float32)
    module = native()
    if module is not None:
        weights = np.ascontiguousarray(weights, np.float32)
        decoded = None if decoded is None else np.ascontiguousarray(decoded, np.float32)
        return float(module.weighted_error(weights, decoded, importance, threads))
    rows, columns = weights.shape
    terms = (weights.astype(np.float64) - (0.0 if decoded is None else decoded)) ** 2
    if importance is not None:
        terms = importance.astype(np.float64) * terms
    lanes = np.zeros((rows, 8))
    for start in range(0, columns, 8):
        part = terms[:, start : start + 8]
        lanes[:, : part.shape[1]] += part
    pairs = lanes[:, 0::2] + lanes[:, 1::2]
    sums = (pairs[:, 0] + pairs[:, 1]) + (pairs[:, 2] + pairs[:, 3])
    return float(np.add.accumulate(sums)[-1]) if rows else 0.0  # in order; np.sum is pairwise
