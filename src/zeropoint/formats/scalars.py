"""Numbers that are stored one by one: a block is one weight, and nothing is shared."""

from dataclasses import dataclass

import numpy as np

from zeropoint.formats.base import F32, U8
from zeropoint.formats.parts import Parts
from zeropoint.formats.storage import StorageFormat


@dataclass(frozen=True, kw_only=True)
class Scalar(StorageFormat):
    """Numbers of one numpy dtype, converted to float32 by rounding to nearest, ties to even."""

    block_size: int = 1
    group_size: int = 1
    dtype: str

    def parts(self, blocks: U8) -> Parts:
        values = self.decode_blocks(blocks)
        codes = np.ascontiguousarray(blocks).view(f"<i{self.block_bytes}")
        return Parts(codes=codes, scale=np.ones_like(values), values=values)

    def decode_blocks(self, blocks: U8) -> F32:
        with np.errstate(over="ignore", invalid="ignore"):  # F64 beyond float32; signalling NaN
            return np.ascontiguousarray(blocks).view(self.dtype).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class BFloat16(Scalar):
    """The upper half of a float32: its sign, its 8 bits of exponent, 7 bits of mantissa."""

    name: str = "BF16"
    ggml_type: int = 30
    block_bytes: int = 2
    dtype: str = "<u2"

    def decode_blocks(self, blocks: U8) -> F32:
        upper = np.ascontiguousarray(blocks).view(self.dtype).astype(np.uint32)
        return (upper << np.uint32(16)).view(np.float32)


F32_ = Scalar(name="F32", ggml_type=0, block_bytes=4, dtype="<f4")
F16 = Scalar(name="F16", ggml_type=1, block_bytes=2, dtype="<f2")
F64 = Scalar(name="F64", ggml_type=28, block_bytes=8, dtype="<f8")
I8 = Scalar(name="I8", ggml_type=24, block_bytes=1, dtype="<i1")
I16 = Scalar(name="I16", ggml_type=25, block_bytes=2, dtype="<i2")
I32 = Scalar(name="I32", ggml_type=26, block_bytes=4, dtype="<i4")
I64 = Scalar(name="I64", ggml_type=27, block_bytes=8, dtype="<i8")

SCALARS = (F32_, F16, BFloat16(), F64, I8, I16, I32, I64)
