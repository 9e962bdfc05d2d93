"""ggml's first formats: 32 weights share one float16 scale, and in the _1 formats a minimum."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats.base import U8
from zeropoint.formats.parts import Parts
from zeropoint.formats.storage import StorageFormat, fields, read, read_f16


@dataclass(frozen=True, kw_only=True)
class Legacy(StorageFormat):
    """Blocks of 32 weights. Nibbles: weights 0-15 in the low halves of the bytes, 16-31 above."""

    block_size: int = 32
    group_size: int = 32


@dataclass(frozen=True, kw_only=True)
class Q8_0(Legacy):
    """8-bit codes, one scale: w = scale · q, q in −128…127.

    Block (34 bytes):  0-1 scale f16 | 2-33 codes i8
    """

    name: str = "Q8_0"
    ggml_type: int = 8
    block_bytes: int = 34

    def parts(self, blocks: U8) -> Parts:
        return Parts(scale=read_f16(blocks, 0), codes=read(blocks, 2, 34, "i1"))


@dataclass(frozen=True, kw_only=True)
class Q4_0(Legacy):
    """4-bit codes, one scale: w = scale · q, q in −8…7, stored as q + 8.

    Block (18 bytes):  0-1 scale f16 | 2-17 nibbles
    """

    name: str = "Q4_0"
    ggml_type: int = 2
    block_bytes: int = 18

    def parts(self, blocks: U8) -> Parts:
        return Parts(scale=read_f16(blocks, 0), codes=nibbles(blocks, 2) - np.int8(8))


@dataclass(frozen=True, kw_only=True)
class Q4_1(Legacy):
    """4-bit codes, scale and minimum: w = scale · q + minimum, q in 0…15.

    Block (20 bytes):  0-1 scale f16 | 2-3 minimum f16 | 4-19 nibbles
    """

    name: str = "Q4_1"
    ggml_type: int = 3
    block_bytes: int = 20

    def parts(self, blocks: U8) -> Parts:
        codes = nibbles(blocks, 4)
        return Parts(scale=read_f16(blocks, 0), minimum=read_f16(blocks, 2), codes=codes)


@dataclass(frozen=True, kw_only=True)
class Q5_0(Legacy):
    """5-bit codes, one scale: w = scale · q, q in −16…15, stored as q + 16.

    Block (22 bytes):  0-1 scale f16 | 2-5 fifth bits, weight i at bit i | 6-21 nibbles
    """

    name: str = "Q5_0"
    ggml_type: int = 6
    block_bytes: int = 22

    def parts(self, blocks: U8) -> Parts:
        codes = nibbles(blocks, 6) + fifth_bits(blocks, 2) - np.int8(16)
        return Parts(scale=read_f16(blocks, 0), codes=codes)


@dataclass(frozen=True, kw_only=True)
class Q5_1(Legacy):
    """5-bit codes, scale and minimum: w = scale · q + minimum, q in 0…31.

    Block (24 bytes):  0-1 scale f16 | 2-3 minimum f16 | 4-7 fifth bits | 8-23 nibbles
    """

    name: str = "Q5_1"
    ggml_type: int = 7
    block_bytes: int = 24

    def parts(self, blocks: U8) -> Parts:
        codes = nibbles(blocks, 8) + fifth_bits(blocks, 4)
        return Parts(scale=read_f16(blocks, 0), minimum=read_f16(blocks, 2), codes=codes)


def nibbles(blocks: U8, start: int) -> NDArray[np.int8]:
    """Return the 32 nibbles from byte `start` on, in the order of the weights: (n, 32)."""
    return fields(blocks[:, start : start + 16], 4).reshape(-1, 32).view(np.int8)


def fifth_bits(blocks: U8, start: int) -> NDArray[np.int8]:
    """Return 16 for each of 32 weights whose bit in the 4 bytes from `start` on is set: (n, 32)."""
    bits = np.unpackbits(blocks[:, start : start + 4], axis=1, bitorder="little")
    return (bits << np.uint8(4)).view(np.int8)


LEGACY = (Q4_0(), Q4_1(), Q5_0(), Q5_1(), Q8_0())
