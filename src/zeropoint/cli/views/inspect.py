"""Terminal view of a model's inventory."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from zeropoint.cli.output import Output
from zeropoint.cli.views.proof import show_proof
from zeropoint.formatting import format_bytes, format_count

if TYPE_CHECKING:
    from zeropoint.results.inventory import EmbeddedRecipe, ModelInventory, ModelOutline

MAX_OUTLIERS = 5
MAX_RECIPE_LINES = 200
MAX_LINE_CHARACTERS = 200
MAX_TENSOR_ROWS = 20_000  # in the table of tensors


def show_inventory(out: Output, model: "ModelInventory") -> None:
    """Print the model's figures, formats, recipe, origin and outliers."""
    if model.kind.name == "imatrix":
        out.say(
            f"Importance matrix (imatrix), {format_count(model.elements)} numbers", style="bold"
        )
    else:
        out.say(headline(model.model, model.elements), style="bold")
    if model.kind.name != "model":
        out.say(f"This file or folder is {model.kind.described}; {model.kind.advice}.")
    tensors = sum(share.tensors for share in model.formats)
    out.say(
        f"{format_bytes(model.file_bytes)}   {model.bits_per_weight:.2f} bits per weight"
        f"   {tensors} tensors   {model.container},"
        f" {len(model.files)} file{'s'[: len(model.files) > 1]}"
    )
    out.say()
    out.table(
        ("Format", ">Tensors", ">Weights", ">Bits", ">Size", ">Share"),
        (
            (share.label, share.tensors, format_count(share.elements),
             f"{share.bits_per_weight:.2f}", format_bytes(share.nbytes),
             f"{share.nbytes / model.file_bytes:.1%}")
            for share in model.formats
        ),
    )  # fmt: skip
    if model.recipe and not out.as_json:
        show_recipe(out, model.recipe)
    facts = {**(model.imatrix or {}), **model.origin}
    if facts:
        out.say()
        out.table(("Origin", ""), facts.items())
    if model.proof:
        show_proof(out, model.proof)
    show_outliers(out, model)


def show_recipe(out: Output, recipe: "EmbeddedRecipe") -> None:
    """Print the first lines of a recipe, and how many characters are left out."""
    lines = recipe.text[: MAX_RECIPE_LINES * MAX_LINE_CHARACTERS].splitlines()[:MAX_RECIPE_LINES]
    out.say(f"\nRecipe ({recipe.source})")
    out.say("\n".join(f"  {line[:MAX_LINE_CHARACTERS]}" for line in lines))
    shown = sum(len(line[:MAX_LINE_CHARACTERS]) + 1 for line in lines)
    left_out = len(recipe.text) + recipe.characters_left_out - shown
    if left_out > 0:
        out.say(f"  … ({left_out:,} characters are left out)")


def show_outliers(out: Output, model: "ModelInventory") -> None:
    """Print the most extreme weights, and a warning for weights that are not finite."""
    outliers = [(entry.name, entry.outlier) for entry in model.outliers if entry.outlier]
    if outliers:
        out.say()
        out.table(
            ("Outliers", ">max |w| / σ", ">Weight", ">Row", ">Column"),
            (
                (name, f"{weight.largest_over_sigma:.1f}", f"{weight.largest:.4g}",
                 *weight.largest_at)
                for name, weight in outliers[:MAX_OUTLIERS]
            ),
        )  # fmt: skip
    for name, weight in outliers:
        if not weight.finite:
            out.warn(f"{name} holds weights that are not finite")


def headline(outline: "ModelOutline", elements: int) -> str:
    """Return the model's name and main figures in one line."""
    heads = None
    if outline.heads:
        heads = f"{outline.heads} query and {outline.key_value_heads} KV heads"
    experts = f"{outline.experts} experts, {outline.experts_used} used" if outline.experts else None
    parts = [
        outline.name or "a model without a name",
        outline.architecture,
        f"{format_count(elements)} weights",
        outline.layers and f"{outline.layers} layers",
        heads,
        experts,
        outline.context and f"context {outline.context}",
        outline.vocabulary and f"vocabulary {outline.vocabulary}",
    ]
    return "   ".join(str(part) for part in parts if part)


def show_tensors(out: Output, model: "ModelInventory") -> None:
    """Print one line for each tensor of the inventory."""
    out.say()
    out.table(
        ("Tensor", "Format", ">Shape", ">Size", ">max |w| / σ"),
        (
            (entry.name, entry.format, " × ".join(map(str, entry.shape)), format_bytes(entry.bytes),
             f"{entry.outlier.largest_over_sigma:.1f}" if entry.outlier else "")
            for entry in model.tensors[:MAX_TENSOR_ROWS]
        ),
    )  # fmt: skip
    if len(model.tensors) > MAX_TENSOR_ROWS:
        left_out = len(model.tensors) - MAX_TENSOR_ROWS
        out.note(f"{left_out} more tensors are left out; --json lists all of them")


def as_json_object(model: "ModelInventory") -> Mapping[str, object]:
    """Return the JSON object, whose rows for tensors are made while they are printed."""
    rows = (tensor.to_json() for tensor in model.tensors)
    return replace(model, tensors=()).to_json() | {"tensors": rows}
