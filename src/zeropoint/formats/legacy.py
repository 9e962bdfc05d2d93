"""ggml's first formats: 32 weights share a float16 scale, and in the _1 formats a minimum."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats.base import F32, U8, check_weights
from zeropoint.formats.encoders.group_math import U16, ScaledGroups, make_groups
from zeropoint.formats.encoders.group_min import LineSearch
from zeropoint.formats.encoders.group_scale import ScaleCandidates, search_scale
from zeropoint.formats.levels import IntegerLevels
from zeropoint.formats.parts import Parts
from zeropoint.formats.storage import StorageFormat, fields, read, read_f16


@dataclass(frozen=True, kw_only=True)
class LegacyFormat(StorageFormat):
    """Blocks of 32 weights. Nibbles: weights 0-15 in the low halves of the bytes, 16-31 above."""

    block_size: int = 32
    group_size: int = 32

    def groups(self, weights: F32, importance: F32 | None) -> ScaledGroups:
        """Check the (n, 32) arguments of an encoder and scale them."""
        check_weights(weights, importance, self.block_size)
        return make_groups(weights, importance)


@dataclass(frozen=True, kw_only=True)
class Q8_0(LegacyFormat):
    """8-bit codes, one scale: w = scale · q, q in −128…127.

    Block (34 bytes):  0-1 scale f16 | 2-33 codes i8

    As in ggml, the encoder never writes −128, because some kernels use the absolute value of codes.
    """

    name: str = "Q8_0"
    ggml_type: int = 8
    block_bytes: int = 34

    def parts(self, blocks: U8) -> Parts:
        return Parts(scale=read_f16(blocks, 0), codes=read(blocks, 2, 34, "i1"))

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        groups = self.groups(weights, importance)
        scale, level = search_scale(groups, IntegerLevels(-127, 127), Q8_SCALES)
        return np.hstack([as_bytes(scale), level.astype(np.int8).view(np.uint8)])


@dataclass(frozen=True, kw_only=True)
class Q4_0(LegacyFormat):
    """4-bit codes, one scale: w = scale · q, q in −8…7, stored as q + 8.

    Block (18 bytes):  0-1 scale f16 | 2-17 nibbles
    """

    name: str = "Q4_0"
    ggml_type: int = 2
    block_bytes: int = 18

    def parts(self, blocks: U8) -> Parts:
        return Parts(scale=read_f16(blocks, 0), codes=nibbles(blocks, 2) - np.int8(8))

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        levels = IntegerLevels(-8, 7)
        scale, level = search_scale(self.groups(weights, importance), levels, Q4_SCALES)
        return np.hstack([as_bytes(scale), pack_nibbles(levels.codes(level))])


@dataclass(frozen=True, kw_only=True)
class Q4_1(LegacyFormat):
    """4-bit codes, scale and minimum: w = scale · q + minimum, q in 0…15.

    Block (20 bytes):  0-1 scale f16 | 2-3 minimum f16 | 4-19 nibbles
    """

    name: str = "Q4_1"
    ggml_type: int = 3
    block_bytes: int = 20

    def parts(self, blocks: U8) -> Parts:
        codes = nibbles(blocks, 4)
        return Parts(scale=read_f16(blocks, 0), minimum=read_f16(blocks, 2), codes=codes)

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        scale, minimum, code = LineSearch(15).search(self.groups(weights, importance))
        return np.hstack([as_bytes(scale), as_bytes(minimum), pack_nibbles(code.astype(np.uint8))])


@dataclass(frozen=True, kw_only=True)
class Q5_0(LegacyFormat):
    """5-bit codes, one scale: w = scale · q, q in −16…15, stored as q + 16.

    Block (22 bytes):  0-1 scale f16 | 2-5 fifth bits, weight i at bit i | 6-21 nibbles
    """

    name: str = "Q5_0"
    ggml_type: int = 6
    block_bytes: int = 22

    def parts(self, blocks: U8) -> Parts:
        codes = nibbles(blocks, 6) + fifth_bits(blocks, 2) - np.int8(16)
        return Parts(scale=read_f16(blocks, 0), codes=codes)

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        levels = IntegerLevels(-16, 15)
        scale, level = search_scale(self.groups(weights, importance), levels, Q5_SCALES)
        codes = levels.codes(level)
        return np.hstack([as_bytes(scale), pack_fifth_bits(codes), pack_nibbles(codes)])


@dataclass(frozen=True, kw_only=True)
class Q5_1(LegacyFormat):
    """5-bit codes, scale and minimum: w = scale · q + minimum, q in 0…31.

    Block (24 bytes):  0-1 scale f16 | 2-3 minimum f16 | 4-7 fifth bits | 8-23 nibbles
    """

    name: str = "Q5_1"
    ggml_type: int = 7
    block_bytes: int = 24

    def parts(self, blocks: U8) -> Parts:
        codes = nibbles(blocks, 8) + fifth_bits(blocks, 4)
        return Parts(scale=read_f16(blocks, 0), minimum=read_f16(blocks, 2), codes=codes)

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        scale, minimum, code = LineSearch(31).search(self.groups(weights, importance))
        codes = code.astype(np.uint8)
        head = [as_bytes(scale), as_bytes(minimum), pack_fifth_bits(codes)]
        return np.hstack([*head, pack_nibbles(codes)])


def nibbles(blocks: U8, start: int) -> NDArray[np.int8]:
    """Return the 32 nibbles from byte `start` on, in the order of the weights: (n, 32)."""
    return fields(blocks[:, start : start + 16], 4).reshape(-1, 32).view(np.int8)


def fifth_bits(blocks: U8, start: int) -> NDArray[np.int8]:
    """Return 16 for each of 32 weights whose bit in the 4 bytes from `start` on is set: (n, 32)."""
    bits = np.unpackbits(blocks[:, start : start + 4], axis=1, bitorder="little")
    return (bits << np.uint8(4)).view(np.int8)


def pack_nibbles(codes: U8) -> U8:
    """Return the low halves of 32 codes as 16 bytes, the inverse of `nibbles`."""
    return codes[:, :16] & np.uint8(15) | codes[:, 16:] << np.uint8(4)


def pack_fifth_bits(codes: U8) -> U8:
    """Return bit 4 of 32 codes as 4 bytes, the inverse of `fifth_bits`."""
    return np.packbits(codes >> np.uint8(4), axis=1, bitorder="little")


def as_bytes(scale: U16) -> U8:
    """Return (n,) bits of float16 as (n, 2) bytes."""
    return scale.astype("<u2").view(np.uint8).reshape(-1, 2)


# Scales that the encoders try.
Q4_SCALES = ScaleCandidates(ends=(-8, 7), first=0.6, ratio=1.1, count=12, tail=2.2, tail_count=3)
Q5_SCALES = ScaleCandidates(
    ends=(-16, 15), first=0.6, ratio=1.056, count=20, tail=2.2, tail_count=3
)
Q8_SCALES = ScaleCandidates(ends=(127,), first=0.85, ratio=1.0075, count=24, signed=False)

LEGACY = (Q4_0(), Q4_1(), Q5_0(), Q5_1(), Q8_0())
