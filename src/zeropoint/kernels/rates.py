"""Benchmark of matrix products with each format, on random matrices.

One row of activations reads a matrix that is larger than the near caches, as generation does. Many
rows use each weight again and again, as prompt processing does. Both take milliseconds.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zeropoint.formats import F32, U8, QuantizedTensor, find_format
from zeropoint.kernels.dispatch import native
from zeropoint.kernels.products import has_products, matmul, pack

if TYPE_CHECKING:
    from zeropoint.kernels._native import PackedMatrix

FORMATS = ("F16", "BF16", "Q8_0", "Q6_K", "Q5_K", "Q5_0", "Q5_1", "Q4_K", "Q4_0", "Q4_1", "IQ4_NL",
           "IQ4_XS", "Q3_K", "Q2_K", "IQ3_XXS", "IQ2_XXS", "IQ1_S")  # fmt: skip
TIMED_COLUMNS = 2048
ROW_STEP = 16  # a matrix has a multiple of this many rows
MATRIX_BYTES = 48 << 20
TIMING_ROUNDS = 2
BATCH_TOKENS = 128  # rows of activations of a prompt
BATCH_ROWS = 2048  # of the matrix that they are multiplied with


@dataclass(frozen=True)
class KernelRate:
    """Speed of products with one format."""

    format: str
    #: Bytes of weights per second, for one row of activations.
    read_bytes_per_second: float
    #: Weights times rows of activations per second, for many rows.
    weights_per_second: float


def measure_rates(threads: int) -> Iterator[KernelRate]:
    """Yield the rates of each format with a kernel; nothing without the compiled extension."""
    if native() is None:
        return
    source = np.random.default_rng(0)
    blocks = source.integers(0, 256, MATRIX_BYTES, np.uint8)  # valid blocks of any format
    one = source.normal(size=(1, TIMED_COLUMNS)).astype(np.float32)
    many = source.normal(size=(BATCH_TOKENS, TIMED_COLUMNS)).astype(np.float32)
    names = [name for name in FORMATS if has_products(find_format(name))]
    best: dict[str, KernelRate] = {}
    for _ in range(TIMING_ROUNDS):  # a disturbance rarely hits the same format twice
        for name in names:
            rate = _measure(name, blocks, (one, many), threads)
            best[name] = _better(rate, best.get(name, rate))
    yield from best.values()


def _better(a: KernelRate, b: KernelRate) -> KernelRate:
    return KernelRate(
        a.format,
        max(a.read_bytes_per_second, b.read_bytes_per_second),
        max(a.weights_per_second, b.weights_per_second),
    )


def _measure(name: str, data: U8, activations: tuple[F32, F32], threads: int) -> KernelRate:
    format = find_format(name)
    if format.block_size == 1:  # random bits would contain subnormal numbers, which are slow
        data = ((data.view(np.uint16) & 0x83FF) | 0x2C00).view(np.uint8)
    row = TIMED_COLUMNS // format.block_size * format.block_bytes

    def matrix_of(rows: int) -> "PackedMatrix":
        blocks = data[: rows * row].reshape(-1, format.block_bytes)
        return pack(QuantizedTensor(format, (rows, TIMED_COLUMNS), blocks), threads=threads)

    one, many = activations
    rows = MATRIX_BYTES // row // ROW_STEP * ROW_STEP
    matrix, small = matrix_of(rows), matrix_of(BATCH_ROWS)
    read_seconds = _shortest(4, lambda: matmul(matrix, one, mode="fast", threads=threads))
    multiply_seconds = _shortest(2, lambda: matmul(small, many, mode="fast", threads=threads))
    return KernelRate(
        name,
        rows * row / read_seconds,
        BATCH_ROWS * TIMED_COLUMNS * BATCH_TOKENS / multiply_seconds,
    )


def _shortest(times: int, run: Callable[[], object]) -> float:
    """Return the seconds of the shortest of several runs."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
