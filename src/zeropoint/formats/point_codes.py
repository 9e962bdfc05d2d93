"""Other points into blocks of the IQ formats whose scales stay: what error feedback needs.

A code of IQ1 to IQ3 names a point of a grid for 4 or 8 weights at once, and signs are stored apart.
`point_set` says which points and signs a format has; `PointSet.load` and `PointSet.store` read and
write them, and leave every other bit of a block as it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats.base import F32, U8, Format
from zeropoint.formats.iquants import IQ1_SHIFT, grid, nibble_pairs
from zeropoint.formats.storage import fields, read

SIGNED_WEIGHTS = 8  # whose signs are stored together

Integers = NDArray[np.int32]
#: Points (n, 256 / size), and for 8 weights each (n, 32) signs, whose bit k is set where weight k
#: is negative.
PointCodes = tuple[NDArray[Any], NDArray[Any]]
#: Which signs 8 weights can have: those of the points, any, or an even number of minus signs.
Signs = Literal["fixed", "free", "even"]


@dataclass(frozen=True)
class PointSet:
    """The points that `size` weights of a format can have: weight = scale · sign · level + minimum.

    With signs, all levels are positive.
    """

    #: (V,) ascending.
    levels: F32
    #: (P, size) the level of each weight, as an index into `levels`.
    points: U8
    signs: Signs
    _load: Callable[[U8], PointCodes]
    _store: Callable[[U8, Integers, Integers], None]
    _shift: Callable[[U8], F32] | None = None

    @property
    def size(self) -> int:
        """Weights per point: 4 or 8."""
        return int(self.points.shape[1])

    def load(self, blocks: U8) -> PointCodes:
        """Return the points and signs of (n, block_bytes) blocks."""
        points, signs = self._load(blocks)
        return points.astype(np.int32), signs.astype(np.int32)

    def store(self, blocks: U8, points: Integers, signs: Integers) -> U8:
        """Return blocks that have other points and signs, and their scales."""
        stored = blocks.copy()
        self._store(stored, points, signs)
        return stored

    def minimum(self, blocks: U8, scale: F32) -> F32 | None:
        """Return the weight of level 0 in each group, (n, groups) as `scale`; None: it is 0."""
        return None if self._shift is None else scale * self._shift(blocks)


def has_points(format: Format) -> bool:
    """Return whether `point_set` supports the format."""
    return format.name in _LAYOUTS


def point_set(format: Format) -> PointSet:
    """Return the points of a format; KeyError for a format that has none."""
    return _point_set(format.name)


@cache
def _point_set(name: str) -> PointSet:
    layout = _LAYOUTS[name]
    values = grid(layout.grid).astype(np.float32)
    if name == "IQ1_M":  # bit 11 of a code selects the shift of its 8 weights
        values = np.concatenate([values + IQ1_SHIFT, values - IQ1_SHIFT])
    levels, index = np.unique(values, return_inverse=True)
    points = index.reshape(values.shape).astype(np.uint8)
    return PointSet(levels, points, layout.signs, layout.load, layout.store, layout.shift)


def _even(codes: NDArray[np.unsignedinteger]) -> Integers:
    """Return the 8 signs of 7-bit codes: the highest makes their number even."""
    low = codes.astype(np.int32)
    parity = low ^ low >> 4
    parity ^= parity >> 2
    return low | ((parity ^ parity >> 1) & 1) << 7


def _seven_bits(words: NDArray[np.uint32]) -> Integers:
    """Return the signs of (n, 8) words that hold four 7-bit codes each: (n, 32)."""
    codes = words[:, :, None] >> np.arange(0, 28, 7, dtype=np.uint32) & np.uint32(127)
    return _even(codes).reshape(-1, 32)


def _with_seven_bits(words: NDArray[np.uint32], signs: Integers) -> U8:
    """Return (n, 8) words with other signs, as (n, 32) bytes; their bits 28 to 31 stay."""
    codes = (signs & 127).astype(np.uint32).reshape(-1, 8, 4) << np.arange(
        0, 28, 7, dtype=np.uint32
    )
    kept = words & np.uint32(15 << 28)
    return np.ascontiguousarray(kept | np.bitwise_or.reduce(codes, axis=2)).view(np.uint8)


def _load_iq2_xxs(blocks: U8) -> PointCodes:
    groups = blocks[:, 2:].reshape(-1, 8, 8)
    return groups[:, :, :4].reshape(-1, 32), _seven_bits(read(blocks, 2, 66, "<u4")[:, 1::2])


def _store_iq2_xxs(blocks: U8, points: Integers, signs: Integers) -> None:
    words = _with_seven_bits(read(blocks, 2, 66, "<u4")[:, 1::2], signs).reshape(-1, 8, 4)
    codes = points.astype(np.uint8).reshape(-1, 8, 4)
    blocks[:, 2:] = np.concatenate([codes, words], axis=2).reshape(-1, 64)


def _load_iq2_xs(blocks: U8) -> PointCodes:
    words = read(blocks, 2, 66, "<u2")
    return words & np.uint16(511), _even(words >> np.uint16(9))


def _store_iq2_xs(blocks: U8, points: Integers, signs: Integers) -> None:
    blocks[:, 2:66] = (points | (signs & 127) << 9).astype("<u2").view(np.uint8)


def _load_iq2_s(blocks: U8) -> PointCodes:
    high = _consecutive(blocks[:, 66:74], 2)
    return blocks[:, 2:34] | high << 8, blocks[:, 34:66].astype(np.int32)


def _store_iq2_s(blocks: U8, points: Integers, signs: Integers) -> None:
    blocks[:, 2:34] = points & 255
    blocks[:, 34:66] = signs
    blocks[:, 66:74] = _packed(points >> 8, 2)


def _load_iq3_xxs(blocks: U8) -> PointCodes:
    return blocks[:, 2:66].astype(np.int32), _seven_bits(read(blocks, 66, 98, "<u4"))


def _store_iq3_xxs(blocks: U8, points: Integers, signs: Integers) -> None:
    blocks[:, 2:66] = points
    blocks[:, 66:98] = _with_seven_bits(read(blocks, 66, 98, "<u4"), signs)


def _load_iq3_s(blocks: U8) -> PointCodes:
    ninth = _consecutive(blocks[:, 66:74], 1)
    return blocks[:, 2:66] | ninth << 8, blocks[:, 74:106].astype(np.int32)


def _store_iq3_s(blocks: U8, points: Integers, signs: Integers) -> None:
    blocks[:, 2:66] = points & 255
    blocks[:, 66:74] = _packed(points >> 8, 1)
    blocks[:, 74:106] = signs


def _load_iq1_s(blocks: U8) -> PointCodes:
    words = read(blocks, 34, 50, "<u2").astype(np.int32)
    high = words[:, :, None] >> np.arange(0, 12, 3) & 7
    return blocks[:, 2:34] | high.reshape(-1, 32) << 8, np.zeros((len(blocks), 32), np.int32)


def _store_iq1_s(blocks: U8, points: Integers, signs: Integers) -> None:
    high = np.bitwise_or.reduce((points >> 8).reshape(-1, 8, 4) << np.arange(0, 12, 3), axis=2)
    kept = read(blocks, 34, 50, "<u2") & np.uint16(15 << 12)
    blocks[:, 2:34] = points & 255
    blocks[:, 34:50] = np.ascontiguousarray(kept | high.astype("<u2")).view(np.uint8)


def _shift_iq1_s(blocks: U8) -> F32:
    negative = read(blocks, 34, 50, "<u2") >> np.uint16(15)
    return np.where(negative, -IQ1_SHIFT, IQ1_SHIFT)


def _load_iq1_m(blocks: U8) -> PointCodes:
    high = nibble_pairs(blocks[:, 32:48]).astype(np.int32)
    return blocks[:, :32] | high << 8, np.zeros((len(blocks), 32), np.int32)


def _store_iq1_m(blocks: U8, points: Integers, signs: Integers) -> None:
    blocks[:, :32] = points & 255
    blocks[:, 32:48] = _packed(points >> 8, 4)


def _consecutive(data: U8, bits: int) -> Integers:
    """Return fields of consecutive points, lowest bits first: (n, m) bytes to (n, m · 8 / bits)."""
    return fields(data, bits).swapaxes(1, 2).reshape(len(data), -1).astype(np.int32)


def _packed(values: Integers, bits: int) -> U8:
    """Pack (n, m) fields, the inverse of `_consecutive`."""
    per_byte = 8 // bits
    shifted = values.reshape(len(values), -1, per_byte) << np.arange(0, 8, bits)
    packed: U8 = np.bitwise_or.reduce(shifted, axis=2).astype(np.uint8)
    return packed


@dataclass(frozen=True)
class _Layout:
    """Where a format stores points and signs."""

    grid: str
    signs: Signs
    load: Callable[[U8], PointCodes]
    store: Callable[[U8, Integers, Integers], None]
    #: What the format adds to all levels of a group; None: nothing that the group's bits say.
    shift: Callable[[U8], F32] | None = None


_LAYOUTS: Mapping[str, _Layout] = {
    "IQ2_XXS": _Layout("IQ2_XXS", "even", _load_iq2_xxs, _store_iq2_xxs),
    "IQ2_XS": _Layout("IQ2_XS", "even", _load_iq2_xs, _store_iq2_xs),
    "IQ2_S": _Layout("IQ2_S", "free", _load_iq2_s, _store_iq2_s),
    "IQ3_XXS": _Layout("IQ3_XXS", "even", _load_iq3_xxs, _store_iq3_xxs),
    "IQ3_S": _Layout("IQ3_S", "free", _load_iq3_s, _store_iq3_s),
    "IQ1_S": _Layout("IQ1_S", "fixed", _load_iq1_s, _store_iq1_s, _shift_iq1_s),
    "IQ1_M": _Layout("IQ1_S", "fixed", _load_iq1_m, _store_iq1_m),
}
