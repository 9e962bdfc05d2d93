"""The arithmetic of quantization as records: a value bit by bit, a block weight by weight."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from zeropoint.errors import FormatError
from zeropoint.formats import FORMATS, find_format
from zeropoint.formats.base import Format
from zeropoint.formats.describe import equation, scale_rule
from zeropoint.formats.floats import E2M1, FLOAT_TYPES, FloatType, ScaledFloats
from zeropoint.formats.integers import SymmetricIntegers
from zeropoint.formats.microscaling import MXFloats
from zeropoint.formats.names import plain_format
from zeropoint.formats.parts import Parts
from zeropoint.formats.scalars import ScalarFormat

MAX_BLOCK_WEIGHTS = 65_536  # of a block that a user types


@dataclass(frozen=True, kw_only=True)
class ValueExplained:
    """A number as a floating-point type stores it."""

    type: str
    value: float
    code: int
    sign_bit: str
    exponent_bits: str
    mantissa_bits: str
    #: The stored value as a formula of the bits.
    formula: str
    stored: float
    #: stored − value
    error: float
    #: Relative to the value; None for 0 and infinity.
    relative_error: float | None
    #: The next smaller and the next larger number of the type.
    below: float | None
    above: float | None
    #: Distance between numbers of this exponent.
    step: float
    #: Whether the value is beyond the largest number.
    saturated: bool
    largest: float
    smallest_normal: float
    smallest: float


@dataclass(frozen=True, kw_only=True)
class WeightExplained:
    """One weight of a block."""

    weight: float
    code: int
    #: Value of the code: the code itself, or an entry of a table.
    value: float
    stored: float
    #: stored − weight
    error: float


@dataclass(frozen=True, kw_only=True)
class GroupExplained:
    """Weights `first` … `last` of a block, which share a scale."""

    first: int
    last: int
    scale: float
    zero_point: int | None
    minimum: float | None


@dataclass(frozen=True, kw_only=True)
class BlockExplained:
    """Some weights as a format stores them."""

    format: str
    equation: str
    #: None: the encoder searches the scale.
    scale_rule: str | None
    #: Number of zeros added to the last block; a search ignores them.
    padding: int
    bytes: int
    #: Whether weights share a scale.
    shared: bool
    groups: tuple[GroupExplained, ...]
    weights: tuple[WeightExplained, ...]
    #: Of the weights that are not 0.
    mean_relative_error: float | None
    mean_squared_error: float
    #: Codes that the format does not use.
    unused: str | None


def explain_value(value: float, type: FloatType) -> ValueExplained:
    """Return the bits and the stored value of a number in a type. Raises FormatError for NaN.

    >>> tenth = explain_value(0.16, FLOAT_TYPES["FP8_E4M3"])
    >>> tenth.sign_bit, tenth.exponent_bits, tenth.mantissa_bits, tenth.formula
    ('0', '0100', '010', '2^(4 − 7) · (1 + 2/8)')
    >>> tenth.below, tenth.stored, tenth.above
    (0.140625, 0.15625, 0.171875)
    """
    code = int(type.encode(np.array([value]))[0])
    bits = format(code, f"0{type.bits}b")
    exponent_bits, mantissa_bits = bits[1 : 1 + type.exponent_bits], bits[1 + type.exponent_bits :]
    exponent, mantissa = int(exponent_bits, 2), int(mantissa_bits, 2)
    stored = decoded(type, code)
    below, above = neighbours(type, code)
    power = max(exponent, 1)
    sign = "-" if bits[0] == "1" else ""
    fraction = f"({int(exponent > 0)} + {mantissa}/{2**type.mantissa_bits})"
    return ValueExplained(
        type=type.name,
        value=value,
        code=code,
        sign_bit=bits[0],
        exponent_bits=exponent_bits,
        mantissa_bits=mantissa_bits,
        formula=f"{sign}2^({power} − {type.bias}) · {fraction}",
        stored=stored,
        error=stored - value,
        relative_error=(stored - value) / abs(value) if value and isfinite(value) else None,
        below=below,
        above=above,
        step=2.0 ** (power - type.bias - type.mantissa_bits),
        saturated=abs(value) > type.max,
        largest=type.max,
        smallest_normal=type.smallest_normal,
        smallest=type.smallest,
    )


def explain_block(weights: Sequence[float], format: Format) -> BlockExplained:
    """Encode weights as one row of a format and return the stored parts.

    The last block is filled with zeros. Raises FormatError for an empty row, for a weight that is
    not finite, and for a format without an encoder.
    """
    if not 0 < len(weights) <= MAX_BLOCK_WEIGHTS:
        raise FormatError(
            f"a block to explain has 1 to {MAX_BLOCK_WEIGHTS} weights, not {len(weights)}"
        )
    exact = np.asarray(weights, np.float64)
    if not np.all(np.abs(exact) <= np.finfo(np.float32).max):
        raise FormatError("the weights of a block must be finite float32 numbers")
    row = exact.astype(np.float32)
    padding = -len(row) % (format.block_size or format.group_size or 1)
    if not format.block_size:
        format = format.for_shape((len(row) + padding,))
    padded = np.pad(row, (0, padding)).reshape(-1, format.block_size)
    importance = np.pad(np.ones_like(row), (0, padding)).reshape(padded.shape)
    blocks = format.encode_blocks(padded, importance)
    parts = format.parts(blocks)
    stored = parts.weights().reshape(-1)[: len(row)]
    errors = stored.astype(np.float64) - exact
    nonzero = exact != 0
    relative = np.abs(errors[nonzero] / exact[nonzero])
    values = parts.codes if parts.values is None else parts.values
    rows = zip(exact, parts.codes.flat, values.flat, stored, errors, strict=False)
    return BlockExplained(
        format=format.name,
        equation=equation(format),
        scale_rule=scale_rule(format),
        padding=padding,
        bytes=int(blocks.size),
        shared=not isinstance(format, ScalarFormat),
        groups=explain_groups(parts, len(row)),
        weights=tuple(
            WeightExplained(
                weight=float(w), code=int(q), value=float(v), stored=float(s) + 0.0, error=float(e)
            )
            for w, q, v, s, e in rows
        ),
        mean_relative_error=float(relative.mean()) if relative.size else None,
        mean_squared_error=float(np.mean(errors**2)),
        unused=unused(format),
    )


def explain_groups(parts: Parts, count: int) -> tuple[GroupExplained, ...]:
    """Return the groups of the first `count` weights."""
    size = parts.codes.shape[1] // parts.scale.shape[1]
    scales = parts.scale.reshape(-1)
    points = None if parts.zero_point is None else parts.zero_point.reshape(-1)
    minimums = None if parts.minimum is None else parts.minimum.reshape(-1)
    return tuple(
        GroupExplained(
            first=group * size,
            last=min((group + 1) * size, count) - 1,
            scale=float(scales[group]),
            zero_point=None if points is None else int(points[group]),
            minimum=None if minimums is None else float(minimums[group]),
        )
        for group in range(-(-count // size))
    )


def explain_weight(block: BlockExplained, value: float) -> tuple[str, ...]:
    """Return the arithmetic of one weight of a block: its scale, code and value.

    Raises FormatError if `value` is not one of its weights.
    """
    place = next((i for i, w in enumerate(block.weights) if w.weight == value), None)
    if place is None:
        raise FormatError(f"{value:g} is not among the {len(block.weights)} weights of the block")
    weight = block.weights[place]
    group = next(group for group in block.groups if group.first <= place <= group.last)
    scale = f"{group.scale:.6g}"
    minimum = group.minimum or 0.0
    above = f"({value:g}{plus(-minimum)})" if group.minimum is not None else f"{value:g}"
    ratio = (value - minimum) / group.scale if group.scale else 0.0
    point = plus(group.zero_point) if group.zero_point is not None else ""
    if weight.value == weight.code == round(ratio) + (group.zero_point or 0):
        code = f"round({above} / scale){point} = round({ratio:.5g}){point} = {weight.code}"
    else:
        code = f"{weight.code}, which means {weight.value:g}; {above} / scale = {ratio:.5g}"
    factor = f"{weight.value:g}"
    if group.zero_point is not None:
        factor = f"({weight.code}{plus(-group.zero_point)})"
    end = plus(minimum) if group.minimum is not None else ""
    return (
        f"scale  = {block.scale_rule} = {scale}" if block.scale_rule else f"scale  = {scale}",
        f"code   = {code}",
        f"weight = {scale} · {factor}{end} = {weight.stored:.6g}",
    )


def plus(number: float) -> str:
    """Format a summand with its sign in front.

    >>> plus(5), plus(-0.25)
    (' + 5', ' − 0.25')
    """
    return f" − {-number:.6g}" if number < 0 else f" + {number:.6g}"


def counterpart(name: str) -> str | None:
    """Return the asymmetric format of a symmetric one, or the other way round; None for others.

    >>> counterpart("INT4_SYM_G32"), counterpart("INT4_ASYM_ROW"), counterpart("NF4_G64")
    ('INT4_ASYM_G32', 'INT4_SYM_ROW', None)
    """
    if "_ASYM_" in name:
        return name.replace("_ASYM_", "_SYM_")
    return name.replace("_SYM_", "_ASYM_") if "_SYM_" in name else None


def parse_weights(text: str) -> list[float]:
    """Return the numbers in a text, separated by commas or spaces, with or without brackets.

    >>> parse_weights("[-0.89, .16 8e-2]")
    [-0.89, 0.16, 0.08]
    """
    words = re.split(r"[\s,;]+", text.strip().removeprefix("[").removesuffix("]").strip())
    try:
        return [float(word) for word in words if word]
    except ValueError as error:
        raise FormatError(f"--block takes numbers separated by commas: {error}") from None


def decoded(type: FloatType, code: int) -> float:
    """Return the value of one code."""
    return float(type.decode(np.array([code]))[0])


def neighbours(type: FloatType, code: int) -> tuple[float | None, float | None]:
    """Return the next smaller and the next larger finite value, or None at the ends."""
    top = 2 ** (type.bits - 1)
    rank = code if code < top else top - code  # −0 ranks as 0
    pair = (rank - 1, rank + 1)
    below, above = (
        decoded(type, r if r >= 0 else top - r) if abs(r) <= type.max_code else None for r in pair
    )
    return below, above


def unused(format: Format) -> str | None:
    """Return which codes a format does not use; None if it uses all."""
    if isinstance(format, SymmetricIntegers):
        return f"code −{2 ** (format.bits - 1)} is never used: one of {2**format.bits}"
    if isinstance(format, ScaledFloats | MXFloats) and format.element == E2M1:
        return "code 8 is −0, a second 0: one of 16"
    return None


def find_float(name: str) -> FloatType | None:
    """Return the floating-point type of a name in any common spelling, or None.

    >>> [find_float(name).name for name in ("float32", "fp16", "e4m3", "bfloat16", "FP4")]
    ['F32', 'F16', 'FP8_E4M3', 'BF16', 'FP4_E2M1']
    """
    upper = spelled(name)
    upper = {"BFLOAT16": "BF16", "HALF": "F16", "FP8": "FP8_E4M3", "FP4": "FP4_E2M1"}.get(
        upper, re.sub(r"^(?:FLOAT|FP)(?=(?:16|32)$)", "F", upper)
    )
    exact = FLOAT_TYPES.get(upper)
    return exact or next((t for n, t in FLOAT_TYPES.items() if n.partition("_")[2] == upper), None)


def find_for_block(name: str) -> Format:
    """Return the format of a name in any common spelling, for a block that a user types.

    If the name does not say which weights share a scale, all weights of the block do.

    >>> for name in ("q4-symmetric", "int8 asym", "fp4_e2m1", "q4_k", "MXFP8", "int4_sym_g32"):
    ...     print(find_for_block(name).name)
    INT4_SYM_TENSOR
    INT8_ASYM_TENSOR
    FP4_E2M1_TENSOR
    Q4_K
    MXFP8_E4M3
    INT4_SYM_G32
    """
    upper = re.sub(r"^(?:Q|INT)([2-8])_(A?SYM)(?:METRIC)?", r"INT\1_\2", spelled(name))
    upper = {"MXFP8": "MXFP8_E4M3", "MXFP6": "MXFP6_E2M3"}.get(upper, upper)
    upper = re.sub(r"^INT([2-8])$", r"INT\1_SYM", upper)
    for candidate in (name, upper, f"{upper}_TENSOR"):
        if candidate in FORMATS or plain_format(candidate):
            return find_format(candidate)
    type = find_float(name)
    return find_format(f"{type.name}_TENSOR" if type and type.bits <= 8 else name)


def find_format_by_name(name: str) -> Format | None:
    """Return the format of a name in any common spelling, or None."""
    try:
        return find_for_block(name)
    except FormatError:
        return None


def spelled(name: str) -> str:
    """Return a name in capitals with underscores."""
    return re.sub(r"[\s-]+", "_", name.strip().upper())
