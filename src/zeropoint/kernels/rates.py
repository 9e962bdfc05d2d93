"""How fast this machine multiplies with each format, measured on matrices made up for it.

One row of activations reads a matrix that no near cache holds (what generation does); many rows
use each weight again and again (what a prompt does). Both take milliseconds.
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
COLUMNS = 2048
ROWS = 16  # a matrix has a multiple of them
MATRIX_BYTES = 48 << 20
ROUNDS = 2
BATCH = 128  # rows of activations of a prompt
BATCH_ROWS = 2048  # of the matrix that they are multiplied with


@dataclass(frozen=True)
class KernelRate:
    """What products with one format reach here."""

    format: str
    read_bytes_per_second: float  # of weights, for one row of activations
    weights_per_second: float  # weights times rows of activations, for many rows


def measure_rates(threads: int) -> Iterator[KernelRate]:
    """Yield the rates of each format that has a kernel; nothing without the compiled extension."""
    if native() is None:
        return
    source = np.random.default_rng(0)
    blocks = source.integers(0, 256, MATRIX_BYTES, np.uint8)  # any bytes are blocks of any format
    one = source.normal(size=(1, COLUMNS)).astype(np.float32)
    many = source.normal(size=(BATCH, COLUMNS)).astype(np.float32)
    names = [name for name in FORMATS if has_products(find_format(name))]
    best: dict[str, KernelRate] = {}
    for _ in range(ROUNDS):  # what disturbs a format for a while may spare it the next time
        for name in names:
            found = _measure(name, blocks, (one, many), threads)
            best[name] = _better(found, best.get(name, found))
    yield from best.values()


def _better(a: KernelRate, b: KernelRate) -> KernelRate:
    return KernelRate(
        a.format,
        max(a.read_bytes_per_second, b.read_bytes_per_second),
        max(a.weights_per_second, b.weights_per_second),
    )


def _measure(name: str, data: U8, activations: tuple[F32, F32], threads: int) -> KernelRate:
    format = find_format(name)
    if format.block_size == 1:  # as they are, one in 256 would be subnormal, and slow
        data = ((data.view(np.uint16) & 0x83FF) | 0x2C00).view(np.uint8)
    row = COLUMNS // format.block_size * format.block_bytes

    def matrix_of(rows: int) -> "PackedMatrix":
        blocks = data[: rows * row].reshape(-1, format.block_bytes)
        return pack(QuantizedTensor(format, (rows, COLUMNS), blocks), threads=threads)

    one, many = activations
    rows = MATRIX_BYTES // row // ROWS * ROWS
    matrix, small = matrix_of(rows), matrix_of(BATCH_ROWS)
    reading = _best(4, lambda: matmul(matrix, one, mode="fast", threads=threads))
    multiplying = _best(2, lambda: matmul(small, many, mode="fast", threads=threads))
    return KernelRate(name, rows * row / reading, BATCH_ROWS * COLUMNS * BATCH / multiplying)


def _best(times: int, act: Callable[[], object]) -> float:
    """Return the shortest of some runs, in seconds."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        act()
        found.append(time.perf_counter() - start)
    return min(found)
