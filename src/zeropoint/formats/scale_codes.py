"""The scales and minimums of a block as codes: where their bits are, and what each code means.

A code has a *factor*: the scale of its weights (or the minimum) is proportional to it while all
other codes stay. For a float16 it is the number itself, for a group scale the integer that `d` is
multiplied with. So a scale can be refitted by a ratio: the code whose factor is nearest to ratio ·
factor.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats.base import F32, U8, Format
from zeropoint.formats.nonlinear import HALF_UE4M3

Integers = NDArray[np.int32]


class Bits(NamedTuple):
    """Bits of a code: `width` bits of a byte, from bit `shift` on. A code's lowest come first."""

    byte: int
    shift: int
    width: int


@dataclass(frozen=True)
class ScaleCodes:
    """The codes of one kind in a block: each is for `columns` consecutive weights."""

    #: Weights that one code belongs to.
    columns: int
    #: Whether it scales the minimum of its weights instead of their scale.
    minimum: bool
    #: Where each code of a block is.
    places: tuple[tuple[Bits, ...], ...]
    #: The factor of each code, NaN for one that is not used.
    factors: F32

    def load(self, blocks: U8) -> Integers:
        """Return the codes of (n, block_bytes) blocks: (n, codes per block)."""
        codes = np.zeros((len(blocks), len(self.places)), np.int32)
        for unit, pieces in enumerate(self.places):
            position = 0
            for byte, shift, width in pieces:
                piece = blocks[:, byte].astype(np.int32) >> shift & (1 << width) - 1
                codes[:, unit] |= piece << position
                position += width
        return codes

    def store(self, blocks: U8, codes: Integers) -> U8:
        """Return blocks with other codes; every other bit stays."""
        stored = blocks.copy()
        for unit, pieces in enumerate(self.places):
            position = 0
            for byte, shift, width in pieces:
                mask = (1 << width) - 1
                piece = (codes[:, unit] >> position & mask) << shift
                stored[:, byte] = stored[:, byte] & ~np.uint8(mask << shift) | piece.astype(
                    np.uint8
                )
                position += width
        return stored

    def nearest(self, factors: NDArray[np.floating[Any]]) -> Integers:
        """Return the codes with the nearest factors; of two as near ones, the smaller factor."""
        codes, middles = self.ascending
        return codes[np.searchsorted(middles, factors)]

    def load_factors(self, blocks: U8) -> F32:
        """Return the factors of (n, block_bytes) blocks: (n, codes per block) float32."""
        return self.factors[self.load(blocks)]

    def project(self, factors: F32) -> F32:
        """Return the nearest factors that can be stored, of any shape."""
        return self.factors[self.nearest(factors)]

    def store_factors(self, blocks: U8, factors: F32) -> U8:
        """Return blocks with other factors (n, codes per block), which must be storable.

        A code whose factor stays keeps its bits, also where several codes have the same factor.
        """
        codes = self.load(blocks)
        stays = self.factors[codes] == factors
        return self.store(blocks, np.where(stays, codes, self.nearest(factors)))

    @cached_property
    def ascending(self) -> tuple[Integers, F32]:
        """The usable codes by their factors, and the middles between these."""
        codes = np.argsort(self.factors, kind="stable")[: np.isfinite(self.factors).sum()]
        ascending = self.factors[codes]
        middles = ascending[:-1] + (ascending[1:] - ascending[:-1]) / np.float32(2)
        return codes.astype(np.int32), middles.astype(np.float32)


def scale_codes(format: Format) -> tuple[ScaleCodes, ...]:
    """Return the scales and minimums of a format, the finest first; none if they are unknown."""
    return _scale_codes(format.name)


@cache
def _half_factors() -> F32:
    """Return the number that each 16-bit pattern means as a float16; NaN for infinities."""
    numbers = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    return np.where(np.isfinite(numbers), numbers, np.float32(np.nan))


def _half(byte: int, columns: int, *, minimum: bool = False) -> ScaleCodes:
    place = (Bits(byte, 0, 8), Bits(byte + 1, 0, 8))
    return ScaleCodes(columns, minimum, (place,), _half_factors())


def _integers(
    columns: int,
    places: Sequence[Sequence[Bits]],
    low: float,
    *,
    step: int = 1,
    minimum: bool = False,
) -> ScaleCodes:
    """Return codes with the factors low, low + step, …."""
    bits = sum(piece.width for piece in places[0])
    factors = low + step * np.arange(1 << bits, dtype=np.float32)
    return ScaleCodes(columns, minimum, tuple(map(tuple, places)), factors.astype(np.float32))


def _nibbles(start: int, groups: int) -> list[list[Bits]]:
    """Return the places of consecutive nibbles, the low one of a byte first."""
    return [[Bits(start + group // 2, 4 * (group % 2), 4)] for group in range(groups)]


def _q4_k(*, minimum: bool) -> ScaleCodes:
    """The 6-bit scales or minimums of Q4_K and Q5_K: see `kquants.scale_and_minimum`."""
    first = 8 if minimum else 4
    places = [[Bits(first + group, 0, 6)] for group in range(4)]
    for group in range(4):
        low = Bits(12 + group, 4 if minimum else 0, 4)
        places.append([low, Bits(first + group, 6, 2)])
    return _integers(32, places, 0, minimum=minimum)


def _iq1_m() -> tuple[ScaleCodes, ScaleCodes]:
    """Four groups have 3 bits each in the low 12 bits of a word; its top bits are a part of `d`."""
    places = []
    for group in range(16):
        first = 48 * 8 + group // 4 * 16 + group % 4 * 3
        places.append([Bits(bit // 8, bit % 8, 1) for bit in range(first, first + 3)])
    unit = tuple(Bits(byte, 4, 4) for byte in (49, 51, 53, 55))
    return _integers(16, places, 1, step=2), ScaleCodes(256, False, (unit,), _half_factors())


@cache
def _scale_codes(name: str) -> tuple[ScaleCodes, ...]:
    if name in ("Q4_0", "Q5_0", "Q8_0", "IQ4_NL"):
        return (_half(0, 32),)
    if name in ("Q4_1", "Q5_1"):
        return _half(0, 32), _half(2, 32, minimum=True)
    if name in ("Q4_K", "Q5_K"):
        groups = _q4_k(minimum=False), _q4_k(minimum=True)
        return *groups, _half(0, 256), _half(2, 256, minimum=True)
    if name == "IQ1_M":
        return _iq1_m()
    return _OTHERS[name]() if name in _OTHERS else ()


def _q2_k() -> tuple[ScaleCodes, ...]:
    scales = [[Bits(group, 0, 4)] for group in range(16)]
    minimums = [[Bits(group, 4, 4)] for group in range(16)]
    groups = _integers(16, scales, 0), _integers(16, minimums, 0, minimum=True)
    return *groups, _half(80, 256), _half(82, 256, minimum=True)


def _q3_k() -> tuple[ScaleCodes, ...]:
    places = [
        [Bits(96 + group % 8, group // 8 * 4, 4), Bits(104 + group % 4, group // 4 * 2, 2)]
        for group in range(16)
    ]
    return _integers(16, places, -32), _half(108, 256)


def _q6_k() -> tuple[ScaleCodes, ...]:
    factors = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.float32)
    places = tuple((Bits(192 + group, 0, 8),) for group in range(16))
    return ScaleCodes(16, False, places, factors), _half(208, 256)


def _iq4_xs() -> tuple[ScaleCodes, ...]:
    places = [
        [Bits(4 + group // 2, group % 2 * 4, 4), Bits(2 + group // 4, group % 4 * 2, 2)]
        for group in range(8)
    ]
    return _integers(32, places, -32), _half(0, 256)


def _nvfp4() -> tuple[ScaleCodes, ...]:
    places = tuple((Bits(group, 0, 8),) for group in range(4))
    used = np.arange(256) < 127  # the others repeat these
    return (ScaleCodes(16, False, places, np.where(used, HALF_UE4M3, np.float32(np.nan))),)


def _mxfp4() -> tuple[ScaleCodes, ...]:
    codes = np.arange(256)
    powers = np.ldexp(np.float32(1), codes - 128)
    # As in the encoder, no exponent with which a code decodes to infinity.
    return (ScaleCodes(32, False, ((Bits(0, 0, 8),),), np.where(codes <= 252, powers, np.nan)),)


def _iq1_s() -> tuple[ScaleCodes, ...]:
    places = [[Bits(35 + 2 * group, 4, 3)] for group in range(8)]
    return _integers(32, places, 1, step=2), _half(0, 256)


_OTHERS: Mapping[str, Callable[[], tuple[ScaleCodes, ...]]] = {
    "Q2_K": _q2_k,
    "Q3_K": _q3_k,
    "Q6_K": _q6_k,
    "IQ4_XS": _iq4_xs,
    "NVFP4": _nvfp4,
    "MXFP4": _mxfp4,
    "Q2_0": lambda: (_half(0, 64),),
    "TQ1_0": lambda: (_half(52, 256),),
    "TQ2_0": lambda: (_half(64, 256),),
    "IQ2_XXS": lambda: (
        _integers(32, [[Bits(9 + 8 * group, 4, 4)] for group in range(8)], 0.5),
        _half(0, 256),
    ),
    "IQ2_XS": lambda: (_integers(16, _nibbles(66, 16), 0.5), _half(0, 256)),
    "IQ2_S": lambda: (_integers(16, _nibbles(74, 16), 0.5), _half(0, 256)),
    "IQ3_XXS": lambda: (
        _integers(32, [[Bits(69 + 4 * group, 4, 4)] for group in range(8)], 0.5),
        _half(0, 256),
    ),
    "IQ3_S": lambda: (_integers(32, _nibbles(106, 8), 1, step=2), _half(0, 256)),
    "IQ1_S": _iq1_s,
}
