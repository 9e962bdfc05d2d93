"""What all plain formats share: one scale for a group, a row or a whole tensor.

    scale  = largest |weight| / largest value        rounded to the precision it is stored in
    value  = weight / scale                          rounded to the nearest value there is
    weight = scale · value

That is the textbook rule, and these formats follow it. A name that ends in _SEARCH stores the
same bytes and chooses the scale instead: of a fixed list of smaller and larger ones it takes the
one with the least Σ importance · (weight − decoded)².

Block:  scale f16 (groups) or f32 (rows, tensors) | one more byte in some formats | codes, packed

A scale is 2 bytes for a group, where it costs, and 4 for a row or a tensor, where it does not.
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

# Larger weights are stored as this, so that no code decodes to infinity.
MAX_WEIGHT = np.float32(2.0**126)

F64 = NDArray[np.float64]


class StoredFields(NamedTuple):
    """What n blocks store, before it is packed into bytes."""

    scale: F32  # (n, 1), already rounded to the precision it is stored in
    extra: U8  # (n, extra_bytes)
    codes: U8  # (n, block_size), each below 2^bits


@dataclass(frozen=True, kw_only=True)
class ScaledFormat(Format):
    """Codes of `bits` bits and one scale for each block, which is a group, a row or a tensor.

    A format per row or per tensor has no block until `for_shape` has seen the shape: until then
    `block_size` is 0 and it encodes nothing.
    """

    share: str  # who shares a scale: "G32" (any number), "ROW" or "TENSOR"
    bits: int  # per code
    scale_bytes: int  # 2: float16, 4: float32; subclasses store other scales
    search: bool  # try other scales than the textbook's

    extra_bytes: ClassVar[int] = 0  # between scale and codes
    shrinks: ClassVar[tuple[float, ...]] = tuple(0.85**k for k in range(17))  # down to 0.07
    finer: ClassVar[tuple[float, ...]] = (0.92, 0.96, 1.04, 1.08)  # around the best of those

    @abstractmethod
    def fit(self, weights: F32, importance: F32 | None, shrink: F32) -> StoredFields:
        """Choose what to store for (n, block_size) weights, their range times `shrink` (n, 1)."""

    @abstractmethod
    def meaning(self, fields: StoredFields) -> Parts:
        """Say what stored fields mean."""

    @property
    def bits_per_weight(self) -> float:
        check_sized(self)
        return 8 * self.block_bytes / self.block_size

    def sized(self, weights: int) -> Self:
        """Return this format with blocks of so many weights."""
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
        """Round (n, 1) scales to the precision in which they are stored."""
        return round_scale(scale, np.dtype(f"f{self.scale_bytes}"))

    def write_scale(self, scale: F32) -> U8:
        """Store (n, 1) scales, already rounded, in (n, scale_bytes) bytes."""
        return scale.astype(f"<f{self.scale_bytes}").view(np.uint8)

    def read_scale(self, stored: U8) -> F32:
        """Return the (n, 1) scales of (n, scale_bytes) bytes."""
        return stored.copy().view(f"<f{self.scale_bytes}").astype(np.float32)

    def _best_shrink(self, weights: F32, importance: F32 | None) -> F32:
        best = np.ones((len(weights), 1), np.float32)
        if not self.search:
            return best
        least = self._error(weights, importance, best)
        for factors in (self.shrinks, self.finer):
            centre = best if factors is self.finer else np.ones_like(best)
            for factor in factors:
                shrink = centre * np.float32(factor)
                error = self._error(weights, importance, shrink)
                best = np.where((error < least)[:, None], shrink, best)
                least = np.minimum(error, least)
        return best

    def _error(self, weights: F32, importance: F32 | None, shrink: F32) -> F64:
        """Return Σ importance · (weight − decoded)² of each block: (n,)."""
        decoded = self.meaning(self.fit(weights, importance, shrink)).weights()
        terms = (weights - decoded).astype(np.float64) ** 2
        return halving_sum(terms if importance is None else terms * importance)


def check_sized(format: Format) -> None:
    """Raise FormatError if a format per row or tensor has not been told the shape."""
    if not format.block_size:
        raise FormatError(
            f"{format.name} has no block before it knows a shape: use for_shape(shape)"
        )


def no_extra(weights: F32) -> U8:
    """Return the extra bytes of a format that has none: (n, 0)."""
    return np.empty((len(weights), 0), np.uint8)


def absmax(weights: F32) -> F32:
    """Return the largest |weight| of each block: (n, m) to (n, 1)."""
    largest: F32 = np.abs(weights).max(axis=1, keepdims=True, initial=0)
    return largest


def divide(weights: F32, scale: F32) -> F32:
    """Divide by (n, 1) scales; where a scale is 0, all weights are, and the result is 0."""
    ratio: F32 = np.divide(weights, scale, out=np.zeros_like(weights), where=scale > 0)
    return ratio


def round_scale(scale: F64, stored: np.dtype[np.floating]) -> F32:
    """Round scales ≥ 0 to a stored type: positive stays positive, and finite.

    >>> round_scale(np.array([0.1, 1e-12, 1e9]), np.dtype("f2")).tolist()
    [0.0999755859375, 5.960464477539063e-08, 65504.0]
    """
    limits = np.finfo(stored)
    rounded = np.minimum(scale, limits.max).astype(stored).astype(np.float32)
    return np.where(scale > 0, np.maximum(rounded, limits.smallest_subnormal), 0).astype(np.float32)


def halving_sum(terms: F64) -> F64:
    """Sum (n, m) over the last axis, the second half added to the first until one is left: (n,).

    A fixed order, so that the same bytes come out on every machine.
    """
    while terms.shape[1] > 1:
        half = -(-terms.shape[1] // 2)
        rest = terms.shape[1] - half
        terms = np.hstack([terms[:, :rest] + terms[:, half:], terms[:, rest:half]])
    return terms[:, 0]
