"""Formats of at most four levels: signs, three levels, and −1, 0, 1, 2."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats.base import U8
from zeropoint.formats.kquants import spread
from zeropoint.formats.parts import Parts
from zeropoint.formats.storage import StorageFormat, fields, read_f16

POWERS_OF_3 = np.array([1, 3, 9, 27, 81], np.uint8)[:, None]


@dataclass(frozen=True, kw_only=True)
class Q1_0(StorageFormat):
    """128 signs, one scale: w = scale · q, q = −1 or 1.

    Block (18 bytes):  0-1 scale f16 | 2-17 bits, weight i at bit i mod 8 of byte i div 8; 1 is +1
    """

    name: str = "Q1_0"
    ggml_type: int = 41
    block_size: int = 128
    block_bytes: int = 18
    group_size: int = 128

    def parts(self, blocks: U8) -> Parts:
        bits = fields(blocks[:, 2:], 1).swapaxes(1, 2).reshape(-1, 128).view(np.int8)
        return Parts(scale=read_f16(blocks, 0), codes=bits * np.int8(2) - np.int8(1))


@dataclass(frozen=True, kw_only=True)
class Q2_0(StorageFormat):
    """64 codes of 2 bits, one scale of either sign: w = scale · q, q in −1…2, stored as q + 1.

    Block (18 bytes):  0-1 scale f16 | 2-17 codes, weight i at bits 2 · (i mod 4) of byte i div 4
    """

    name: str = "Q2_0"
    ggml_type: int = 42
    block_size: int = 64
    block_bytes: int = 18
    group_size: int = 64

    def parts(self, blocks: U8) -> Parts:
        codes = fields(blocks[:, 2:], 2).swapaxes(1, 2).reshape(-1, 64).view(np.int8)
        return Parts(scale=read_f16(blocks, 0), codes=codes - np.int8(1))


@dataclass(frozen=True, kw_only=True)
class TQ1_0(StorageFormat):
    """256 ternary codes, five in a byte, one scale: w = scale · q, q in −1…1.

    Block (54 bytes):  0-31 weights 0-159 | 32-47 weights 160-239 | 48-51 weights 240-255
                       | 52-53 scale f16
    Byte i of a run of m holds the codes of weights i, m + i, 2m + i, … as the first digits after
    the point of byte / 256 in base 3: multiply by a power of 3, drop what overflows, and the next
    digit is what carries out of the low 8 bits of three times that.
    """

    name: str = "TQ1_0"
    ggml_type: int = 34
    block_size: int = 256
    block_bytes: int = 54
    group_size: int = 256

    def parts(self, blocks: U8) -> Parts:
        runs = [trits(blocks[:, :32], 5), trits(blocks[:, 32:48], 5), trits(blocks[:, 48:52], 4)]
        return Parts(scale=read_f16(blocks, 52), codes=np.hstack(runs))


@dataclass(frozen=True, kw_only=True)
class TQ2_0(StorageFormat):
    """256 ternary codes of 2 bits, one scale: w = scale · q, q in −1…2, stored as q + 1.

    Block (66 bytes):  0-63 codes | 64-65 scale f16
    Byte i of a half's 32 holds the codes of weights i, 32 + i, 64 + i, 96 + i. Code 2 decodes, but
    ggml's kernels are made for −1, 0 and 1, and nothing else is written here.
    """

    name: str = "TQ2_0"
    ggml_type: int = 35
    block_size: int = 256
    block_bytes: int = 66
    group_size: int = 256

    def parts(self, blocks: U8) -> Parts:
        codes = spread(blocks, 0, 64, 2) - np.int8(1)
        return Parts(scale=read_f16(blocks, 64), codes=codes)


def trits(run: U8, digits: int) -> NDArray[np.int8]:
    """Return the codes of (n, m) bytes of `digits` ternary digits each: (n, digits · m)."""
    shifted = (run[:, None, :] * POWERS_OF_3[:digits]).astype(np.uint16)
    return ((shifted * np.uint16(3)) >> np.uint16(8)).astype(np.int8).reshape(
        len(run), -1
    ) - np.int8(1)


TERNARY = (Q1_0(), Q2_0(), TQ1_0(), TQ2_0())
