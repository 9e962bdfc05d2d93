"""Integers of 2 to 8 bits, symmetric and asymmetric: the simplest form of quantization.

Symmetric: code 0 is weight 0, and the largest |weight| gets the largest code.

    scale = max |w| / (2^(bits−1) − 1)          4 bits: codes −7 … 7
    q     = round(w / scale)
    w     ≈ scale · q

Asymmetric: all codes are used, from the smallest to the largest weight. The code of weight 0 is
then not 0 but the zero point.

    scale      = (max w − min w) / (2^bits − 1)        4 bits: codes −8 … 7
    zero_point = round(−2^(bits−1) − min w / scale)
    q          = round(w / scale) + zero_point
    w          ≈ scale · (q − zero_point)

The range always includes 0, so that 0 is stored exactly. Ties round to even.

>>> from zeropoint.formats import find_format
>>> w = np.array([[-0.89, 0.16, 0.08, -0.13, 0.16, -0.54]], np.float32)
>>> symmetric = find_format("INT4_SYM_TENSOR").for_shape(w.shape)
>>> parts = symmetric.parts(symmetric.encode_blocks(w))
>>> print(parts.scale, parts.codes)
[[0.12714286]] [[-7  1  1 -1  1 -4]]
>>> asymmetric = find_format("INT4_ASYM_TENSOR").for_shape(w.shape)
>>> parts = asymmetric.parts(asymmetric.encode_blocks(w))
>>> print(parts.scale, parts.zero_point, parts.codes)
[[0.07]] [[5]] [[-8  7  6  3  7 -3]]
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats.base import F32, U8
from zeropoint.formats.group_formats import ScaledFormat, StoredFields, absmax, divide, no_extra
from zeropoint.formats.parts import Parts


@dataclass(frozen=True, kw_only=True)
class SymmetricIntegers(ScaledFormat):
    """Signed integers: w = scale · q, q in −(2^(bits−1) − 1) … 2^(bits−1) − 1.

    Code −2^(bits−1) is never written; it decodes like any other.
    """

    def fit(self, weights: F32, importance: F32 | None, shrink: F32) -> StoredFields:
        highest = 2 ** (self.bits - 1) - 1
        scale = self.stored_scale(absmax(weights).astype(np.float64) * shrink / highest)
        codes = np.clip(np.rint(divide(weights, scale)), -highest, highest)
        return StoredFields(scale, no_extra(weights), unsigned(codes, self.bits))

    def meaning(self, fields: StoredFields) -> Parts:
        return Parts(codes=signed(fields.codes, self.bits), scale=fields.scale)


@dataclass(frozen=True, kw_only=True)
class AsymmetricIntegers(ScaledFormat):
    """Signed integers: w = scale · (q − zero_point), q in −2^(bits−1) … 2^(bits−1) − 1.

    The zero point is one of the codes and stored in a byte of its own.
    """

    extra_bytes = 1

    def fit(self, weights: F32, importance: F32 | None, shrink: F32) -> StoredFields:
        lowest, highest = -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1
        # In float64: float32 would round the difference, and could overflow.
        smallest = weights.min(axis=1, keepdims=True, initial=0).astype(np.float64) * shrink
        largest = weights.max(axis=1, keepdims=True, initial=0).astype(np.float64) * shrink
        scale = self.stored_scale((largest - smallest) / (highest - lowest))
        zero_point = np.clip(np.rint(lowest - divide(smallest, scale)), lowest, highest)
        codes = np.clip(np.rint(divide(weights, scale)) + zero_point, lowest, highest)
        return StoredFields(scale, unsigned(zero_point, 8), unsigned(codes, self.bits))

    def meaning(self, fields: StoredFields) -> Parts:
        codes, zero_point = signed(fields.codes, self.bits), signed(fields.extra, 8)
        return Parts(codes=codes, scale=fields.scale, zero_point=zero_point)


def unsigned(codes: F32, bits: int) -> U8:
    """Return whole numbers as two's complement with this many bits, the inverse of `signed`."""
    masked: U8 = codes.astype(np.int16).astype(np.uint8) & np.uint8(2**bits - 1)
    return masked


def signed(codes: U8, bits: int) -> NDArray[np.int16]:
    """Return the whole numbers of two's complement codes with this many bits.

    >>> signed(np.array([0, 7, 8, 15], np.uint8), 4).tolist()
    [0, 7, -8, -1]
    """
    half = 2 ** (bits - 1)
    flipped: NDArray[np.int16] = codes.astype(np.int16) ^ np.int16(half)
    return flipped - np.int16(half)
