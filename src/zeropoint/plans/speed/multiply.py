"""Arithmetic of a format on a device: the kinds of numbers that are actually multiplied.

A device multiplies a few kinds of numbers natively. Any other kind is converted to the next wider
one before it is multiplied: FP4 to FP8 or FP16, BF16 (whose range FP16 lacks) to FP32. A runtime
may convert further than the device requires: llama.cpp unpacks 4-bit codes to 8-bit integers on
every device. `multiply.toml` lists what each runtime does, with sources.
"""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from zeropoint.errors import RecipeError
from zeropoint.formats import FORMATS, Format
from zeropoint.formats.names import plain_format
from zeropoint.plans.formats.names import target_format
from zeropoint.plans.machines.device import Device

PHASES = ("generate", "prompt")
# Kinds of numbers that hold every value of a kind, itself first.
WIDER_KINDS = {
    "fp4": ("fp4", "fp6", "fp8", "fp16", "bf16", "fp32"),
    "fp6": ("fp6", "fp8", "fp16", "bf16", "fp32"),
    "fp8": ("fp8", "fp16", "bf16", "fp32"),
    "fp16": ("fp16", "fp32"),
    "bf16": ("bf16", "fp32"),
    "fp32": ("fp32",),
    "ternary": ("int4", "int8", "fp16", "bf16", "fp32"),
    "int4": ("int4", "int8", "fp16", "bf16", "fp32"),
    "int8": ("int8", "fp16", "bf16", "fp32"),
}
INTEGERS = ("int4", "int8", "ternary")
DEFAULT_FORMATS = {
    "fp4": "MXFP4", "fp8": "FP8_E4M3_ROW", "fp16": "F16", "float16": "F16", "bfloat16": "BF16",
    "fp32": "F32", "int8": "INT8_SYM_ROW", "int4": "INT4_SYM_G128", "ternary": "TQ2_0",
}  # fmt: skip


@dataclass(frozen=True)
class RuntimeArithmetic:
    """Matrix product of one runtime in one phase."""

    runtime: str
    #: "generate" or "prompt".
    phase: str
    #: Kind of number that is multiplied; empty if the runtime cannot run the format.
    unit: str
    #: Whether the device has units for that kind.
    native: bool
    activations: str
    steps: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Multiplication:
    """The arithmetic of a format on a device."""

    device: str
    family: str
    native: tuple[str, ...]
    note: str
    format: str
    #: Kind of number that the codes stand for.
    kind: str
    #: Bits of a code.
    bits: int
    codes_per_byte: float
    #: Kind that the device must convert the codes to at least; `kind` itself where it is native.
    becomes: str
    #: One entry for each runtime and phase.
    ways: tuple[RuntimeArithmetic, ...]


def number_kind(format: Format) -> str:
    """Return the kind of number that a format's codes stand for.

    >>> from zeropoint.formats import find_format
    >>> [number_kind(find_format(name)) for name in ("Q4_K", "MXFP4", "BF16", "Q8_0", "TQ1_0")]
    ['int4', 'fp4', 'bf16', 'int8', 'ternary']
    """
    name = format.name.upper()
    for kind in ("bf16", "fp8", "fp6", "fp4"):
        if kind.upper() in name:
            return kind
    if name in ("F16", "F32", "F64"):
        return {"F16": "fp16"}.get(name, "fp32")
    if name.startswith("TQ") or "TERNARY" in name:
        return "ternary"
    return "int4" if code_bits(format) <= 4 else "int8"


def code_bits(format: Format) -> int:
    """Return the bits of one code, without scales.

    >>> from zeropoint.formats import find_format
    >>> [code_bits(find_format(name)) for name in ("Q4_K", "MXFP4", "Q6_K", "IQ2_XXS", "F16")]
    [4, 4, 6, 2, 16]
    """
    for part in ("FP4", "INT4", "Q4", "NF4"):
        if part in format.name:
            return 4
    return max(int(8 * format.block_bytes / format.block_size), 1) if format.block_size else 8


def next_native(kind: str, native: tuple[str, ...]) -> str:
    """Return the kind that a number of this kind is converted to before it is multiplied.

    >>> next_native("fp8", ("fp32", "fp16")), next_native("bf16", ("fp32", "fp16"))
    ('fp16', 'fp32')

    Raises RecipeError for an unknown kind.
    """
    if kind not in WIDER_KINDS:
        raise RecipeError(f"{kind!r} is not a kind of number; these are: {', '.join(WIDER_KINDS)}")
    return next((up for up in WIDER_KINDS[kind] if up in native), "fp32")


def multiplication(device: Device, format: Format) -> Multiplication:
    """Return the arithmetic of a format on a device, in every runtime that supports the device."""
    kind, bits = number_kind(format), code_bits(format)
    family = device.family
    ways = []
    for runtime in dict.fromkeys(str(row["runtime"]) for row in _rows()):
        for phase in PHASES:
            way = find_arithmetic(runtime, family.id, format, phase, family.native)
            if way:
                ways.append(way)
    return Multiplication(
        device=device.name, family=family.name, native=family.native, note=family.note,
        format=format.name, kind=kind, bits=bits, codes_per_byte=8 / bits,
        becomes=next_native(kind, family.native), ways=tuple(ways),
    )  # fmt: skip


def find_arithmetic(
    runtime: str, family: str, format: Format, phase: str, native: tuple[str, ...]
) -> RuntimeArithmetic | None:
    """Return how a runtime multiplies a format; None if it does not support the family."""
    kind = _row_kind(format)
    for row in _rows():
        if row["runtime"] != runtime or phase not in row.get("phases", PHASES):
            continue
        if family not in row.get("families", (family,)):
            continue
        if format.name not in row.get("formats", (format.name,)):
            continue
        if kind not in row.get("kinds", (kind,)):
            continue
        return RuntimeArithmetic(
            runtime=runtime,
            phase=phase,
            unit=row["unit"],
            native=row["unit"] in native,
            activations=row["activations"],
            steps=tuple(row["steps"]),
            source=row["source"],
        )
    return None


def _row_kind(format: Format) -> str:
    """Return the kind as rows of `multiply.toml` name it; formats without a GGUF type are plain."""
    kind, in_gguf = number_kind(format), format.name in FORMATS
    if kind in INTEGERS:
        return "integers" if in_gguf else "plain integers"
    return "plain fp4" if kind == "fp4" and not in_gguf else kind


def format_of(name: str) -> Format:
    """Return a format by its name, or the default one of a kind of number: fp8, int4, …

    Which weights share a scale does not matter for a product, so the name may leave it out.

    >>> format_of("fp8_e4m3").name, format_of("fp8").name
    ('FP8_E4M3_ROW', 'FP8_E4M3_ROW')

    Raises RecipeError, with similar names, for an unknown name.
    """
    named = name.strip().upper()
    whole = f"{named}_ROW"
    if plain_format(whole) is not None:
        named = whole
    return target_format(DEFAULT_FORMATS.get(name.strip().lower(), named))


@lru_cache(1)
def _rows() -> list[dict]:  # type: ignore[type-arg]
    text = files(__package__).joinpath("multiply.toml").read_text("utf-8")
    return list(tomllib.loads(text)["way"])
