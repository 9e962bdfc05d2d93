"""Base class of the storage formats of GGUF, and readers of numbers and bit fields in blocks.

Decoding is identical to that of ggml (2026-10), bit for bit. Every factor is a float32, and the
docstring of each format says which products are rounded. Most are exact, because a float16 scale is
multiplied by a small integer. Numbers are stored lowest byte first, codes lowest bits first.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import FormatError
from zeropoint.formats.base import F32, U8, Format
from zeropoint.formats.parts import Parts


@dataclass(frozen=True, kw_only=True)
class StorageFormat(Format):
    """A tensor type of GGUF, with its number in the file."""

    ggml_type: int

    @abstractmethod
    def parts(self, blocks: U8) -> Parts:
        """Unpack (n, block_bytes) bytes, n > 0, into scale, codes and the other parts."""

    def decode_blocks(self, blocks: U8) -> F32:
        if not len(blocks):
            return np.empty((0, self.block_size), np.float32)
        return self.parts(blocks).weights()

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        raise FormatError(f"{self.name} can be decoded but not encoded")


def read_f16(blocks: U8, start: int) -> F32:
    """Return the float16 at byte `start` of each block as float32, (n, 1)."""
    return read(blocks, start, start + 2, "<f2").astype(np.float32)


def read(blocks: U8, start: int, stop: int, dtype: str) -> NDArray[Any]:
    """Return bytes start … stop − 1 of each block as numbers, (n, bytes / itemsize)."""
    return np.ascontiguousarray(blocks[:, start:stop]).view(dtype)


def fields(data: U8, bits: int) -> U8:
    """Split (..., m) bytes into fields of 1, 2 or 4 bits, lowest first: (..., 8 / bits, m).

    The fields of one byte belong to weights that are far apart: ggml stores the first weights of a
    block in the lowest bits of all bytes, and the next ones in the bits above.
    """
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    return (data[..., None, :] >> shifts) & np.uint8(2**bits - 1)
