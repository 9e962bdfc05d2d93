"""Terminal views of numbers, blocks, formats, presets and terms."""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from zeropoint.cli.output import Output
from zeropoint.formatting import format_bytes

if TYPE_CHECKING:
    from zeropoint.formats.describe import FormatDescription
    from zeropoint.formats.explain import BlockExplained, ValueExplained
    from zeropoint.formats.floats import FloatType
    from zeropoint.plans.formats.explain import PresetExplained
    from zeropoint.plans.speed.multiply import Multiplication

MAX_GROUPS = 16
MAX_CODES = 64  # of a type whose values are all printed
BILLION = 1_000_000_000
PHASES = {"generate": "generation", "prompt": "prompt processing"}


def show_value(out: Output, value: "ValueExplained") -> None:
    """Print a number bit by bit."""
    out.say(f"{value.value:.9g} in {value.type} is {value.stored:.9g}", style="bold")
    out.say()
    bits = (value.sign_bit, value.exponent_bits, value.mantissa_bits)
    digits = (len("".join(bits)) + 3) // 4
    out.table(("Sign", "Exponent", "Mantissa", "Code"), [(*bits, f"0x{value.code:0{digits}x}")])
    out.say()
    out.say(f"value       {value.formula} = {value.stored:.9g}")
    out.say(f"error       {error_of(value.error, value.relative_error)}")
    below = "none" if value.below is None else f"{value.below:.9g}"
    above = "none" if value.above is None else f"{value.above:.9g}"
    out.say(f"neighbours  {below} below, {above} above; the step between them is {value.step:.6g}")
    out.say(
        f"{value.type:<11} largest {value.largest:.6g}, smallest normal"
        f" {value.smallest_normal:.6g}, smallest {value.smallest:.6g}"
    )
    if value.saturated:
        out.say(f"            {value.value:.6g} exceeds the largest value and is stored as it")


def show_values(out: Output, values: Sequence["ValueExplained"]) -> None:
    """Print one number in several types."""
    out.say(f"{values[0].value:.9g} in the floating-point types", style="bold")
    out.table(
        ("Type", ">Stored", "Error", "Sign", "Exponent", "Mantissa"),
        [
            (
                value.type,
                f"{value.stored:.9g}",
                error_of(value.error, value.relative_error),
                value.sign_bit,
                value.exponent_bits,
                value.mantissa_bits,
            )
            for value in values
        ],
    )


def show_block(
    out: Output,
    block: "BlockExplained",
    steps: Sequence[str],
    other: "BlockExplained | None",
) -> None:
    """Print the weights of a block with their codes and scales.

    `steps` is the arithmetic of one weight. `other` is the same block in a format to compare with.
    """
    weights = "1 weight" if len(block.weights) == 1 else f"{len(block.weights)} weights"
    out.say(f"{block.format}: {weights} in {block.bytes} bytes, {block.equation}", style="bold")
    for step in steps:
        out.say(step)
    if not steps and block.scale_rule:
        out.say(f"scale  = {block.scale_rule}")
    shared = block.groups if block.shared else ()
    for group in shared[:MAX_GROUPS]:
        point = "" if group.zero_point is None else f"   zero point {group.zero_point}"
        minimum = "" if group.minimum is None else f"   minimum {group.minimum:.6g}"
        where = f"{group.first}-{group.last}"
        out.say(f"group  {where:<8} scale {group.scale:.9g}{point}{minimum}")
    if len(shared) > MAX_GROUPS:
        out.say(f"… and {len(shared) - MAX_GROUPS} more groups")
    out.say()
    out.table(
        (">Weight", ">Code", ">Means", ">Stored", ">Error"),
        [
            (
                f"{w.weight:.6g}",
                w.code,
                f"{w.value:.6g}",
                f"{w.stored:.6g}",
                error_of(w.error, w.error / abs(w.weight) if w.weight else None),
            )
            for w in block.weights
        ],
    )
    out.say()
    out.say(f"mean |error|  {mean_error(block)}")
    if other is not None:
        zero_point = other.groups[0].zero_point
        single = zero_point is not None and len(other.groups) == 1
        detail = f", zero point {zero_point}" if single else ""
        out.say(f"compared with {mean_error(other)} in {other.format}{detail}")
    if block.padding:
        out.say(f"padding       {block.padding} zeros fill the last block")
    if block.unused:
        out.say(f"unused        {block.unused}")


def show_format(out: Output, about: "FormatDescription") -> None:
    """Print the description of a format."""
    out.say(f"{about.name}   {size_of(about)}", style="bold")
    out.say(about.summary)
    out.say()
    out.say(f"weight   {about.equation}")
    if about.scale_rule:
        out.say(f"scale    {about.scale_rule}")
    out.say(f"bytes    {about.layout}")
    if about.group_size and about.group_size > 1:
        out.say(f"group    {about.group_size} weights share a scale")
    if about.bits_per_weight:
        size = format_bytes(about.bits_per_weight * BILLION / 8)
        out.say(f"size     {size} per billion weights; {format_bytes(2 * BILLION)} in F16")
    if about.ggml_type is not None:
        out.say(f"type     {about.ggml_type} in the tensor table of a GGUF file")
    out.say(f"read by  {about.readers}")
    if not about.writable:
        out.say("written  no: this format can only be read")


def size_of(about: "FormatDescription") -> str:
    """Return the size of a format as text."""
    if about.bits_per_weight is None:
        return "bits per weight depend on the shape of the tensor"
    weights = "weight" if about.block_size == 1 else "weights"
    return (
        f"{about.bits_per_weight:.6g} bits per weight:"
        f" {about.block_size} {weights} in {about.block_bytes} bytes"
    )


def show_type(out: Output, type: "FloatType") -> None:
    """Print a floating-point type and, if there are few, its values."""
    facts = type_facts(type)
    out.say(
        f"{type.name}   1 sign bit, {type.exponent_bits} of exponent, {type.mantissa_bits} of"
        " mantissa",
        style="bold",
    )
    out.table(
        (">Largest", ">Smallest normal", ">Smallest", ">Step at 1"),
        [
            [
                f"{facts[key]:.6g}"
                for key in ("largest", "smallest_normal", "smallest", "step_at_one")
            ]
        ],
    )
    if 2**type.bits <= MAX_CODES:
        half = [f"{value:g}" for value in type.table[: 2 ** (type.bits - 1)].tolist()]
        out.say(f"values ±  {' '.join(half)}")
    out.say()


def type_facts(type: "FloatType") -> dict[str, float]:
    """Return the range and the precision of a type, for the JSON object."""
    return {
        "exponent_bits": type.exponent_bits,
        "mantissa_bits": type.mantissa_bits,
        "bias": type.bias,
        "largest": type.max,
        "smallest_normal": type.smallest_normal,
        "smallest": type.smallest,
        "step_at_one": type.step_at_one,
    }


def show_preset(out: Output, preset: "PresetExplained", typed: str, *, alone: bool) -> None:
    """Print the rules of a preset. If it is not `alone`, a format of that name is printed above."""
    if not alone:
        out.say()
    base = f"{preset.base} for every matrix" if preset.base else "every tensor keeps its format"
    colon = ", except:" if preset.deviations else ""
    name = f"{preset.name} is a preset" if alone else f"--to {typed} is the preset {preset.name}"
    out.say(f"{name}: {base}{colon}", style="bold")
    out.table(
        ("Format", "Tensors", "When"),
        [
            (
                rule.format,
                rule.tensors,
                rule.where.replace("whose rows", "if their rows") or "always",
            )
            for rule in preset.deviations
        ],
    )
    if preset.deviations:
        out.say(
            "The first line that applies counts. A token embedding that is also the output matrix"
        )
        out.say("is treated as the output matrix. Norms and other vectors keep their format.")
    if preset.particular:
        out.say(f"More exceptions: {', '.join(preset.particular)}.")
    if preset.fallback:
        out.say(
            f"Rows that are not a multiple of {preset.base}'s block get {preset.fallback} instead."
        )
    if preset.needs_importance:
        out.say("Requires an importance matrix: without one the weights would be noise.")
    out.say(f"Rules of {preset.rules_version}. `quantize --dry-run` shows them on your model.")


def show_multiplication(out: Output, product: "Multiplication") -> None:
    """Print the number types that a device multiplies, by runtime and phase."""
    out.say(f"{product.format} on {product.device}", style="bold")
    packed = f": {product.codes_per_byte:g} codes per byte" if product.codes_per_byte > 1 else ""
    out.say(f"weights    {product.bits}-bit codes{packed}; they stand for {product.kind} numbers")
    out.say(f"device     multiplies natively {', '.join(product.native)}   ({product.family})")
    if product.note:
        out.say(f"           {product.note}")
    if product.becomes == product.kind:
        out.say(f"so         {product.kind} could be multiplied without a conversion")
    else:
        out.say(f"so         {product.kind} is converted at least to {product.becomes}")
    for _, group in groupby(product.ways, key=lambda way: (way.runtime, way.steps)):
        rows = list(group)
        way, phases = rows[0], " and ".join(PHASES[way.phase] for way in rows)
        unit = f"multiplies {way.unit}" if way.unit else "cannot run it"
        emulated = "" if way.native or not way.unit else ", which the device has no units for"
        out.say()
        out.say(f"{way.runtime}, {phases}: {unit}{emulated}", style="bold")
        if way.activations:
            out.say(f"  activations  {way.activations}")
        for number, step in enumerate(way.steps, 1):
            out.say(f"  {number}. {step}")
        out.say(f"  source: {way.source}")


def show_term(out: Output, term: str, text: str) -> None:
    """Print a term and its explanation."""
    from textwrap import fill

    out.say(term, style="bold")
    out.say(fill(text, 96))


def error_of(error: float, relative: float | None) -> str:
    """Return an error with its sign, and as a percentage of the value.

    >>> error_of(-0.0328571, -0.2053571), error_of(0.0, 0.0), error_of(0.1, None)
    ('-0.0328571 (-20.5 %)', 'none', '+0.1')
    """
    if error == 0:
        return "none"
    share = "" if relative is None else f" ({100 * relative:+.3g} %)"
    return f"{error:+.6g}{share}"


def mean_error(block: "BlockExplained") -> str:
    """Return the mean relative error of a block as a percentage.

    >>> from zeropoint.formats.explain import explain_block, find_for_block
    >>> mean_error(explain_block([-0.89, .16, .08, -.13, .16, -.54], find_for_block("int4-asym")))
    '8.5 %'
    """
    if block.mean_relative_error is None:
        return "none: all weights are 0"
    return f"{100 * block.mean_relative_error:.1f} %"
