"""The number types of safetensors as formats: those of `FORMATS` and some others.

A type stands for its numbers alone, without a scale that another tensor of the file may hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from zeropoint.errors import FormatError
from zeropoint.formats import F32, FORMATS, U8, Format
from zeropoint.formats.floats import E4M3, E5M2


@dataclass(frozen=True, kw_only=True)
class PlainType(Format):
    """A number type of safetensors: it can be copied and decoded, but not encoded."""

    block_size: int = 1
    group_size: int = 1
    dtype: str | None = None  # numpy's name, if numpy has the type

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        raise FormatError(
            f"weights cannot be encoded as {self.name}; it can only be copied from file to file"
        )

    def decode_blocks(self, blocks: U8) -> F32:
        if self.dtype is None:
            raise FormatError(
                f"{self.name} of safetensors can be copied, but decoding is not implemented"
            )
        return np.ascontiguousarray(blocks).view(self.dtype).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class ByteFloat(PlainType):
    """A float of 8 bits, without a scale."""

    def decode_blocks(self, blocks: U8) -> F32:
        return {"F8_E4M3": E4M3, "F8_E5M2": E5M2}[self.name].table[blocks]


def _plain(name: str, block_bytes: int, dtype: str | None = None, block_size: int = 1) -> Format:
    return PlainType(name=name, block_bytes=block_bytes, dtype=dtype, block_size=block_size)


# In the order of the safetensors library: smallest alignment first.
_TYPES = (
    _plain("BOOL", 1, "u1"),
    _plain("F4", 1, block_size=2),
    _plain("F6_E2M3", 3, block_size=4),
    _plain("F6_E3M2", 3, block_size=4),
    _plain("U8", 1, "u1"),
    FORMATS["I8"],
    ByteFloat(name="F8_E5M2", block_bytes=1),
    ByteFloat(name="F8_E4M3", block_bytes=1),
    _plain("F8_E8M0", 1),
    _plain("F8_E4M3FNUZ", 1),
    _plain("F8_E5M2FNUZ", 1),
    FORMATS["I16"],
    _plain("U16", 2, "<u2"),
    FORMATS["F16"],
    FORMATS["BF16"],
    FORMATS["I32"],
    _plain("U32", 4, "<u4"),
    FORMATS["F32"],
    _plain("C64", 8),
    FORMATS["F64"],
    FORMATS["I64"],
    _plain("U64", 8, "<u8"),
)
DTYPES: Mapping[str, Format] = MappingProxyType({format.name: format for format in _TYPES})
DTYPE_ORDER: Mapping[str, int] = MappingProxyType({name: i for i, name in enumerate(DTYPES)})
