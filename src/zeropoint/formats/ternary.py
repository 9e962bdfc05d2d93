"""Formats with two to four levels: signs; −1, 0 and 1; −1, 0, 1 and 2."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats.base import F32, U8, check_weights
from zeropoint.formats.encoders.arithmetic import ordered_sum
from zeropoint.formats.encoders.group_math import make_groups
from zeropoint.formats.encoders.group_scale import ScaleCandidates, search_scale
from zeropoint.formats.kquants import spread
from zeropoint.formats.legacy import as_bytes
from zeropoint.formats.levels import IntegerLevels
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

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        """Encode signs with the optimal scale, the weighted mean of |w|. 0 counts as positive."""
        check_weights(weights, importance, self.block_size)
        groups = make_groups(weights, importance)
        total = ordered_sum(groups.importance * np.abs(groups.weights))
        scale = groups.stored(total / ordered_sum(groups.importance))
        bits = np.packbits(weights >= 0, axis=1, bitorder="little")
        return np.hstack([as_bytes(scale), bits])


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

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        check_weights(weights, importance, self.block_size)
        levels = IntegerLevels(-1, 2)
        scale, level = search_scale(make_groups(weights, importance), levels, Q2_SCALES)
        codes = levels.codes(level).reshape(-1, 16, 4)
        packed = codes << np.array([0, 2, 4, 6], np.uint8)
        return np.hstack([as_bytes(scale), np.bitwise_or.reduce(packed, axis=2)])


@dataclass(frozen=True, kw_only=True)
class TQ1_0(StorageFormat):
    """256 ternary codes, five in a byte, one scale: w = scale · q, q in −1…1.

    Block (54 bytes):  0-31 weights 0-159 | 32-47 weights 160-239 | 48-51 weights 240-255
                       | 52-53 scale f16
    Byte i of a run of m bytes holds the codes of weights i, m + i, 2m + i, … as the first digits of
    byte / 256 in base 3. To read a digit, multiply by a power of 3, keep the low 8 bits, and take
    the carry of three times that.
    """

    name: str = "TQ1_0"
    ggml_type: int = 34
    block_size: int = 256
    block_bytes: int = 54
    group_size: int = 256

    def parts(self, blocks: U8) -> Parts:
        runs = [trits(blocks[:, :32], 5), trits(blocks[:, 32:48], 5), trits(blocks[:, 48:52], 4)]
        return Parts(scale=read_f16(blocks, 52), codes=np.hstack(runs))

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        scale, codes = encode_ternary(self, weights, importance)
        runs = [codes[:, :160], codes[:, 160:240], codes[:, 240:]]
        packed = [pack_trits(run, digits) for run, digits in zip(runs, (5, 5, 4), strict=True)]
        return np.hstack([*packed, scale])


@dataclass(frozen=True, kw_only=True)
class TQ2_0(StorageFormat):
    """256 ternary codes of 2 bits, one scale: w = scale · q, q in −1…2, stored as q + 1.

    Block (66 bytes):  0-63 codes | 64-65 scale f16
    Byte i of a half's 32 holds the codes of weights i, 32 + i, 64 + i, 96 + i. Code 2 can be
    decoded, but ggml's kernels support −1, 0 and 1 only, so it is never written.
    """

    name: str = "TQ2_0"
    ggml_type: int = 35
    block_size: int = 256
    block_bytes: int = 66
    group_size: int = 256

    def parts(self, blocks: U8) -> Parts:
        codes = spread(blocks, 0, 64, 2) - np.int8(1)
        return Parts(scale=read_f16(blocks, 64), codes=codes)

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        scale, codes = encode_ternary(self, weights, importance)
        packed = codes.reshape(-1, 2, 4, 32) << np.array([0, 2, 4, 6], np.uint8)[:, None]
        return np.hstack([np.bitwise_or.reduce(packed, axis=2).reshape(-1, 64), scale])


def trits(run: U8, digits: int) -> NDArray[np.int8]:
    """Return the codes of (n, m) bytes of `digits` ternary digits each: (n, digits · m)."""
    shifted = (run[:, None, :] * POWERS_OF_3[:digits]).astype(np.uint16)
    return ((shifted * np.uint16(3)) >> np.uint16(8)).astype(np.int8).reshape(
        len(run), -1
    ) - np.int8(1)


def pack_trits(codes: U8, digits: int) -> U8:
    """Return (n, digits · m) codes 0 … 2 as (n, m) bytes, the inverse of `trits`.

    A byte is the smallest one for which byte / 256 is at least the fraction of the digits, so that
    multiplication gives each digit again. If there are four digits, the fifth is 0.
    """
    columns = codes.reshape(-1, digits, codes.shape[1] // digits).astype(np.uint16)
    number = np.zeros((len(codes), columns.shape[2]), np.uint16)
    for digit in range(5):
        number = number * np.uint16(3) + (columns[:, digit] if digit < digits else np.uint16(0))
    return ((number * np.uint32(256) + np.uint32(242)) // np.uint32(243)).astype(np.uint8)


def encode_ternary(format: StorageFormat, weights: F32, importance: F32 | None) -> tuple[U8, U8]:
    """Return the best scale as (n, 2) bytes, and the codes 0 … 2 of levels −1 … 1, (n, 256)."""
    check_weights(weights, importance, format.block_size)
    levels = IntegerLevels(-1, 1)
    scale, level = search_scale(make_groups(weights, importance), levels, TERNARY_SCALES)
    return as_bytes(scale), levels.codes(level)


# Scales that the encoders try.
Q2_SCALES = ScaleCandidates(ends=(-1, 2), first=0.6, ratio=1.31, count=8)
TERNARY_SCALES = ScaleCandidates(ends=(1,), first=0.4, ratio=1.69, count=8, signed=False)

TERNARY = (Q1_0(), Q2_0(), TQ1_0(), TQ2_0())
