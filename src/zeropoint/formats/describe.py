"""Formats in words: layout, equation, rule of the scale, and programs that read them.

The text for a storage format is taken from its docstring; that for a plain format is derived from
its fields.
"""

import re
from dataclasses import dataclass
from functools import singledispatch
from inspect import cleandoc

from zeropoint.formats.base import Format
from zeropoint.formats.floats import ScaledFloats
from zeropoint.formats.group_formats import ScaledFormat
from zeropoint.formats.integers import AsymmetricIntegers, SymmetricIntegers
from zeropoint.formats.iquants import IQuant
from zeropoint.formats.microscaling import MXFloats, MXIntegers, NVFP4Tensor
from zeropoint.formats.scalars import IntegerFormat, ScalarFormat
from zeropoint.formats.storage import StorageFormat
from zeropoint.formats.tables import (
    BestSecondZero,
    FixedSecondZero,
    NormalFloats,
    SignedSecondZero,
)

GGUF_READERS = "llama.cpp and what is built on it (Ollama, LM Studio and others), from GGUF files"
NO_READERS = "zeropoint only: no file stores it; use it to study what the format does to a model"


@dataclass(frozen=True, kw_only=True)
class FormatDescription:
    """A format in words and figures. A figure is None if it depends on the shape of a tensor."""

    name: str
    summary: str
    equation: str
    #: The bytes of a block.
    layout: str
    #: None: the encoder searches the scale, or there is none.
    scale_rule: str | None
    block_size: int | None
    block_bytes: int | None
    group_size: int | None
    bits_per_weight: float | None
    ggml_type: int | None
    #: Whether there is an encoder.
    writable: bool
    readers: str


def describe(format: Format) -> FormatDescription:
    """Return the description of a format."""
    sized = format.block_size > 0
    stored = isinstance(format, StorageFormat)
    return FormatDescription(
        name=format.name,
        summary=summary(format),
        equation=equation(format),
        layout=layout(format),
        scale_rule=scale_rule(format),
        block_size=format.block_size or None,
        block_bytes=format.block_bytes or None,
        group_size=format.group_size or None,
        bits_per_weight=format.bits_per_weight if sized else None,
        ggml_type=format.ggml_type if isinstance(format, StorageFormat) else None,
        writable=type(format).encode_blocks is not StorageFormat.encode_blocks,
        readers=GGUF_READERS if stored else NO_READERS,
    )


@singledispatch
def equation(format: Format) -> str:
    """Return the equation of a weight, from the format's docstring."""
    match = re.search(r"w = .+?(?=[.:](?:\s|$))", cleandoc(type(format).__doc__ or ""), re.DOTALL)
    return " ".join(match[0].split()) if match else "w = scale · q"


@equation.register
def _(format: ScalarFormat) -> str:
    return "w, rounded to the nearest number"


@equation.register
def _(format: IntegerFormat) -> str:
    return "whole numbers: data, not weights"


@equation.register
def _(format: IQuant) -> str:
    found = re.search(r"w = [^,\n]+", type(format).__doc__ or "")
    return found[0] if found else "w = scale · level · sign, levels from a grid"


@equation.register
def _(format: SymmetricIntegers) -> str:
    highest = 2 ** (format.bits - 1) - 1
    return f"w = scale · q, q in −{highest}…{highest}"


@equation.register
def _(format: AsymmetricIntegers) -> str:
    half = 2 ** (format.bits - 1)
    return f"w = scale · (q − zero_point), q in −{half}…{half - 1}"


@equation.register
def _(format: ScaledFloats | MXFloats) -> str:
    return f"w = scale · {format.element.name.partition('_')[2]}(q)"


@equation.register
def _(format: MXIntegers) -> str:
    return "w = scale · q / 64, q in −127…127"


@equation.register
def _(format: NVFP4Tensor) -> str:
    return "w = tensor_scale · scale · E2M1(q)"


@equation.register
def _(format: NormalFloats) -> str:
    return "w = scale · NF4(q)"


@equation.register
def _(format: FixedSecondZero) -> str:
    return f"w = scale · E2M1(q), but E2M1(8) = {format.special:g}"


@equation.register
def _(format: SignedSecondZero) -> str:
    return f"w = |scale| · E2M1(q), but E2M1(8) = {format.special:g} with the scale's sign"


@equation.register
def _(format: BestSecondZero) -> str:
    return "w = scale · E2M1(q), but E2M1(8) = stored byte / 8"


@singledispatch
def scale_rule(format: Format) -> str | None:
    """Return the rule for the scale; None if there is none."""
    return None


@scale_rule.register
def _(format: ScaledFormat) -> str | None:
    match format:
        case SymmetricIntegers():
            rule = f"max |w| / {2 ** (format.bits - 1) - 1}"
        case AsymmetricIntegers():
            rule = f"(max w − min w) / {2**format.bits - 1}"
        case ScaledFloats():
            rule = f"max |w| / {format.element.max:g}"
        case NormalFloats():
            rule = "max |w|"
        case MXFloats():
            rule = f"2^(floor(log2(max |w|)) − {format.element.max_exponent})"
        case MXIntegers():
            rule = "2^floor(log2(max |w|))"
        case _:
            rule = "max |w| / 6"
    return f"{rule}, or the scale near it with the lowest error" if format.search else rule


@scale_rule.register
def _(format: NVFP4Tensor) -> str | None:
    rule = "max |w| of the group / 6 / tensor_scale; tensor_scale = max |w| / 2688"
    return f"{rule}; or the scale near it with the lowest error" if format.groups.search else rule


@singledispatch
def layout(format: Format) -> str:
    """Return the layout of a block, from the format's docstring."""
    text = cleandoc(type(format).__doc__ or "")
    match = re.search(r"Block \([^)]*\):\s*(.+?)(?=\n\n|\n[A-Z]|\Z)", text, re.DOTALL)
    return " ".join(match[1].split()) if match else "one number"


@layout.register
def _(format: ScaledFormat) -> str:
    kind = {1: "E8M0", 2: "f16", 4: "f32"}[format.scale_bytes]
    end = format.scale_bytes
    fields = [f"{span(0, end)} scale {kind}"]
    if format.extra_bytes:
        meaning = "zero point i8" if isinstance(format, AsymmetricIntegers) else "value of −0 i8"
        fields.append(f"{end} {meaning}")
        end += 1
    stop = f"{format.block_bytes - 1}" if format.block_bytes else "…"
    return " | ".join([*fields, f"{end}-{stop} codes of {format.bits} bits"])


@layout.register
def _(format: NVFP4Tensor) -> str:
    return "0-3 tensor_scale f32 | for each 16 weights: scale E4M3, 8 bytes of codes of 4 bits"


def span(start: int, stop: int) -> str:
    """Return the range of bytes start … stop − 1.

    >>> span(0, 2), span(2, 3)
    ('0-1', '2')
    """
    return f"{start}-{stop - 1}" if stop - start > 1 else f"{start}"


def summary(format: Format) -> str:
    """Return a description in one sentence."""
    if isinstance(format, ScaledFormat):
        sharing = {"ROW": "the weights of a row share", "TENSOR": "all weights of the tensor share"}
        groups = f"groups of {format.group_size} share"
        return f"{format.bits}-bit codes; {sharing.get(format.share, groups)} one scale."
    if isinstance(format, ScalarFormat):
        return f"Each weight is stored in {8 * format.block_bytes} bits, without a scale."
    first = cleandoc(type(format).__doc__ or "").split("\n\n")[0]
    return " ".join(first.split())
