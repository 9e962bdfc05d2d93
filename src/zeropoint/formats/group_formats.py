"""Base class of the plain formats, which have one scale for a group, a row or a tensor.

    scale  = largest |weight| / largest value        rounded to the stored precision
    value  = weight / scale                          rounded to the nearest value
    weight = scale · value

That is the textbook rule. A format whose name ends in _SEARCH stores the same bytes, but takes the
scale with the lowest Σ importance · (weight − decoded)² from a fixed list around that scale.

Block:  scale f16 (groups) or f32 (rows, tensors) | one more byte in some formats | codes, packed

A scale has 2 bytes for a group, where its size matters, and 4 for a row or a tensor.
"""

from abc import abstractmethod
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import FormatError
from zeropoint.formats.base import F32, U8, Format, check_shape, check_weights
from zeropoint.formats.packing import pack, packed_bytes, unpack
from zeropoint.formats.parts import Parts

# Larger weights are stored as this one, so that no code decodes to infinity.
MAX_WEIGHT = np.float32(2.0**126)

F64 = NDArray[np.float64]


class StoredFields(NamedTuple):
    """Contents of n blocks before they are packed into bytes."""

    #: (n, 1), rounded to the stored precision.
    scale: F32
    #: (n, extra_bytes)
    extra: U8
    #: (n, block_size), each below 2^bits.
    codes: U8


@dataclass(frozen=True, kw_only=True)
class ScaledFormat(Format):
    """Codes of `bits` bits and one scale for each block, which is a group, a row or a tensor.

    A format per row or per tensor has a block only after `for_shape`; before that `block_size` is 0
    and it cannot encode.
    """

    #: Weights that share a scale: "G32" (any number), "ROW" or "TENSOR".
    share: str
    #: Bits of a code.
    bits: int
    #: 2: float16, 4: float32; subclasses store other scales.
    scale_bytes: int
    #: Whether other scales than that of the textbook rule are tried.
    search: bool

    #: Bytes between scale and codes.
    extra_bytes: ClassVar[int] = 0
    #: Factors on the textbook scale that a search tries, down to 0.07.
    shrinks: ClassVar[tuple[float, ...]] = tuple(0.85**k for k in range(17))
    #: Factors around the best of those, which it tries next.
    finer: ClassVar[tuple[float, ...]] = (0.92, 0.96, 1.04, 1.08)

    @abstractmethod
    def fit(self, weights: F32, importance: F32 | None, shrink: F32) -> StoredFields:
        """Return the fields of (n, block_size) weights; (n, 1) `shrink` multiplies their range."""

    @abstractmethod
    def meaning(self, fields: StoredFields) -> Parts:
        """Return the parts that stored fields mean."""

    @property
    def bits_per_weight(self) -> float:
        check_sized(self)
        return 8 * self.block_bytes / self.block_size

    def sized(self, weights: int) -> Self:
        """Return this format with blocks of this many weights."""
        size = self.scale_bytes + self.extra_bytes + packed_bytes(weights, self.bits)
        return replace(self, block_size=weights, block_bytes=size, group_size=weights)

    def for_shape(self, shape: tuple[int, ...]) -> "ScaledFormat":
        if self.share == "ROW":
            return self.sized(shape[-1] if shape else 1)
        if self.share == "TENSOR":
            return self.sized(prod(shape))
        check_shape(self, shape)
        return self

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        check_sized(self)
        check_weights(weights, importance, self.block_size)
        weights = np.clip(weights, -MAX_WEIGHT, MAX_WEIGHT)
        fields = self.fit(weights, importance, self._best_shrink(weights, importance))
        codes = pack(fields.codes, self.bits)
        return np.hstack([self.write_scale(fields.scale), fields.extra, codes])

    def decode_blocks(self, blocks: U8) -> F32:
        return self.parts(blocks).weights()

    def parts(self, blocks: U8) -> Parts:
        check_sized(self)
        ends = np.cumsum([self.scale_bytes, self.extra_bytes])
        scale, extra, stream = np.split(blocks, ends, axis=1)
        codes = unpack(stream, self.block_size, self.bits)
        return self.meaning(StoredFields(self.read_scale(scale), extra, codes))

    def stored_scale(self, scale: F64) -> F32:
        """Round (n, 1) scales to the stored precision."""
        return round_scale(scale, np.dtype(f"f{self.scale_bytes}"))

    def write_scale(self, scale: F32) -> U8:
        """Return (n, 1) rounded scales as (n, scale_bytes) bytes."""
        return scale.astype(f"<f{self.scale_bytes}").view(np.uint8)

    def read_scale(self, stored: U8) -> F32:
        """Return the (n, 1) float32 scales of (n, scale_bytes) bytes."""
        return stored.copy().view(f"<f{self.scale_bytes}").astype(np.float32)

    def _best_shrink(self, weights: F32, importance: F32 | None) -> F32:
        best = np.ones((len(weights), 1), np.float32)
        if not self.search:
            return best
        lowest = self._error(weights, importance, best)
        for factors in (self.shrinks, self.finer):
            centre = best if factors is self.finer else np.ones_like(best)
            for factor in factors:
                shrink = centre * np.float32(factor)
                error = self._error(weights, importance, shrink)
                best = np.where((error < lowest)[:, None], shrink, best)
                lowest = np.minimum(error, lowest)
        return best

    def _error(self, weights: F32, importance: F32 | None, shrink: F32) -> F64:
        """Return Σ importance · (weight − decoded)² of each block, (n,)."""
        decoded = self.meaning(self.fit(weights, importance, shrink)).weights()
        terms = (weights - decoded).astype(np.float64) ** 2
        return halving_sum(terms if importance is None else terms * importance)


def check_sized(format: Format) -> None:
    """Raise FormatError for a format per row or tensor before `for_shape`."""
    if not format.block_size:
        raise FormatError(f"{format.name} needs the shape of a tensor first: use for_shape(shape)")


def no_extra(weights: F32) -> U8:
    """Return the extra bytes of a format without any, (n, 0)."""
    return np.empty((len(weights), 0), np.uint8)


def absmax(weights: F32) -> F32:
    """Return the largest |weight| of each block, (n, m) to (n, 1)."""
    largest: F32 = np.abs(weights).max(axis=1, keepdims=True, initial=0)
    return largest


def divide(weights: F32, scale: F32) -> F32:
    """Divide (n, m) weights by (n, 1) scales; where a scale is 0, the result is 0."""
    ratio: F32 = np.divide(weights, scale, out=np.zeros_like(weights), where=scale > 0)
    return ratio


def round_scale(scale: F64, stored: np.dtype[np.floating]) -> F32:
    """Round scales ≥ 0 to a stored type; a positive scale stays positive and finite.

    >>> round_scale(np.array([0.1, 1e-12, 1e9]), np.dtype("f2")).tolist()
    [0.0999755859375, 5.960464477539063e-08, 65504.0]
    """
    limits = np.finfo(stored)
    rounded = np.minimum(scale, limits.max).astype(stored).astype(np.float32)
    return np.where(scale > 0, np.maximum(rounded, limits.smallest_subnormal), 0).astype(np.float32)


def halving_sum(terms: F64) -> F64:
    """Return the sums of (n, m) over the last axis, adding the second half to the first: (n,).

    The fixed order gives the same bits on every machine.
    """
    while terms.shape[1] > 1:
        half = -(-terms.shape[1] // 2)
        rest = terms.shape[1] - half
        terms = np.hstack([terms[:, :rest] + terms[:, half:], terms[:, rest:half]])
    return terms[:, 0]
