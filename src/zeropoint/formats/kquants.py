"""The K formats: 256 weights in groups of 16 or 32 whose scales are quantized too.

A block has one float16 `d` (and `dmin`), and each group has a small integer, so that

    scale = d · group scale        minimum = −dmin · group minimum

Both products are exact in float32, and so is scale · q; only the addition of the minimum rounds.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats.base import F32, U8, check_weights
from zeropoint.formats.encoders.superblock_math import EncodedSuperblocks, unless_constant
from zeropoint.formats.encoders.superblock_min import MinimumSearch
from zeropoint.formats.encoders.superblock_scale import ScaleSearch
from zeropoint.formats.parts import Parts
from zeropoint.formats.storage import StorageFormat, fields, read, read_f16


@dataclass(frozen=True, kw_only=True)
class KQuant(StorageFormat):
    """Blocks of 256 weights, in two halves of 128 or four quarters of 64."""

    block_size: int = 256

    @abstractmethod
    def pack(self, encoded: EncodedSuperblocks) -> U8:
        """Return the (n, block_bytes) bytes of encoded blocks."""

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        check_weights(weights, importance, 256)
        if not len(weights):
            return np.empty((0, self.block_bytes), np.uint8)
        importance = unless_constant(importance)
        return self.pack(SEARCHES[self.name][importance is not None](weights, importance))


@dataclass(frozen=True, kw_only=True)
class Q2_K(KQuant):
    """2-bit codes, 16 groups with 4-bit scale and minimum: w = scale · q + minimum, q in 0…3.

    Block (84 bytes):  0-15 group scale (low nibble), group minimum (high) | 16-79 codes
                       | 80-81 d f16 | 82-83 dmin f16
    Byte i of a half's 32 holds the codes of weights i, 32 + i, 64 + i, 96 + i.
    """

    name: str = "Q2_K"
    ggml_type: int = 10
    block_bytes: int = 84
    group_size: int = 16

    def parts(self, blocks: U8) -> Parts:
        scale = product(read_f16(blocks, 80), blocks[:, :16] & np.uint8(15))
        minimum = negated_product(read_f16(blocks, 82), blocks[:, :16] >> np.uint8(4))
        return Parts(scale=scale, minimum=minimum, codes=spread(blocks, 16, 80, 2))

    def pack(self, encoded: EncodedSuperblocks) -> U8:
        groups = (encoded.scales | encoded.minimums << 4).astype(np.uint8)
        return joined(groups, gather(encoded.codes, 2), encoded.d, encoded.dmin)


@dataclass(frozen=True, kw_only=True)
class Q3_K(KQuant):
    """3-bit codes, 16 groups with 6-bit scale: w = scale · q, q in −4…3, stored as q + 4.

    Block (110 bytes):  0-31 high bits of codes | 32-95 low 2 bits of codes
                        | 96-107 group scales | 108-109 d f16
    Bit k of high byte i belongs to weight 32 · k + i. Group scales are −32…31, stored + 32: low 4
    bits in bytes 96-103 (groups 0-7 low nibble, 8-15 high), high 2 bits in bytes 104-107 (group g
    in byte 104 + g mod 4 at bits 2 · (g div 4)).
    """

    name: str = "Q3_K"
    ggml_type: int = 11
    block_bytes: int = 110
    group_size: int = 16

    def parts(self, blocks: U8) -> Parts:
        low = fields(blocks[:, 96:104], 4).reshape(-1, 16)
        high = fields(blocks[:, 104:108], 2).reshape(-1, 16)
        groups = (low | high << np.uint8(4)).view(np.int8) - np.int8(32)
        top = fields(blocks[:, :32], 1).reshape(-1, 256)
        codes = spread(blocks, 32, 96, 2) + (top << np.uint8(2)).view(np.int8) - np.int8(4)
        return Parts(scale=product(read_f16(blocks, 108), groups), codes=codes)

    def pack(self, encoded: EncodedSuperblocks) -> U8:
        groups = encoded.scales + 32
        low = gather((groups & 15).reshape(-1, 2, 8), 4)
        high = gather((groups >> 4).reshape(-1, 4, 4), 2)
        return joined(
            gather(encoded.codes >> 2, 1), gather(encoded.codes & 3, 2), low, high, encoded.d
        )


@dataclass(frozen=True, kw_only=True)
class Q4_K(KQuant):
    """4-bit codes, 8 groups with 6-bit scale and minimum: w = scale · q + minimum, q in 0…15.

    Block (144 bytes):  0-1 d f16 | 2-3 dmin f16 | 4-15 group scales and minimums | 16-143 codes
    Byte i of a quarter's 32 holds the codes of weights i and 32 + i.
    """

    name: str = "Q4_K"
    ggml_type: int = 12
    block_bytes: int = 144
    group_size: int = 32

    def parts(self, blocks: U8) -> Parts:
        scale, minimum = scale_and_minimum(blocks)
        return Parts(scale=scale, minimum=minimum, codes=spread(blocks, 16, 144, 4))

    def pack(self, encoded: EncodedSuperblocks) -> U8:
        return joined(
            encoded.d, encoded.dmin, scale_and_minimum_bytes(encoded), gather(encoded.codes, 4)
        )


@dataclass(frozen=True, kw_only=True)
class Q5_K(KQuant):
    """5-bit codes, 8 groups with 6-bit scale and minimum: w = scale · q + minimum, q in 0…31.

    Block (176 bytes):  0-1 d f16 | 2-3 dmin f16 | 4-15 group scales and minimums
                        | 16-47 fifth bits of codes | 48-175 low 4 bits of codes
    Bit g of fifth-bit byte i belongs to weight 32 · g + i.
    """

    name: str = "Q5_K"
    ggml_type: int = 13
    block_bytes: int = 176
    group_size: int = 32

    def parts(self, blocks: U8) -> Parts:
        scale, minimum = scale_and_minimum(blocks)
        top = fields(blocks[:, 16:48], 1).reshape(-1, 256)
        codes = spread(blocks, 48, 176, 4) + (top << np.uint8(4)).view(np.int8)
        return Parts(scale=scale, minimum=minimum, codes=codes)

    def pack(self, encoded: EncodedSuperblocks) -> U8:
        groups = scale_and_minimum_bytes(encoded)
        fifth, low = gather(encoded.codes >> 4, 1), gather(encoded.codes & 15, 4)
        return joined(encoded.d, encoded.dmin, groups, fifth, low)


@dataclass(frozen=True, kw_only=True)
class Q6_K(KQuant):
    """6-bit codes, 16 groups with 8-bit scale: w = scale · q, q in −32…31, stored as q + 32.

    Block (210 bytes):  0-127 low 4 bits of codes | 128-191 high 2 bits | 192-207 group scales i8
                        | 208-209 d f16
    In a half: low byte i of 64 holds weights i and 64 + i, high byte i of 32 weights i, 32 + i,
    64 + i, 96 + i.
    """

    name: str = "Q6_K"
    ggml_type: int = 14
    block_bytes: int = 210
    group_size: int = 16

    def parts(self, blocks: U8) -> Parts:
        low = fields(blocks[:, :128].reshape(-1, 2, 64), 4).reshape(-1, 256)
        high = fields(blocks[:, 128:192].reshape(-1, 2, 32), 2).reshape(-1, 256)
        codes = (low | high << np.uint8(4)).view(np.int8) - np.int8(32)
        groups = read(blocks, 192, 208, "i1")
        return Parts(scale=product(read_f16(blocks, 208), groups), codes=codes)

    def pack(self, encoded: EncodedSuperblocks) -> U8:
        low = gather(encoded.codes.reshape(-1, 2, 2, 64) & 15, 4)
        high = gather(encoded.codes >> 4, 2)
        return joined(low, high, encoded.scales.astype(np.int8), encoded.d)


def spread(blocks: U8, start: int, stop: int, bits: int) -> NDArray[np.int8]:
    """Return the (n, 256) codes in bytes start … stop − 1; 32 bytes hold 32 · 8 / bits weights."""
    runs = blocks[:, start:stop].reshape(len(blocks), -1, 32)
    return fields(runs, bits).reshape(-1, 256).view(np.int8)


def gather(fields: NDArray[np.int32], bits: int) -> U8:
    """Pack fields of 1, 2 or 4 bits into (n, m) bytes, the inverse of `fields` and `spread`.

    (n, 256) codes are packed in runs of 32 bytes; other shapes are (n, ..., 8 / bits, bytes).
    """
    if fields.ndim == 2:
        fields = fields.reshape(len(fields), -1, 8 // bits, 32)
    shifts = np.arange(0, 8, bits)[:, None]
    total: NDArray[np.int32] = (fields << shifts).sum(axis=-2)
    return total.astype(np.uint8).reshape(len(fields), -1)


def joined(*parts: NDArray[Any]) -> U8:
    """Return the parts of n blocks, (n,) or (n, m) each, as consecutive bytes, (n, bytes)."""
    n = len(parts[0])
    rows = [np.ascontiguousarray(part).reshape(n, -1).view(np.uint8) for part in parts]
    return np.concatenate(rows, axis=1)


def scale_and_minimum_bytes(encoded: EncodedSuperblocks) -> U8:
    """Return the scales and minimums of 8 groups as 12 bytes (see `scale_and_minimum`)."""
    both = np.stack([encoded.scales, encoded.minimums], axis=1)  # (n, 2, 8)
    first, second = both[:, :, :4], both[:, :, 4:]
    last = second[:, 0] & 15 | (second[:, 1] & 15) << 4
    return joined((first | second >> 4 << 6).astype(np.uint8), last.astype(np.uint8))


def scale_and_minimum(blocks: U8) -> tuple[F32, F32]:
    """Return scale and minimum, (n, 8) each, of blocks of Q4_K or Q5_K.

    Of the 12 bytes, the low 6 bits of bytes 0-3 are the scales of groups 0-3, and those of bytes
    4-7 their minimums. Bytes 8-11 hold the low 4 bits of scale (low nibble) and minimum (high
    nibble) of groups 4-7; their high 2 bits are the high bits of bytes 0-3 and 4-7.
    """
    packed = blocks[:, 4:16].reshape(-1, 3, 4)
    first = packed[:, :2] & np.uint8(63)  # (n, 2, 4): scales, minimums
    second = fields(packed[:, 2], 4) | (packed[:, :2] >> np.uint8(6)) << np.uint8(4)
    scales, minimums = np.concatenate([first, second], axis=2).swapaxes(0, 1)
    d, dmin = read_f16(blocks, 0), read_f16(blocks, 2)
    return product(d, scales), negated_product(dmin, minimums)


def product(factor: F32, integers: NDArray[np.integer[Any]]) -> F32:
    """Return the product of (n, 1) and (n, m) in float32; infinity · 0 is NaN."""
    with np.errstate(invalid="ignore"):
        return factor * integers.astype(np.float32)


def negated_product(factor: F32, integers: NDArray[np.integer[Any]]) -> F32:
    """Return the negated product, because ggml subtracts minimums."""
    return -product(factor, integers)


Q3_K_SEARCH = ScaleSearch(
    size=16, scales=(-32, 31), levels=tuple(range(-4, 4)), below=4, above=4, near=1, nudges=(1,)
)
Q6_K_SEARCH = ScaleSearch(
    size=16,
    scales=(-128, 127),
    levels=tuple(range(-32, 32)),
    below=4,
    above=20,
    near=1,
    nudges=(1,),
)
ALTERNATING_NUDGES = ((1.05, 1), (1, 1.05), (1, 1))  # of d and dmin
# (search without importance, search with importance). The weighted error has more local minima, so
# the second search tries more candidates.
SEARCHES: Mapping[str, tuple[ScaleSearch | MinimumSearch, ScaleSearch | MinimumSearch]] = {
    "Q2_K": (
        MinimumSearch(size=16, top=3, max_scale=15, window=(4, 1), nudges=((1, 1),)),
        MinimumSearch(size=16, top=3, max_scale=15, window=(4, 2), nudges=ALTERNATING_NUDGES),
    ),
    "Q3_K": (
        Q3_K_SEARCH,
        replace(
            Q3_K_SEARCH,
            below=3,
            above=3,
            stride=2,
            both_signs=True,
            slacks=(1, 1.36),  # above 4/3: the largest weight on level 3 instead of −4
            near=4,
            nudges=(1, 1.03),
        ),
    ),
    "Q4_K": (
        MinimumSearch(size=32, top=15, max_scale=63, window=(4, 1), nudges=((1.05, 1.05), (1, 1))),
        MinimumSearch(size=32, top=15, max_scale=63, window=(6, 1), nudges=ALTERNATING_NUDGES),
    ),
    "Q5_K": (
        MinimumSearch(size=32, top=31, max_scale=63, window=(4, 1), nudges=((1.05, 1.05), (1, 1))),
        MinimumSearch(size=32, top=31, max_scale=63, window=(6, 1), nudges=ALTERNATING_NUDGES),
    ),
    "Q6_K": (Q6_K_SEARCH, replace(Q6_K_SEARCH, above=16)),
}

KQUANTS = (Q2_K(), Q3_K(), Q4_K(), Q5_K(), Q6_K())
