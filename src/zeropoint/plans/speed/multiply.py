"""What really happens in the arithmetic: which numbers a machine multiplies for a format.

A device multiplies a few kinds of numbers natively. A kind that it does not is converted to the
next one up before it is multiplied: FP4 to FP8 or FP16, BF16 (whose range FP16 lacks) to FP32. What
a runtime does may be further from the format than the device demands: llama.cpp unpacks 4-bit
codes to 8-bit integers everywhere. `multiply.toml` has that as data, with sources.
"""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from zeropoint.checkpoints.gguf import TYPE_OF_FORMAT
from zeropoint.errors import RecipeError
from zeropoint.formats import Format
from zeropoint.plans.formats.names import target_format
from zeropoint.plans.machines.machines import Device

PHASES = ("generate", "prompt")
# The kinds of numbers that can stand for one without loss, the nearest first.
UP = {
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
USUAL = {
    "fp4": "MXFP4", "fp8": "FP8_E4M3_ROW", "fp16": "F16", "float16": "F16", "bfloat16": "BF16",
    "fp32": "F32", "int8": "INT8_SYM_ROW", "int4": "INT4_SYM_G128", "ternary": "TQ2_0",
}  # fmt: skip


@dataclass(frozen=True)
class Way:
    """What one runtime does in one phase."""

    runtime: str
    phase: str
    unit: str  # the kind of number that is multiplied; empty: it cannot be run
    native: bool  # the device has units for it
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
    kind: str  # of numbers that the codes stand for
    bits: int  # of a code
    codes_per_byte: float
    becomes: str  # what the device must convert them to at least; the kind itself where native
    ways: tuple[Way, ...]


def number_kind(format: Format) -> str:
    """Return the kind of numbers that a format's codes stand for.

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
    """Return how many bits a code has: what a block has for each weight, scales left out.

    >>> from zeropoint.formats import find_format
    >>> [code_bits(find_format(name)) for name in ("Q4_K", "MXFP4", "Q6_K", "IQ2_XXS", "F16")]
    [4, 4, 6, 2, 16]
    """
    for part in ("FP4", "INT4", "Q4", "NF4"):
        if part in format.name:
            return 4
    return max(int(8 * format.block_bytes / format.block_size), 1) if format.block_size else 8


def next_native(kind: str, native: tuple[str, ...]) -> str:
    """Return what a number of this kind is converted to before it is multiplied.

    >>> next_native("fp8", ("fp32", "fp16")), next_native("bf16", ("fp32", "fp16"))
    ('fp16', 'fp32')

    Raises RecipeError for an unknown kind.
    """
    if kind not in UP:
        raise RecipeError(f"{kind!r} is no kind of number; these are: {', '.join(UP)}")
    return next((up for up in UP[kind] if up in native), "fp32")


def multiplication(device: Device, format: Format) -> Multiplication:
    """Return the arithmetic of a format on a device, in every runtime that is known for it."""
    kind, bits = number_kind(format), code_bits(format)
    family = device.family
    found = []
    for runtime in dict.fromkeys(str(row["runtime"]) for row in _rows()):
        for phase in PHASES:
            way = find_way(runtime, family.id, format, phase, family.native)
            if way:
                found.append(way)
    return Multiplication(
        device=device.name, family=family.name, native=family.native, note=family.note,
        format=format.name, kind=kind, bits=bits, codes_per_byte=8 / bits,
        becomes=next_native(kind, family.native), ways=tuple(found),
    )  # fmt: skip


def find_way(
    runtime: str, family: str, format: Format, phase: str, native: tuple[str, ...]
) -> Way | None:
    """Return what a runtime does, or None if it does not run there."""
    wanted = row_kind(format)
    for row in _rows():
        if row["runtime"] != runtime or phase not in row.get("phases", PHASES):
            continue
        if family not in row.get("families", (family,)):
            continue
        if format.name not in row.get("formats", (format.name,)):
            continue
        if wanted not in row.get("kinds", (wanted,)):
            continue
        return Way(runtime, phase, row["unit"], row["unit"] in native, row["activations"],
                   tuple(row["steps"]), row["source"])  # fmt: skip
    return None


def row_kind(format: Format) -> str:
    """Return what rows of `multiply.toml` call a format: what GGUF does not have is plain."""
    kind, in_gguf = number_kind(format), format.name in TYPE_OF_FORMAT
    if kind in INTEGERS:
        return "integers" if in_gguf else "plain integers"
    return "plain fp4" if kind == "fp4" and not in_gguf else kind


def format_of(name: str) -> Format:
    """Return a format by its name, or a usual one of a kind of number: fp8, int4, …"""
    return target_format(USUAL.get(name.strip().lower(), name))


@lru_cache(1)
def _rows() -> list[dict]:  # type: ignore[type-arg]
    text = Path(__file__).with_name("multiply.toml").read_text("utf-8")
    return list(tomllib.loads(text)["way"])
