"""What a format is: `block_size` weights of a row stored in `block_bytes` bytes.

The words, which mean the same everywhere in zeropoint:

    w = scale · (q − zero_point)      or      w = scale · q + minimum

`q` are the codes (the stored integers), `scale` the factor from codes to weights, `zero_point`
the code that means 0.0, `minimum` the weight that code 0 stands for. A block is the smallest part
of a row that decodes alone; a group is the weights that share one scale.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import FormatError
from zeropoint.formats.parts import Parts

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Format(ABC):
    """How `block_size` consecutive weights are stored in `block_bytes` bytes.

    Decoding is total: any bytes decode (to NaN or ±inf if the bytes say so). Encoding states its
    domain: finite weights, finite importance ≥ 0.
    """

    name: str  # the identity, in ggml's or OCP's spelling: "Q4_K", "MXFP4"
    block_size: int  # weights per block
    block_bytes: int  # bytes per block, scales and minimums included
    group_size: int  # weights that share one scale; divides block_size

    @property
    def bits_per_weight(self) -> float:
        """Storage per weight, everything included: 8 · block_bytes / block_size."""
        return 8 * self.block_bytes / self.block_size

    @property
    def limit(self) -> float:
        """Weights of this magnitude or more cannot be stored: encoding them is a FormatError.

        Infinite for formats with scales: they store what is too large as the largest they can.
        """
        return float("inf")

    @abstractmethod
    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        """Encode (n, block_size) finite weights into (n, block_bytes) bytes.

        `importance` (n, block_size) ≥ 0 is what a squared error costs at each weight; None: ones.
        """

    @abstractmethod
    def decode_blocks(self, blocks: U8) -> F32:
        """Decode (n, block_bytes) bytes, any bytes, into (n, block_size) weights."""

    def parts(self, blocks: U8) -> Parts:
        """Unpack (n, block_bytes) bytes into scale, zero point or minimum, and codes.

        `parts(blocks).weights()` equals `decode_blocks(blocks)`. Raises FormatError for a format
        that has no such parts.
        """
        raise FormatError(f"{self.name} has no scale and codes to show")

    def for_shape(self, shape: tuple[int, ...]) -> "Format":
        """Return the format that stores a tensor of this shape.

        A format with blocks of fixed size returns itself; a format "per row" or "per tensor"
        returns the one whose block is that row or tensor. Raises FormatError if rows are no
        multiple of the block.
        """
        check_shape(self, shape)
        return self


@dataclass(frozen=True)
class QuantizedTensor:
    """A tensor stored as blocks of one `Format`, in row-major (PyTorch) order.

    A tensor that is not quantized is a `QuantizedTensor` of format F32, F16 or BF16.
    """

    format: Format
    shape: tuple[int, ...]  # logical, (out_features, in_features); the last axis is cut into blocks
    data: U8  # (blocks, block_bytes), C-contiguous, possibly memory-mapped and read-only

    @property
    def nbytes(self) -> int:
        """Bytes of all blocks."""
        return int(self.data.size)

    def parts(self) -> Parts:
        """Unpack all blocks: scale, zero point or minimum, codes."""
        return self.format.parts(self.data)


def check_shape(format: Format, shape: tuple[int, ...]) -> None:
    """Raise FormatError unless rows of `shape` are whole blocks of `format`."""
    row = shape[-1] if shape else 1
    if row % format.block_size:
        raise FormatError(
            f"{format.name} stores rows in blocks of {format.block_size} weights; "
            f"this tensor of shape {shape} has rows of {row}"
        )


def check_weights(
    weights: F32, importance: F32 | None, block_size: int, limit: float = np.inf
) -> None:
    """Raise FormatError unless an encoder's arguments lie in its domain: shapes and magnitudes."""
    if weights.ndim != 2 or weights.shape[1] != block_size:
        raise FormatError(f"expected (n, {block_size}) weights, got {weights.shape}")
    bad = np.flatnonzero(~(np.abs(weights) < limit))
    if bad.size:
        raise FormatError(f"weight {int(bad[0])} is {weights.flat[bad[0]]}: {domain(limit)}")
    if importance is None:
        return
    if importance.shape != weights.shape:
        raise FormatError(f"importance has shape {importance.shape}, weights {weights.shape}")
    wrong = np.flatnonzero(~(np.isfinite(importance) & (importance >= 0)))
    if wrong.size:
        raise FormatError(
            f"importance {int(wrong[0])} is {importance.flat[wrong[0]]}; it must be finite and ≥ 0"
        )


def domain(limit: float) -> str:
    """Say which weights can be encoded."""
    if limit == np.inf:
        return "only finite weights can be encoded"
    return f"the format holds magnitudes below {limit:g}"


def ordered_sum(terms: F32) -> F32:
    """Sum (n, m) over the last axis in index order, in float32: (n,).

    The order is part of the specification: the kernels add in the same order, lane by lane, so that
    both give the same bits. `np.sum` adds pairwise and does not.
    """
    total = np.zeros(terms.shape[0], np.float32)
    for column in range(terms.shape[1]):
        total = total + terms[:, column]
    return total
