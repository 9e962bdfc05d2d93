"""Unquantized formats: a block is one number, without a scale.

Every weight is rounded to the nearest number, ties to even; importance has no effect.
"""

from dataclasses import dataclass

import numpy as np

from zeropoint.errors import FormatError
from zeropoint.formats.base import F32, U8, check_weights
from zeropoint.formats.parts import Parts
from zeropoint.formats.storage import StorageFormat


@dataclass(frozen=True, kw_only=True)
class ScalarFormat(StorageFormat):
    """Floats of one numpy dtype."""

    block_size: int = 1
    group_size: int = 1
    dtype: str
    #: Magnitude from which a weight would be rounded to infinity.
    limit: float = float("inf")

    def parts(self, blocks: U8) -> Parts:
        values = self.decode_blocks(blocks)
        codes = np.ascontiguousarray(blocks).view(f"<i{self.block_bytes}")
        return Parts(codes=codes, scale=np.ones_like(values), values=values)

    def decode_blocks(self, blocks: U8) -> F32:
        with np.errstate(over="ignore", invalid="ignore"):  # F64 beyond float32; signalling NaN
            return np.ascontiguousarray(blocks).view(self.dtype).astype(np.float32)

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        check_weights(weights, importance, self.block_size, self.limit)
        return weights.astype(self.dtype).view(np.uint8)


@dataclass(frozen=True, kw_only=True)
class BFloat16Format(ScalarFormat):
    """The upper half of a float32: its sign, its 8 bits of exponent, 7 bits of mantissa."""

    name: str = "BF16"
    ggml_type: int = 30
    block_bytes: int = 2
    dtype: str = "<u2"
    limit: float = 255.5 * 2.0**120

    def decode_blocks(self, blocks: U8) -> F32:
        upper = np.ascontiguousarray(blocks).view(self.dtype).astype(np.uint32)
        return (upper << np.uint32(16)).view(np.float32)

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        check_weights(weights, importance, self.block_size, self.limit)
        bits = np.ascontiguousarray(weights).view(np.uint32)
        odd = bits >> np.uint32(16) & np.uint32(1)
        return ((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)).astype("<u2").view(np.uint8)


@dataclass(frozen=True, kw_only=True)
class IntegerFormat(ScalarFormat):
    """Integers of one numpy dtype, which store data and not weights; they never round."""

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        """Encode whole numbers within the range. Raises FormatError for any other number."""
        check_weights(weights, importance, self.block_size)
        span = np.iinfo(self.dtype)
        # As float64 the bounds of I64 round up to 2^63, which is out of range.
        fits = (weights == np.rint(weights)) & (weights >= span.min)
        fits &= weights.astype(np.float64) < float(span.max) + (span.bits < 64)
        bad = np.flatnonzero(~fits)
        if bad.size:
            value = weights.flat[bad[0]]
            raise FormatError(f"weight {int(bad[0])} is {value}: {self.name} stores whole numbers")
        return weights.astype(self.dtype).view(np.uint8)


F32_ = ScalarFormat(name="F32", ggml_type=0, block_bytes=4, dtype="<f4")
F16 = ScalarFormat(name="F16", ggml_type=1, block_bytes=2, dtype="<f2", limit=65520.0)
F64 = ScalarFormat(name="F64", ggml_type=28, block_bytes=8, dtype="<f8")
I8 = IntegerFormat(name="I8", ggml_type=24, block_bytes=1, dtype="<i1")
I16 = IntegerFormat(name="I16", ggml_type=25, block_bytes=2, dtype="<i2")
I32 = IntegerFormat(name="I32", ggml_type=26, block_bytes=4, dtype="<i4")
I64 = IntegerFormat(name="I64", ggml_type=27, block_bytes=8, dtype="<i8")

SCALARS = (F32_, F16, BFloat16Format(), F64, I8, I16, I32, I64)
