"""Formats with a table of sixteen values: NF4, and FP4 with another value for its second zero.

NF4 (QLoRA, arXiv 2305.14314): the values are quantiles of a normal distribution scaled to −1 … 1,
so that Gaussian weights use all codes about equally often.

FP4 E2M1 has sixteen codes for fifteen values, because code 8 is −0. In these formats code 8 has
another value, in units of the scale (the idea of RaZeR, arXiv 2501.04052):

    FP4_E2M1_M0_2.5_G32     2.5
    FP4_E2M1_M0_PM5_G32     5 or −5, whichever has the lower error in the block. The sign bit of
                            the scale, otherwise unused, stores the choice
    FP4_E2M1_M0_BEST_G32    the value with the lowest error in the block, in one more byte per block
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zeropoint.formats.base import F32, U8
from zeropoint.formats.floats import E2M1
from zeropoint.formats.group_formats import (
    F64,
    ScaledFormat,
    StoredFields,
    absmax,
    divide,
    halving_sum,
    no_extra,
)
from zeropoint.formats.parts import Parts

# Code 7 is 0. From the QLoRA authors' code, bitsandbytes, functional.py (2023), in float32.
NF4_VALUES: F32 = np.array(
    [
        *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
        *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
        *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
        *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
    ],
    np.float32,
)
NF4_MIDDLES: F32 = (NF4_VALUES[1:] + NF4_VALUES[:-1]) / np.float32(2)

SECOND_ZERO = 8  # the code of −0
# Values for M0_BEST: the middles of FP4's wide steps, and values beyond its maximum of 6, which
# represent one outlier when a search takes a smaller scale.
SPECIALS = tuple(
    sign * value for value in (2.5, 3.5, 5.0, 7.0, 8.0, 10.0, 12.0) for sign in (1, -1)
)
SPECIAL_STEP = 1 / 8  # unit of the stored byte, whose range is −16 … 15.875


@dataclass(frozen=True, kw_only=True)
class NormalFloats(ScaledFormat):
    """NF4: w = scale · table[q]. The scale is the largest |w|, and ties go to the lower value."""

    def fit(self, weights: F32, importance: F32 | None, shrink: F32) -> StoredFields:
        scale = self.stored_scale(absmax(weights).astype(np.float64) * shrink)
        codes = np.searchsorted(NF4_MIDDLES, divide(weights, scale))
        return StoredFields(scale, no_extra(weights), codes.astype(np.uint8))

    def meaning(self, fields: StoredFields) -> Parts:
        codes = fields.codes.astype(np.int16)
        return Parts(codes=codes, scale=fields.scale, values=NF4_VALUES[fields.codes])


@dataclass(frozen=True, kw_only=True)
class SecondZero(ScaledFormat):
    """FP4 E2M1 whose code 8 means another value than −0: w = scale · value(q).

    A weight takes code 8 where that is strictly nearer than FP4's own nearest value.
    """

    def fp4_ratio(self, weights: F32, shrink: F32) -> tuple[F32, F32]:
        """Return the stored scale that maps the largest |w| to 6, and weights / scale."""
        scale = self.stored_scale(absmax(weights).astype(np.float64) * shrink / E2M1.max)
        return scale, divide(weights, scale)


@dataclass(frozen=True, kw_only=True)
class FixedSecondZero(SecondZero):
    """FP4 E2M1 whose code 8 means `special`, in units of the scale: w = scale · value(q)."""

    special: float

    def fit(self, weights: F32, importance: F32 | None, shrink: F32) -> StoredFields:
        scale, ratio = self.fp4_ratio(weights, shrink)
        codes = encode_with_special(ratio, np.full_like(scale, self.special))
        return StoredFields(scale, no_extra(weights), codes)

    def meaning(self, fields: StoredFields) -> Parts:
        return special_parts(fields, np.full_like(fields.scale, self.special))


@dataclass(frozen=True, kw_only=True)
class SignedSecondZero(SecondZero):
    """FP4 E2M1 whose code 8 means `special` with the sign of the stored scale: w = |scale| · value.

    The squared error decides the sign, weighted by the importance if there is one; + if equal.
    """

    special: float

    def fit(self, weights: F32, importance: F32 | None, shrink: F32) -> StoredFields:
        scale, ratio = self.fp4_ratio(weights, shrink)
        special = best_special(ratio, importance, (self.special, -self.special))
        codes = encode_with_special(ratio, special)
        return StoredFields(np.copysign(scale, special), no_extra(weights), codes)

    def meaning(self, fields: StoredFields) -> Parts:
        special = np.copysign(np.float32(self.special), fields.scale)
        return special_parts(fields._replace(scale=np.abs(fields.scale)), special)


@dataclass(frozen=True, kw_only=True)
class BestSecondZero(SecondZero):
    """FP4 E2M1 whose code 8 means the best of `SPECIALS` for the block: w = scale · value(q).

    One byte per block stores the value in signed eighths of the scale. The lowest squared error
    decides, weighted by the importance if there is one, and the first of equal ones.
    """

    extra_bytes = 1

    def fit(self, weights: F32, importance: F32 | None, shrink: F32) -> StoredFields:
        scale, ratio = self.fp4_ratio(weights, shrink)
        best = best_special(ratio, importance, SPECIALS)
        extra = (best / SPECIAL_STEP).astype(np.int8).view(np.uint8)
        return StoredFields(scale, extra, encode_with_special(ratio, best))

    def meaning(self, fields: StoredFields) -> Parts:
        eighths = fields.extra.copy().view(np.int8).astype(np.float32)
        return special_parts(fields, eighths * np.float32(SPECIAL_STEP))


def best_special(ratio: F32, importance: F32 | None, specials: Sequence[float]) -> F32:
    """Return the special value that reduces the error of each row of (n, m) ratios most: (n, 1)."""
    plain = squared(ratio - E2M1.table[E2M1.encode(ratio)])
    best_gain = np.full(len(ratio), -1.0)
    best = np.zeros((len(ratio), 1), np.float32)
    for special in specials:
        saved = np.maximum(plain - squared(ratio - np.float32(special)), 0)
        gain = halving_sum(saved if importance is None else saved * importance)
        best = np.where((gain > best_gain)[:, None], np.float32(special), best)
        best_gain = np.maximum(gain, best_gain)
    return best


def encode_with_special(ratio: F32, special: F32) -> U8:
    """Return the FP4 codes of (n, m) ratios, code 8 where `special` (n, 1) is nearer."""
    codes = E2M1.encode(ratio).astype(np.uint8)
    codes[codes == SECOND_ZERO] = (
        0  # a small negative number rounds to −0, whose code has another value
    )
    nearer = np.abs(ratio - special) < np.abs(ratio - E2M1.table[codes])
    return np.where(nearer, np.uint8(SECOND_ZERO), codes)


def special_parts(fields: StoredFields, special: F32) -> Parts:
    """Return the parts of fields in which code 8 means `special` (n, 1)."""
    values = np.where(fields.codes == SECOND_ZERO, special, E2M1.table[fields.codes])
    return Parts(codes=fields.codes.astype(np.int16), scale=fields.scale, values=values)


def squared(difference: F32) -> F64:
    """Return the squares in float64."""
    return difference.astype(np.float64) ** 2
