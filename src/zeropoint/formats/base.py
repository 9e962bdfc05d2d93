"""The interface of a format, which stores `block_size` weights of a row in `block_bytes` bytes.

These terms mean the same everywhere in zeropoint:

    w = scale · (q − zero_point)      or      w = scale · q + minimum

`q` are the codes (the stored integers), `scale` is the factor from codes to weights, `zero_point`
the code of weight 0, and `minimum` the weight of code 0. A block is the smallest part of a row that
decodes alone. A group is a set of weights that share one scale.
"""

import math
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

    Any bytes can be decoded; the result may be NaN or infinite. Encoding requires finite weights
    and finite importance of at least 0.
    """

    #: Name in the spelling of ggml or OCP: "Q4_K", "MXFP4".
    name: str
    #: Weights per block.
    block_size: int
    #: Bytes per block, scales and minimums included.
    block_bytes: int
    #: Weights that share one scale; it divides `block_size`.
    group_size: int

    @property
    def bits_per_weight(self) -> float:
        """Bits per weight, scales included: 8 · block_bytes / block_size."""
        return 8 * self.block_bytes / self.block_size

    @property
    def limit(self) -> float:
        """Magnitude from which weights cannot be encoded.

        It is infinite for formats with scales, which store a larger weight as their largest value.
        """
        return float("inf")

    @abstractmethod
    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        """Encode (n, block_size) finite weights into (n, block_bytes) bytes.

        `importance` (n, block_size) ≥ 0 is the cost of a squared error of each weight; None: 1.
        Raises FormatError for values outside of the domain, or if there is no encoder.
        """

    @abstractmethod
    def decode_blocks(self, blocks: U8) -> F32:
        """Decode (n, block_bytes) arbitrary bytes into (n, block_size) float32 weights."""

    def parts(self, blocks: U8) -> Parts:
        """Unpack (n, block_bytes) bytes into scale, zero point or minimum, and codes.

        `parts(blocks).weights()` is identical to `decode_blocks(blocks)`. Raises FormatError for a
        format without scale and codes.
        """
        raise FormatError(f"{self.name} has no scale and codes")

    def for_shape(self, shape: tuple[int, ...]) -> "Format":
        """Return the format that stores a tensor of this shape.

        A format with blocks of fixed size returns itself. A format per row or per tensor returns
        the one whose block is that row or tensor. Raises FormatError if the rows are not a multiple
        of the block.
        """
        check_shape(self, shape)
        return self


@dataclass(frozen=True, repr=False)
class QuantizedTensor:
    """A tensor stored as blocks of one `Format`, in row-major (PyTorch) order.

    A tensor that is not quantized is a `QuantizedTensor` of format F32, F16 or BF16.
    """

    format: Format
    #: (out_features, in_features); the last axis is divided into blocks.
    shape: tuple[int, ...]
    #: (blocks, block_bytes), C-contiguous; it may be memory-mapped and read-only.
    data: U8

    def __repr__(self) -> str:
        """Return one line, without the data."""
        size = " × ".join(map(str, self.shape))
        bits = 8 * self.nbytes / max(math.prod(self.shape), 1)
        return (
            f"<QuantizedTensor {self.format.name}, {size}, {self.nbytes:,} bytes,"
            f" {bits:.4g} bits per weight>"
        )

    @property
    def nbytes(self) -> int:
        """Bytes of all blocks."""
        return int(self.data.size)

    def parts(self) -> Parts:
        """Unpack all blocks into scale, zero point or minimum, and codes."""
        return self.format.parts(self.data)


def check_shape(format: Format, shape: tuple[int, ...]) -> None:
    """Raise FormatError unless the rows of `shape` are whole blocks of `format`."""
    row = shape[-1] if shape else 1
    if row % format.block_size:
        raise FormatError(
            f"{format.name} stores rows in blocks of {format.block_size} weights; "
            f"this tensor of shape {shape} has rows of {row}"
        )


def check_weights(
    weights: F32, importance: F32 | None, block_size: int, limit: float = np.inf
) -> None:
    """Raise FormatError unless shapes and values of an encoder's arguments are valid."""
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
    """Return which weights can be encoded, for an error message."""
    if limit == np.inf:
        return "only finite weights can be encoded"
    return f"the format stores magnitudes below {limit:g}"
