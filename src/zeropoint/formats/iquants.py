"""The IQ formats of 1 to 3 bits: one code selects the levels of 4 or 8 weights from a grid.

256 weights share a float16 `d`, groups of 16 or 32 share a small integer s, and

    w = scale · level · sign,   scale = d · (½ + s) · c     (IQ2: c = ¼, IQ3_XXS: c = ½)
                                scale = d · (1 + 2 s)       (IQ1, IQ3_S)

All products are exact in float32. grids.py has the grids and signs.
"""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats.base import F32, U8, check_weights
from zeropoint.formats.encoders.grid_search import EncodedGridBlocks, GridSearch
from zeropoint.formats.encoders.shifted_grid import EncodedShiftedBlocks, ShiftedGridSearch
from zeropoint.formats.grids import GRIDS, even_signs
from zeropoint.formats.kquants import gather, joined, product
from zeropoint.formats.parts import Parts
from zeropoint.formats.storage import StorageFormat, fields, read, read_f16

Codes = NDArray[np.int8]
Integers = NDArray[np.unsignedinteger[Any]]
Scales = NDArray[np.int32]

IQ1_SHIFT = np.float32(0.125)  # IQ1 adds it to all levels of a point, or subtracts it
IQ1_S_SEARCH = ShiftedGridSearch(size=32, separate_shifts=False)
IQ1_M_SEARCH = ShiftedGridSearch(size=16, separate_shifts=True)
IQ2_XXS_SEARCH = GridSearch(grid="IQ2_XXS", size=32, unit=0.125, even_signs=True)
IQ2_XS_SEARCH = GridSearch(grid="IQ2_XS", size=16, unit=0.125, even_signs=True)
IQ2_S_SEARCH = GridSearch(grid="IQ2_S", size=16, unit=0.125, even_signs=False)
IQ3_XXS_SEARCH = GridSearch(grid="IQ3_XXS", size=32, unit=0.25, even_signs=True)
IQ3_S_SEARCH = GridSearch(grid="IQ3_S", size=32, unit=1.0, even_signs=False)


@cache
def grid(name: str) -> Codes:
    """Return the points of a grid in the order of their codes, (points, size)."""
    return np.array(GRIDS[name].points(), np.int8)


@cache
def sign_table() -> Codes:
    """Return the 8 signs, 1 or −1, of each 7-bit code: (128, 8)."""
    return signs_of_bits(np.array([even_signs(code) for code in range(128)], np.uint8))


def signs_of_bits(data: U8) -> Codes:
    """Return −1 for each set bit and 1 for the others, lowest bit first: (..., 8)."""
    bits = (data[..., None] >> np.arange(8, dtype=np.uint8)) & np.uint8(1)
    return np.int8(1) - np.int8(2) * bits.view(np.int8)


def signs_of_bits7(words: NDArray[np.uint32]) -> Codes:
    """Return the signs of words whose low 28 bits are four 7-bit sign codes: (..., 32)."""
    codes = (words[..., None] >> np.arange(0, 28, 7, dtype=np.uint32)) & np.uint32(127)
    signs: Codes = sign_table()[codes]
    return signs.reshape(*words.shape, 32)


@dataclass(frozen=True, kw_only=True)
class IQuant(StorageFormat):
    """Blocks of 256 weights, which a search encodes."""

    block_size: int = 256

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        check_weights(weights, importance, self.block_size)
        if not len(weights):
            return np.empty((0, self.block_bytes), np.uint8)
        return self.search_blocks(weights, importance)

    @abstractmethod
    def search_blocks(self, weights: F32, importance: F32 | None) -> U8:
        """Encode (n, 256) valid weights, n > 0, into (n, block_bytes) bytes."""


@dataclass(frozen=True, kw_only=True)
class SearchedIQuant(IQuant):
    """An IQ format with an encoder."""

    #: The search that the encoder runs.
    search: GridSearch

    @abstractmethod
    def pack(self, encoded: EncodedGridBlocks) -> U8:
        """Return the bytes of n blocks with these contents, the inverse of `parts`."""

    def search_blocks(self, weights: F32, importance: F32 | None) -> U8:
        return self.pack(self.search(weights, importance))


@dataclass(frozen=True, kw_only=True)
class IQ2_XXS(SearchedIQuant):
    """Groups of 32: four grid codes of 8 bits, four sign codes of 7, a scale of 4.

    Block (66 bytes):  0-1 d f16 | then for each group:  0-3 grid codes | 4-7 bits 0-27 signs,
                       28-31 s
    """

    name: str = "IQ2_XXS"
    ggml_type: int = 16
    block_bytes: int = 66
    group_size: int = 32
    search: GridSearch = IQ2_XXS_SEARCH

    def parts(self, blocks: U8) -> Parts:
        groups = blocks[:, 2:].reshape(-1, 8, 8)
        words = read(blocks, 2, 66, "<u4")[:, 1::2]
        points = grid("IQ2_XXS")[groups[:, :, :4]].reshape(-1, 256)
        scale = half_scale(read_f16(blocks, 0), words >> np.uint32(28), 0.25)
        return Parts(scale=scale, codes=points * signs_of_bits7(words).reshape(-1, 256))

    def pack(self, encoded: EncodedGridBlocks) -> U8:
        points = joined(encoded.codes.astype(np.uint8)).reshape(-1, 8, 4)
        words = signs_and_scales(encoded).view(np.uint8).reshape(-1, 8, 4)
        return joined(encoded.d, np.concatenate([points, words], axis=2))


@dataclass(frozen=True, kw_only=True)
class IQ2_XS(SearchedIQuant):
    """Groups of 16: two codes of 9 bits for the grid and 7 for the signs, and a scale of 4 bits.

    Block (74 bytes):  0-1 d f16 | 2-65 u16: bits 0-8 grid code, 9-15 sign code | 66-73 s, low
                       nibble first
    """

    name: str = "IQ2_XS"
    ggml_type: int = 17
    block_bytes: int = 74
    group_size: int = 16
    search: GridSearch = IQ2_XS_SEARCH

    def parts(self, blocks: U8) -> Parts:
        words = read(blocks, 2, 66, "<u2")
        codes = grid("IQ2_XS")[words & np.uint16(511)] * sign_table()[words >> np.uint16(9)]
        scale = half_scale(read_f16(blocks, 0), nibble_pairs(blocks[:, 66:]), 0.25)
        return Parts(scale=scale, codes=codes.reshape(-1, 256))

    def pack(self, encoded: EncodedGridBlocks) -> U8:
        words = (encoded.codes | (encoded.signs & 127) << 9).astype("<u2")
        return joined(encoded.d, words, packed_nibbles(encoded.scales))


@dataclass(frozen=True, kw_only=True)
class IQ2_S(SearchedIQuant):
    """Groups of 16: two grid codes of 10 bits, all signs, a scale of 4 bits.

    Block (82 bytes):  0-1 d f16 | 2-33 low 8 bits of grid codes | 34-65 sign bits
                       | 66-73 high 2 bits of grid codes | 74-81 s, low nibble first
    """

    name: str = "IQ2_S"
    ggml_type: int = 22
    block_bytes: int = 82
    group_size: int = 16
    search: GridSearch = IQ2_S_SEARCH

    def parts(self, blocks: U8) -> Parts:
        high = fields(blocks[:, 66:74], 2).swapaxes(1, 2).reshape(-1, 32).astype(np.uint16)
        points = grid("IQ2_S")[blocks[:, 2:34] | high << np.uint16(8)]
        codes = points * signs_of_bits(blocks[:, 34:66])
        scale = half_scale(read_f16(blocks, 0), nibble_pairs(blocks[:, 74:]), 0.25)
        return Parts(scale=scale, codes=codes.reshape(-1, 256))

    def pack(self, encoded: EncodedGridBlocks) -> U8:
        low, signs = encoded.codes.astype(np.uint8), encoded.signs.astype(np.uint8)
        high = gather((encoded.codes >> 8).reshape(-1, 8, 4).swapaxes(1, 2), 2)
        return joined(encoded.d, low, signs, high, packed_nibbles(encoded.scales))


@dataclass(frozen=True, kw_only=True)
class IQ3_XXS(SearchedIQuant):
    """Groups of 32: eight grid codes of 8 bits for 4 weights each, four sign codes, a scale.

    Block (98 bytes):  0-1 d f16 | 2-65 grid codes | 66-97 u32: bits 0-27 signs, 28-31 s
    """

    name: str = "IQ3_XXS"
    ggml_type: int = 18
    block_bytes: int = 98
    group_size: int = 32
    search: GridSearch = IQ3_XXS_SEARCH

    def parts(self, blocks: U8) -> Parts:
        words = read(blocks, 66, 98, "<u4")
        points = grid("IQ3_XXS")[blocks[:, 2:66]].reshape(-1, 256)
        scale = half_scale(read_f16(blocks, 0), words >> np.uint32(28), 0.5)
        return Parts(scale=scale, codes=points * signs_of_bits7(words).reshape(-1, 256))

    def pack(self, encoded: EncodedGridBlocks) -> U8:
        return joined(encoded.d, encoded.codes.astype(np.uint8), signs_and_scales(encoded))


@dataclass(frozen=True, kw_only=True)
class IQ3_S(SearchedIQuant):
    """Groups of 32: eight grid codes of 9 bits for 4 weights each, all signs, a scale of 4 bits.

    Block (110 bytes):  0-1 d f16 | 2-65 low 8 bits of grid codes | 66-73 their ninth bits
                        | 74-105 sign bits | 106-109 s, low nibble first
    """

    name: str = "IQ3_S"
    ggml_type: int = 21
    block_bytes: int = 110
    group_size: int = 32
    search: GridSearch = IQ3_S_SEARCH

    def parts(self, blocks: U8) -> Parts:
        ninth = fields(blocks[:, 66:74], 1).swapaxes(1, 2).reshape(-1, 64).astype(np.uint16)
        points = grid("IQ3_S")[blocks[:, 2:66] | ninth << np.uint16(8)].reshape(-1, 256)
        codes = points * signs_of_bits(blocks[:, 74:106]).reshape(-1, 256)
        scale = odd_scale(read_f16(blocks, 0), nibble_pairs(blocks[:, 106:]))
        return Parts(scale=scale, codes=codes)

    def pack(self, encoded: EncodedGridBlocks) -> U8:
        low, signs = encoded.codes.astype(np.uint8), encoded.signs.astype(np.uint8)
        ninth = gather((encoded.codes >> 8).reshape(-1, 8, 8).swapaxes(1, 2), 1)
        return joined(encoded.d, low, ninth, signs, packed_nibbles(encoded.scales))


@dataclass(frozen=True, kw_only=True)
class ShiftedIQuant(IQuant):
    """A format whose points are shifted up or down."""

    #: The search that the encoder runs.
    search: ShiftedGridSearch

    @abstractmethod
    def pack(self, encoded: EncodedShiftedBlocks) -> U8:
        """Return the bytes of n blocks with these contents, the inverse of `parts`."""

    def search_blocks(self, weights: F32, importance: F32 | None) -> U8:
        return self.pack(self.search(weights, importance))


@dataclass(frozen=True, kw_only=True)
class IQ1_S(ShiftedIQuant):
    """Groups of 32: four grid codes of 11 bits, a scale of 3 bits, one shift.

    w = scale · (level + shift), levels −1, 0, 1, shift ±⅛.

    Block (50 bytes):  0-1 d f16 | 2-33 low 8 bits of grid codes | 34-49 u16: bits 0-11 high 3 bits
                       of four grid codes, 12-14 s, 15 shift is negative
    """

    name: str = "IQ1_S"
    ggml_type: int = 19
    block_bytes: int = 50
    group_size: int = 32
    search: ShiftedGridSearch = IQ1_S_SEARCH

    def parts(self, blocks: U8) -> Parts:
        words = read(blocks, 34, 50, "<u2")  # (n, 8)
        high = (words[:, :, None] >> np.arange(0, 12, 3, dtype=np.uint16)) & np.uint16(7)
        codes = grid("IQ1_S")[blocks[:, 2:34] | high.reshape(-1, 32) << np.uint16(8)]
        shift = np.where(words >> np.uint16(15), -IQ1_SHIFT, IQ1_SHIFT)  # (n, 8)
        values = codes.reshape(-1, 8, 32).astype(np.float32) + shift[:, :, None]
        scale = odd_scale(read_f16(blocks, 0), words >> np.uint16(12) & np.uint16(7))
        return Parts(scale=scale, codes=codes.reshape(-1, 256), values=values.reshape(-1, 256))

    def pack(self, encoded: EncodedShiftedBlocks) -> U8:
        words = encoded.scales << 12 | encoded.minus[:, ::4] << 15
        for index in range(4):
            words = words | encoded.codes[:, index::4] >> 8 << 3 * index
        return joined(encoded.d, encoded.codes.astype(np.uint8), words.astype("<u2"))


@dataclass(frozen=True, kw_only=True)
class IQ1_M(ShiftedIQuant):
    """Groups of 16: two grid codes of 11 bits, each with a shift, a scale of 3 bits.

    w = scale · (level + shift), levels −1, 0, 1, shift ±⅛.

    Block (56 bytes):  0-31 low 8 bits of grid codes | 32-47 nibbles: 3 high bits of a grid code,
                       bit 3 its shift is negative | 48-55 four u16: bits 0-11 s of four groups,
                       12-15 a nibble of d f16, lowest first
    """

    name: str = "IQ1_M"
    ggml_type: int = 29
    block_bytes: int = 56
    group_size: int = 16
    search: ShiftedGridSearch = IQ1_M_SEARCH

    def parts(self, blocks: U8) -> Parts:
        words = read(blocks, 48, 56, "<u2")  # (n, 4)
        nibble = words >> np.uint16(12) << np.arange(0, 16, 4, dtype=np.uint16)
        d = np.bitwise_or.reduce(nibble, axis=1, keepdims=True).view(np.float16).astype(np.float32)
        s = (words[:, :, None] >> np.arange(0, 12, 3, dtype=np.uint16)) & np.uint16(7)
        high = nibble_pairs(blocks[:, 32:48])  # (n, 32)
        points = grid("IQ1_S")[blocks[:, :32] | (high & np.uint8(7)).astype(np.uint16) << 8]
        shift = np.where(high >> np.uint8(3), -IQ1_SHIFT, IQ1_SHIFT)
        values: F32 = points.astype(np.float32) + shift[:, :, None]
        scale = odd_scale(d, s.reshape(-1, 16))
        return Parts(scale=scale, codes=points.reshape(-1, 256), values=values.reshape(-1, 256))

    def pack(self, encoded: EncodedShiftedBlocks) -> U8:
        high = packed_nibbles(encoded.codes >> 8 | encoded.minus << 3)
        nibble = encoded.d.view(np.uint16)[:, None] >> np.arange(0, 16, 4, dtype=np.uint16)
        words = (nibble & np.uint16(15)).astype(np.int32) << 12
        for index in range(4):
            words = words | encoded.scales[:, index::4] << 3 * index
        return joined(encoded.codes.astype(np.uint8), high, words.astype("<u2"))


def nibble_pairs(data: U8) -> U8:
    """Return the nibbles of (n, m) bytes, the low one of each byte first: (n, 2 · m)."""
    return fields(data, 4).swapaxes(1, 2).reshape(len(data), -1)


def packed_nibbles(scales: Scales) -> U8:
    """Pack (n, m) numbers below 16 into (n, m / 2) bytes, the inverse of `nibble_pairs`."""
    return gather(scales.reshape(len(scales), -1, 2).swapaxes(1, 2), 4)


def signs_and_scales(encoded: EncodedGridBlocks) -> NDArray[np.uint32]:
    """Return words with four sign codes of 7 bits and a scale of 4 bits: (n, 8)."""
    signs = (encoded.signs & 127).astype("<u4").reshape(-1, 8, 4)
    words = np.bitwise_or.reduce(signs << np.arange(0, 28, 7, dtype=np.uint32), axis=2)
    packed: NDArray[np.uint32] = words | encoded.scales.astype("<u4") << np.uint32(28)
    return packed


def half_scale(d: F32, s: Integers, factor: float) -> F32:
    """Return d · (½ + s) · factor: (n, 1) and (n, groups) to (n, groups)."""
    with np.errstate(invalid="ignore"):  # d may be a signalling NaN
        return d * (np.float32(0.5) + s.astype(np.float32)) * np.float32(factor)


def odd_scale(d: F32, s: Integers) -> F32:
    """Return d · (1 + 2 s): (n, 1) and (n, groups) to (n, groups)."""
    return product(d, 2 * s.astype(np.int32) + 1)


IQUANTS = (IQ1_S(), IQ1_M(), IQ2_XXS(), IQ2_XS(), IQ2_S(), IQ3_XXS(), IQ3_S())
