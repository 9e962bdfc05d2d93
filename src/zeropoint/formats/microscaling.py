"""Microscaling formats: small blocks that have a scale of one byte each.

MX (OCP Microscaling Formats 1.0, 2023): 32 weights share a power of two in E8M0, which has eight
bits of exponent, no sign and no mantissa; 255 is NaN. The rule of the standard is the exponent of
the largest |w| minus that of the largest value, rounded down, so the largest weights saturate:

    scale = 2^(floor(log2(max |w|)) − exponent of the largest value)
    w     ≈ scale · value(q)

NVFP4 (NVIDIA, 2025): 16 weights of FP4 E2M1 share a scale in FP8 E4M3, which is finer but has a
small range. Therefore the tensor has a second scale in float32:

    tensor_scale = max |w| of the tensor / (448 · 6)
    scale        = max |w| of the group / 6 / tensor_scale        as E4M3
    w            ≈ tensor_scale · scale · value(q)

ggml's MXFP4 and NVFP4 are storage formats of GGUF and differ. MXFP4_OCP has the values of MXFP4,
with codes in ascending order and scales by OCP's rule. ggml's NVFP4 has no scale of the tensor.
"""

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats.base import F32, U8, Format, check_shape, check_weights
from zeropoint.formats.floats import E2M1, E4M3, FloatType
from zeropoint.formats.group_formats import (
    F64,
    MAX_WEIGHT,
    ScaledFormat,
    StoredFields,
    absmax,
    check_sized,
    divide,
    no_extra,
    round_scale,
)
from zeropoint.formats.integers import signed, unsigned
from zeropoint.formats.parts import Parts

MX_GROUP = 32
NVFP4_GROUP = 16
E8M0_BIAS = 127
E8M0_NAN = 255


def encode_e8m0(exponent: NDArray[np.signedinteger[Any]]) -> U8:
    """Return the bytes of powers of two with these exponents, clamped to −127 … 127."""
    codes: U8 = (np.clip(exponent, -E8M0_BIAS, E8M0_BIAS) + E8M0_BIAS).astype(np.uint8)
    return codes


def decode_e8m0(codes: U8) -> F32:
    """Return 2^(code − 127), and NaN for code 255.

    >>> decode_e8m0(np.array([0, 126, 127, 130, 255], np.uint8)).tolist()
    [5.877471754111438e-39, 0.5, 1.0, 8.0, nan]
    """
    exponent = np.minimum(codes, E8M0_NAN - 1).astype(np.int32) - E8M0_BIAS
    power = np.ldexp(np.float32(1), exponent)
    return np.where(codes == E8M0_NAN, np.float32(np.nan), power)


@dataclass(frozen=True, kw_only=True)
class MXFormat(ScaledFormat):
    """32 codes with an E8M0 scale in one byte."""

    shrinks = (2.0, 0.5, 0.25)  # a search tries these factors on the scale of the standard
    finer = ()

    def power_of_two(self, weights: F32, shrink: F32, value_exponent: int) -> F32:
        """Return the scale by OCP's rule, times `shrink`: (n, 1)."""
        largest = absmax(weights).astype(np.float64) * shrink
        exponent = np.frexp(largest)[1] - 1 - value_exponent
        return decode_e8m0(encode_e8m0(np.where(largest > 0, exponent, -E8M0_BIAS)))

    def write_scale(self, scale: F32) -> U8:
        return encode_e8m0(np.frexp(scale)[1] - 1)

    def read_scale(self, stored: U8) -> F32:
        return decode_e8m0(stored)


@dataclass(frozen=True, kw_only=True)
class MXFloats(MXFormat):
    """MXFP8, MXFP6, MXFP4: w = scale · value(q), with 32 small floats and a power of two."""

    element: FloatType

    def fit(self, weights: F32, importance: F32 | None, shrink: F32) -> StoredFields:
        scale = self.power_of_two(weights, shrink, self.element.max_exponent)
        codes = self.element.encode(divide(weights, scale))
        return StoredFields(scale, no_extra(weights), codes.astype(np.uint8))

    def meaning(self, fields: StoredFields) -> Parts:
        values = self.element.table[fields.codes]
        return Parts(codes=fields.codes.astype(np.int16), scale=fields.scale, values=values)


@dataclass(frozen=True, kw_only=True)
class MXIntegers(MXFormat):
    """MXINT8: w = scale · q / 64, with 32 signed bytes (never −128) and a power of two."""

    def fit(self, weights: F32, importance: F32 | None, shrink: F32) -> StoredFields:
        scale = self.power_of_two(weights, shrink, 0)  # the largest value is 127/64, from 2^0 up
        codes = np.clip(np.rint(divide(weights, scale) * 64), -127, 127)
        return StoredFields(scale, no_extra(weights), unsigned(codes, self.bits))

    def meaning(self, fields: StoredFields) -> Parts:
        codes = signed(fields.codes, self.bits)
        values = codes.astype(np.float32) / np.float32(64)
        return Parts(codes=codes, scale=fields.scale, values=values)


@dataclass(frozen=True, kw_only=True)
class NVFP4Groups(ScaledFormat):
    """The groups of NVFP4_TENSOR; their weights are in units of the tensor's scale.

    Block (9 bytes):  0 scale E4M3 | 1-8 codes
    """

    def fit(self, weights: F32, importance: F32 | None, shrink: F32) -> StoredFields:
        scale = self.stored_scale(absmax(weights).astype(np.float64) * shrink / E2M1.max)
        codes = E2M1.encode(divide(weights, scale))
        return StoredFields(scale, no_extra(weights), codes.astype(np.uint8))

    def meaning(self, fields: StoredFields) -> Parts:
        values = E2M1.table[fields.codes]
        return Parts(codes=fields.codes.astype(np.int16), scale=fields.scale, values=values)

    def stored_scale(self, scale: F64) -> F32:
        return self.read_scale(np.maximum(E4M3.encode(scale), scale > 0).astype(np.uint8))

    def write_scale(self, scale: F32) -> U8:
        return E4M3.encode(scale).astype(np.uint8)

    def read_scale(self, stored: U8) -> F32:
        return E4M3.table[stored]


@dataclass(frozen=True, kw_only=True)
class NVFP4Tensor(Format):
    """NVFP4 with the scale of its tensor: w = tensor_scale · scale · value(q).

    The block is the tensor, whose size is known after `for_shape`: four bytes of tensor_scale in
    float32, then for every 16 weights a scale in E4M3 and eight bytes of codes.
    """

    groups: NVFP4Groups

    @property
    def bits_per_weight(self) -> float:
        check_sized(self)
        return 8 * self.block_bytes / self.block_size

    def for_shape(self, shape: tuple[int, ...]) -> "NVFP4Tensor":
        check_shape(replace(self, block_size=self.group_size), shape)
        weights = prod(shape)
        size = 4 + weights // self.group_size * self.groups.block_bytes
        return replace(self, block_size=weights, block_bytes=size)

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        check_sized(self)
        check_weights(weights, importance, self.block_size)
        weights = np.clip(weights, -MAX_WEIGHT, MAX_WEIGHT)
        largest = absmax(weights).astype(np.float64)
        scale = round_scale(largest / (E4M3.max * E2M1.max), np.dtype("f4"))
        grouped = divide(weights, scale).reshape(-1, self.group_size)
        costs = None if importance is None else importance.reshape(grouped.shape)
        blocks = self.groups.encode_blocks(grouped, costs)
        blocks = blocks.reshape(len(weights), self.block_bytes - 4)
        return np.hstack([scale.astype("<f4").view(np.uint8), blocks])

    def decode_blocks(self, blocks: U8) -> F32:
        return self.parts(blocks).weights()

    def parts(self, blocks: U8) -> Parts:
        check_sized(self)
        n, count = len(blocks), self.block_size
        tensor_scale = blocks[:, :4].copy().view("<f4")
        groups = self.groups.parts(blocks[:, 4:].reshape(-1, self.groups.block_bytes))
        assert groups.values is not None
        with np.errstate(invalid="ignore", over="ignore"):  # any bytes decode
            scale = tensor_scale * groups.scale.reshape(n, count // self.group_size)
        codes, values = groups.codes.reshape(n, count), groups.values.reshape(n, count)
        return Parts(codes=codes, scale=scale, values=values)
