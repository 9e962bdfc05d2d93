"""Formats whose 4-bit codes are indexes into a table of 16 values: w = scale · table[q]."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats.base import F32, U8, check_weights
from zeropoint.formats.encoders.arithmetic import exponent_of, power_of_two
from zeropoint.formats.encoders.fp8_scale import search_byte_scale
from zeropoint.formats.encoders.group_math import make_groups
from zeropoint.formats.encoders.group_scale import ScaleCandidates, search_scale
from zeropoint.formats.encoders.superblock_math import unless_constant
from zeropoint.formats.encoders.superblock_scale import ScaleSearch
from zeropoint.formats.kquants import gather, joined, product
from zeropoint.formats.legacy import as_bytes, nibbles, pack_nibbles
from zeropoint.formats.levels import E2M1DoubledLevels, TableLevels
from zeropoint.formats.parts import Parts
from zeropoint.formats.storage import StorageFormat, fields, read_f16

# ggml's table. It is dense around 0, where most weights are, is not symmetric, and has no 0.
IQ4_VALUES: F32 = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32
)
IQ4_XS_SEARCH = ScaleSearch(
    size=32,
    scales=(-32, 31),
    levels=tuple(int(value) for value in IQ4_VALUES),
    below=4,
    above=8,
    both_signs=True,
    near=4,
    nudges=(1.03, 0.97, 1),
)
# With importance, d is large enough for the largest weight at either end of the table: level −127
# with group scale −32, or level 113 with group scale 31.
IQ4_XS_IMPORTANCE_SEARCH = replace(IQ4_XS_SEARCH, slacks=(127 * 32 / (113 * 31),))
# Twice the values of FP4 E2M1, which are 0, ½, 1, 1½, 2, 3, 4, 6 and their negatives; −0 is 0.
E2M1_DOUBLED: F32 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.float32)


@dataclass(frozen=True, kw_only=True)
class IQ4_NL(StorageFormat):
    """32 weights, one scale: w = scale · IQ4_VALUES[q].

    Block (18 bytes):  0-1 scale f16 | 2-17 nibbles, weights 0-15 in the low halves, 16-31 above
    """

    name: str = "IQ4_NL"
    ggml_type: int = 20
    block_size: int = 32
    block_bytes: int = 18
    group_size: int = 32

    def parts(self, blocks: U8) -> Parts:
        codes = nibbles(blocks, 2)
        return Parts(scale=read_f16(blocks, 0), codes=codes, values=IQ4_VALUES[codes])

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        check_weights(weights, importance, self.block_size)
        levels = TableLevels(IQ4_VALUES)
        scale, level = search_scale(make_groups(weights, importance), levels, IQ4_SCALES)
        return np.hstack([as_bytes(scale), pack_nibbles(levels.codes(level))])


@dataclass(frozen=True, kw_only=True)
class IQ4_XS(StorageFormat):
    """256 weights in 8 groups with 6-bit scales: w = d · group scale · IQ4_VALUES[q].

    Block (136 bytes):  0-1 d f16 | 2-3 high 2 bits of group scales | 4-7 low 4 bits
                        | 8-135 nibbles, each group as in IQ4_NL
    Group scales are −32…31, stored + 32.
    """

    name: str = "IQ4_XS"
    ggml_type: int = 23
    block_size: int = 256
    block_bytes: int = 136
    group_size: int = 32

    def parts(self, blocks: U8) -> Parts:
        low = fields(blocks[:, 4:8], 4).swapaxes(1, 2).reshape(-1, 8)
        high = fields(blocks[:, 2:4], 2).swapaxes(1, 2).reshape(-1, 8)
        groups = (low | high << np.uint8(4)).view(np.int8) - np.int8(32)
        codes = fields(blocks[:, 8:].reshape(-1, 8, 16), 4).reshape(-1, 256).view(np.int8)
        scale = product(read_f16(blocks, 0), groups)
        return Parts(scale=scale, codes=codes, values=IQ4_VALUES[codes])

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        check_weights(weights, importance, 256)
        if not len(weights):
            return np.empty((0, self.block_bytes), np.uint8)
        importance = unless_constant(importance)
        search = IQ4_XS_SEARCH if importance is None else IQ4_XS_IMPORTANCE_SEARCH
        encoded = search(weights, importance)
        groups = encoded.scales + 32
        high = gather((groups >> 4).reshape(-1, 2, 4).swapaxes(1, 2), 2)
        low = gather((groups & 15).reshape(-1, 4, 2).swapaxes(1, 2), 4)
        return joined(encoded.d, high, low, gather(encoded.codes.reshape(-1, 8, 2, 16), 4))


@dataclass(frozen=True, kw_only=True)
class MXFP4(StorageFormat):
    """32 weights of FP4 E2M1, one scale that is a power of two (OCP MX; its order is ggml's).

    Block (17 bytes):  0 exponent e | 1-16 nibbles, weights 0-15 in the low halves, 16-31 above

    w = 2^(e − 128) · E2M1_DOUBLED[q]. Unlike OCP's, e = 255 is a number and not NaN.
    """

    name: str = "MXFP4"
    ggml_type: int = 39
    block_size: int = 32
    block_bytes: int = 17
    group_size: int = 32

    def parts(self, blocks: U8) -> Parts:
        scale = np.ldexp(np.float32(1), blocks[:, :1].astype(np.int32) - 128)
        codes = nibbles(blocks, 1)
        return Parts(scale=scale, codes=codes, values=E2M1_DOUBLED[codes])

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        """Encode with the best of 8 exponents: the smallest without clipping, and smaller ones.

        Exponents above 252 are not used, because a code could then decode to infinity; the largest
        weights are stored as 12 · 2^124.
        """
        check_weights(weights, importance, self.block_size)
        groups = make_groups(weights, importance)
        exponent = groups.exponent + exponent_of(np.abs(groups.peak))
        candidates = []
        for decrease in range(8):
            byte = np.clip(exponent + (125 - decrease), 0, 252)
            scale = power_of_two(byte - 128 - groups.exponent)
            candidates.append((byte.astype(np.uint8), scale))
        levels = E2M1DoubledLevels()
        best, level = search_byte_scale(groups, levels, candidates)
        return np.hstack([best[:, None], pack_nibbles(levels.codes(level))])


@dataclass(frozen=True, kw_only=True)
class NVFP4(StorageFormat):
    """64 weights of FP4 E2M1 in 4 groups, each with a scale in UE4M3, and no scale of the tensor.

    Block (36 bytes):  0-3 group scales UE4M3 | 4-35 nibbles: 8 bytes per group, its weights 0-7 in
                       the low halves, 8-15 above

    w = scale / 2 · E2M1_DOUBLED[q]. UE4M3 has 4 bits of exponent and 3 of mantissa, and its top bit
    is ignored: 2^-9 … 448. Byte 127 means 0, as in ggml.
    """

    name: str = "NVFP4"
    ggml_type: int = 40
    block_size: int = 64
    block_bytes: int = 36
    group_size: int = 16

    def parts(self, blocks: U8) -> Parts:
        codes = fields(blocks[:, 4:].reshape(-1, 4, 8), 4).reshape(-1, 64).view(np.int8)
        return Parts(scale=HALF_UE4M3[blocks[:, :4]], codes=codes, values=E2M1_DOUBLED[codes])

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        """Encode with the best of 25 scales per group: 0, and 24 consecutive ones.

        7 of these are larger than the scale that maps the peak to the end of the grid or just
        beyond it, and 16 are smaller, down to a quarter. Weights above 2688 are stored as 2688.
        """
        check_weights(weights, importance, self.block_size)
        shape = (-1, self.group_size)
        costs = None if importance is None else importance.reshape(shape)
        groups = make_groups(weights.reshape(shape), costs)
        needed = np.abs(groups.peak) * power_of_two(groups.exponent) / np.float32(12)
        middle = np.searchsorted(HALF_UE4M3[:127], needed, side="right") - 1
        candidates = [(np.zeros_like(middle, np.uint8), np.zeros_like(needed))]
        for decrease in range(24):
            byte = np.clip(middle + (7 - decrease), 1, 126).astype(np.uint8)
            candidates.append((byte, HALF_UE4M3[byte] * power_of_two(-groups.exponent)))
        levels = E2M1DoubledLevels()
        byte, level = search_byte_scale(groups, levels, candidates)
        codes = levels.codes(level).reshape(-1, 4, 16)
        packed = codes[:, :, :8] | codes[:, :, 8:] << np.uint8(4)
        return np.hstack([byte.reshape(-1, 4), packed.reshape(-1, 32)])


def half_ue4m3() -> F32:
    """Return half of the UE4M3 value of each byte: (256,)."""
    code = np.arange(256)
    exponent, mantissa = code >> 3 & 15, code & 7
    fraction = np.where(exponent == 0, mantissa / 8, 1 + mantissa / 8)
    value = np.ldexp(fraction, np.maximum(exponent, 1) - 8)
    zero: NDArray[np.bool_] = (code == 0) | (code == 127)
    return np.where(zero, 0, value).astype(np.float32)


HALF_UE4M3 = half_ue4m3()

# Scales that the encoder of IQ4_NL tries.
IQ4_SCALES = ScaleCandidates(
    ends=(-127, 113), first=0.6, ratio=1.072, count=16, tail=2.2, tail_count=3
)

NONLINEAR = (IQ4_NL(), IQ4_XS(), MXFP4(), NVFP4())
