"""Small floating-point types, and formats of blocks of them with one scale.

A float has a sign, an exponent field `e` and a mantissa field `m`:

    value = (−1)^sign · 2^(e − bias) · (1 + m / 2^mantissa_bits)        normal, e > 0
    value = (−1)^sign · 2^(1 − bias) · (0 + m / 2^mantissa_bits)        subnormal, e = 0

Between two powers of two the values are evenly spaced, and the step doubles from one such interval
to the next. So an integer has the same absolute error everywhere, a float the same relative error.

Source: OCP 8-bit Floating Point Specification 1.0 (2023) and OCP Microscaling Formats 1.0 (2023).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import FormatError
from zeropoint.formats.base import F32
from zeropoint.formats.group_formats import ScaledFormat, StoredFields, absmax, divide, no_extra
from zeropoint.formats.parts import Parts

F64 = NDArray[np.float64]
U32 = NDArray[np.uint32]

CHUNK_VALUES = 1 << 20  # encoded at a time, so that a large tensor needs little more memory


@dataclass(frozen=True, kw_only=True)
class FloatType:
    """A binary floating-point type; everything about it follows from these fields.

    >>> E4M3.max, E4M3.smallest_normal, E4M3.smallest, E4M3.step_at_one
    (448.0, 0.015625, 0.001953125, 0.125)
    >>> E2M1.table[:8].tolist()
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
    """

    name: str
    exponent_bits: int
    mantissa_bits: int
    #: Use of the largest exponent: "none": numbers; "nan": NaN if all bits of the mantissa are set
    #: too (OCP's "fn"); "ieee": infinity and NaN, as in IEEE 754.
    specials: Literal["none", "nan", "ieee"]

    @property
    def bits(self) -> int:
        """Bits of a code: sign, exponent and mantissa."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def bias(self) -> int:
        """Number that is subtracted from the exponent field."""
        return int(2 ** (self.exponent_bits - 1)) - 1

    @property
    def max_code(self) -> int:
        """Code of the largest finite value."""
        last = int(2 ** (self.bits - 1)) - 1
        beyond = {"none": 0, "nan": 1, "ieee": int(2**self.mantissa_bits)}
        return last - beyond[self.specials]

    @property
    def max_exponent(self) -> int:
        """Exponent of the largest finite value."""
        return (self.max_code >> self.mantissa_bits) - self.bias

    @cached_property
    def max(self) -> float:
        """Largest finite value."""
        return float(self.decode(np.array([self.max_code], np.uint32))[0])

    @property
    def smallest_normal(self) -> float:
        """Smallest value with full precision."""
        return float(2.0 ** (1 - self.bias))

    @property
    def smallest(self) -> float:
        """Smallest value above 0."""
        return float(2.0 ** (1 - self.bias - self.mantissa_bits))

    @property
    def step_at_one(self) -> float:
        """Distance from 1.0 to the next value."""
        return float(2.0**-self.mantissa_bits)

    @cached_property
    def table(self) -> F32:
        """All values in the order of their codes: (2^bits,). For types of up to 8 bits."""
        values = self.decode(np.arange(2**self.bits, dtype=np.uint32)).astype(np.float32)
        values.flags.writeable = False
        return values

    def decode(self, codes: NDArray[Any]) -> F64:
        """Return the values of codes of any shape in float64, NaN and infinities included."""
        codes = np.asarray(codes, np.int64)
        magnitude = codes & (2 ** (self.bits - 1) - 1)
        exponent = magnitude >> self.mantissa_bits
        mantissa = magnitude & (2**self.mantissa_bits - 1)
        implied = np.where(exponent > 0, 2**self.mantissa_bits, 0)
        power = np.maximum(exponent, 1) - self.bias - self.mantissa_bits
        values: F64 = np.ldexp((implied + mantissa).astype(np.float64), power)
        if self.specials != "none":
            values[magnitude > self.max_code] = np.nan
        if self.specials == "ieee":
            values[magnitude == self.max_code + 1] = np.inf
        values[codes >> (self.bits - 1) == 1] *= -1
        return values

    def encode(self, values: NDArray[Any]) -> U32:
        """Round float32 or float64 values of any shape to the nearest codes, ties to even.

        A magnitude beyond the largest finite value, also infinity, saturates; ml_dtypes and torch
        give NaN or infinity instead. Raises FormatError for NaN.

        >>> E2M1.encode(np.array([0.25, 0.75, 2.5, 5.0, -0.1, 1e9])).tolist()
        [0, 2, 4, 6, 8, 7]
        """
        if np.isnan(values).any():
            raise FormatError(f"NaN has no nearest value in {self.name}")
        flat = np.ascontiguousarray(values).reshape(-1)
        codes = np.empty(flat.shape, np.uint32)
        for start in range(0, flat.size, CHUNK_VALUES):
            codes[start : start + CHUNK_VALUES] = self._encode(flat[start : start + CHUNK_VALUES])
        return codes.reshape(np.shape(values))

    def _encode(self, values: NDArray[Any]) -> U32:
        finite = np.clip(values.astype(np.float64), -2 * self.max, 2 * self.max)
        magnitude = np.abs(finite)
        lowest = 1 - self.bias  # the exponent of subnormals, 0 among them
        exponent = np.frexp(np.maximum(magnitude, self.smallest_normal))[1] - 1
        steps = np.rint(np.ldexp(magnitude, self.mantissa_bits - exponent))  # ties to even
        # A normal value has at least 2^mantissa_bits steps. Its implied leading bit adds 1 to the
        # exponent field, and so does a mantissa that was rounded up to the next power of two.
        code = ((exponent - lowest) << self.mantissa_bits) + steps.astype(np.int64)
        sign = np.signbit(values).astype(np.int64) << (self.bits - 1)
        rounded: U32 = (np.minimum(code, self.max_code) | sign).astype(np.uint32)
        return rounded


def _float(name: str, exponent_bits: int, mantissa_bits: int, specials: str) -> FloatType:
    return FloatType(
        name=name,
        exponent_bits=exponent_bits,
        mantissa_bits=mantissa_bits,
        specials=specials,  # type: ignore[arg-type]
    )


E4M3 = _float("FP8_E4M3", 4, 3, "nan")
E5M2 = _float("FP8_E5M2", 5, 2, "ieee")
E2M3 = _float("FP6_E2M3", 2, 3, "none")
E3M2 = _float("FP6_E3M2", 3, 2, "none")
E2M1 = _float("FP4_E2M1", 2, 1, "none")
FLOAT16 = _float("F16", 5, 10, "ieee")
BFLOAT16 = _float("BF16", 8, 7, "ieee")
FLOAT32 = _float("F32", 8, 23, "ieee")

SMALL_FLOATS = {type.name: type for type in (E4M3, E5M2, E2M3, E3M2, E2M1)}
FLOAT_TYPES = {type.name: type for type in (FLOAT32, FLOAT16, BFLOAT16)} | SMALL_FLOATS


@dataclass(frozen=True, kw_only=True)
class ScaledFloats(ScaledFormat):
    """Small floats with a scale: w = scale · value(code). The largest |w| has the largest value."""

    element: FloatType

    def fit(self, weights: F32, importance: F32 | None, shrink: F32) -> StoredFields:
        largest = absmax(weights).astype(np.float64) * shrink
        scale = self.stored_scale(largest / self.element.max)
        codes = self.element.encode(divide(weights, scale))
        return StoredFields(scale, no_extra(weights), codes.astype(np.uint8))

    def meaning(self, fields: StoredFields) -> Parts:
        values = self.element.table[fields.codes]
        return Parts(codes=fields.codes.astype(np.int16), scale=fields.scale, values=values)
