"""Terminal view of the result and the dry run of `quantize`."""

import re
from collections.abc import Sequence
from math import exp, log
from statistics import fmean
from typing import TYPE_CHECKING

from zeropoint.cli.output import Output
from zeropoint.formatting import format_bytes, format_count, format_seconds
from zeropoint.plans.formats.globs import spans

if TYPE_CHECKING:
    from zeropoint.quantizers import TensorWritten
    from zeropoint.results.quantize import PlannedTensor, QuantizePreview, QuantizeResult

NOTHING_TO_DO = "Nothing to do: every tensor has its format already, and would only be copied."
_LAYER = re.compile(r"blk\.(\d+)\.")
_OF_LAYER = re.compile(r" of layer \d+")


def show_preview(out: Output, preview: "QuantizePreview") -> None:
    """Print the exact size, the formats with their reasons, and the recipe.

    Tensors of different layers that get the same format for the same reason share a line.
    """
    size = preview.output_bytes
    out.say(
        f"{size:,} bytes ({format_bytes(size)}), {preview.bits_per_weight:.2f} bits per weight,"
        f" {size / preview.source_bytes:.0%} of {format_bytes(preview.source_bytes)}",
        style="bold",
    )
    if all(tensor.format == tensor.source_format for tensor in preview.tensors):
        out.say(NOTHING_TO_DO)
    out.say()
    out.table(("Tensors", "From", "To", ">Size", "Why"), fold_layers(preview.tensors))
    recipe = "\n".join("  " + line for line in preview.recipe.splitlines())
    out.say(f"\nRecipe\n{recipe}")
    out.note("--json lists every tensor")


def fold_layers(tensors: "Sequence[PlannedTensor]") -> list[tuple[str, str, str, str, str]]:
    """Return a row for each kind of tensor, format and reason, whatever the layer."""
    groups: dict[tuple[str, str, str, str], list[PlannedTensor]] = {}
    for tensor in tensors:
        name = _LAYER.sub("blk.*.", tensor.name)
        reason = _OF_LAYER.sub("", tensor.reason)
        groups.setdefault((name, tensor.source_format, tensor.format, reason), []).append(tensor)
    rows = []
    for (name, source, target, reason), group in groups.items():
        found = [_LAYER.match(tensor.name) for tensor in group]
        layers = spans(sorted(int(match[1]) for match in found if match))
        several = f"{{{layers}}}" if len(group) > 1 else layers
        size = format_bytes(sum(tensor.bytes for tensor in group))
        rows.append((name.replace("*", several, 1), source, target, size, reason))
    return rows


def show_result(
    out: Output, result: "QuantizeResult", written: "Sequence[TensorWritten]", to: str
) -> None:
    """Print the written files; `written` is empty for a Hugging Face folder.

    With `--quiet`, one line has the path, the size and the bits per weight.
    """
    if out.quiet:
        out.say(
            f"{' '.join(result.output or ())}   {format_bytes(result.output_bytes)}  "
            f" {result.bits_per_weight:.2f} bits per weight"
        )
        return
    if written:
        show_kinds(out, written)
        show_feedback(out, written)
        show_file(out, result)
        return
    out.say(
        f"{' '.join(result.output or ())}\n{format_bytes(result.output_bytes)}, all tensors in"
        f" {to}; {format_seconds(result.seconds)}. transformers loads this folder.",
        style="bold",
    )


def show_kinds(out: Output, written: "Sequence[TensorWritten]") -> None:
    """Print size and error of each kind of tensor."""
    from zeropoint.quantizers import summarize_by_kind

    out.table(
        ("Kind", ">?Tensors", "From", "To", ">?Size before", ">after", ">Relative error"),
        (
            (k.kind, k.tensors, k.source_format, k.format, format_bytes(k.source_bytes),
             format_bytes(k.nbytes), as_error(k.relative_error))
            for k in summarize_by_kind(written)
        ),
    )  # fmt: skip


def show_feedback(out: Output, written: "Sequence[TensorWritten]") -> None:
    """Print what error feedback did, if any tensor got it."""
    changes = [record.feedback for record in written if record.feedback]
    if not changes:
        return
    encoded = sum(record.encoded for record in written)
    ratios = [c.objective_after / c.objective_before for c in changes if c.objective_before > 0]
    typical = exp(fmean(map(log, ratios))) if ratios else 1.0
    out.say(
        f"\nError feedback: {len(changes)} of {encoded} quantized tensors. On the calibration text,"
        f" the squared error of their outputs is {typical:.2f} times that of rounding to nearest"
        " (geometric mean)."
    )
    rare = sum(change.rarely_used_rows for change in changes)
    if rare:
        out.say(
            f"{format_count(rare)} rows of experts keep their nearest codes, because too few tokens"
            " of the calibration text reached these experts."
        )


def show_file(out: Output, result: "QuantizeResult") -> None:
    """Print the size of the output, and what writing it took."""
    size = result.output_bytes
    speed = f" {format_count(result.weights_per_second)} weights per second,"
    if not result.weights_per_second:
        out.say("\nEvery tensor had its format already: this file is a copy.", style="yellow")
        speed = ""
    out.say(
        f"\n{' '.join(result.output or ())}\n"
        f"{format_bytes(size)}, {result.bits_per_weight:.2f} bits per weight,"
        f" {size / result.source_bytes:.0%} of the source; {format_seconds(result.seconds)},"
        f"{speed}"
        f" peak memory {format_bytes(result.peak_memory_bytes)}",
        style="bold",
    )


def as_error(relative: float | None) -> str:
    """Return a relative error as text; None, of a tensor that keeps its format, is "copied"."""
    return "copied" if relative is None else f"{relative:.2e}"
