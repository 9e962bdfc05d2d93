"""A model as `inspect` shows it: a page for people, an object for programs."""

from collections.abc import Mapping
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from zeropoint.cli.output import Output, in_bytes, in_count

if TYPE_CHECKING:
    from zeropoint.checkpoints import Checkpoint
    from zeropoint.plans.formats.inventory import Outline
    from zeropoint.quantizers import TensorScanned

SHOWN = 5  # outliers
LINES_SHOWN = 200  # of a recipe
LINE_SHOWN = 200  # characters of such a line
TENSORS_SHOWN = 20_000  # in the table for people


def show_model(out: Output, source: "Checkpoint", seen: Mapping[str, "TensorScanned"]) -> None:
    """Print the page for people."""
    from zeropoint.checkpoints.files.file_kind import find_file_kind
    from zeropoint.plans import bits_per_weight
    from zeropoint.plans.formats import inventory

    infos = source.tensors.values()
    elements = sum(info.elements for info in infos)
    bits = bits_per_weight(source.file_bytes, infos)
    out.say(headline(inventory.outline(source.metadata), elements), style="bold")
    kind = find_file_kind(source)
    if kind.name != "model":
        out.say(f"This file or folder is {kind.described}; {kind.advice}.")
    out.say(
        f"{in_bytes(source.file_bytes)}   {bits:.2f} bits per weight   {len(infos)} tensors"
        f"   {source.kind}, {len(source.files)} file{'s'[: len(source.files) > 1]}"
    )
    out.say()
    out.table(
        ("Format", ">Tensors", ">Weights", ">Bits", ">Size", ">Share"),
        (
            (share.label, share.tensors, in_count(share.elements), f"{share.bits_per_weight:.2f}",
             in_bytes(share.nbytes), f"{share.nbytes / source.file_bytes:.1%}")
            for share in inventory.shares((info.format.name, info) for info in infos)
        ),
    )  # fmt: skip
    recipe, origin_of_recipe = inventory.recipe_in(source)
    if recipe and not out.as_json:
        show_recipe(out, recipe, origin_of_recipe)
    facts = {**inventory.imatrix(source.metadata), **inventory.origin(source.metadata)}
    if facts:
        out.say()
        out.table(("Origin", ""), facts.items())
    ranked = sorted(seen.values(), key=lambda found: -found.ratio)[:SHOWN]
    if ranked:
        out.say()
        out.table(
            ("Outliers", ">max |w| / σ", ">Weight", ">Row", ">Column"),
            ((f.name, f"{f.ratio:.1f}", f"{f.largest:.4g}", f.row, f.column) for f in ranked),
        )
    for broken in (found.name for found in seen.values() if not found.finite):
        out.warn(f"{broken} holds weights that are not finite")


def show_recipe(out: Output, recipe: str, origin: str) -> None:
    """Print the first lines of a recipe, and how much is left out."""
    lines = recipe[: LINES_SHOWN * LINE_SHOWN].splitlines()[:LINES_SHOWN]
    out.say(f"\nRecipe ({origin})")
    out.say("\n".join(f"  {line[:LINE_SHOWN]}" for line in lines))
    left_out = len(recipe) - sum(len(line[:LINE_SHOWN]) + 1 for line in lines)
    if left_out > 0:
        out.say(f"  … ({left_out:,} characters are left out)")


def headline(facts: "Outline", elements: int) -> str:
    """Return the model in one line."""
    heads = f"{facts.heads}/{facts.key_value_heads} heads" if facts.heads else None
    experts = f"{facts.experts} experts, {facts.experts_used} used" if facts.experts else None
    parts = [
        facts.name or "a model without a name",
        facts.architecture,
        f"{in_count(elements)} weights",
        facts.layers and f"{facts.layers} layers",
        heads,
        experts,
        facts.context and f"context {facts.context}",
        facts.vocabulary and f"vocabulary {facts.vocabulary}",
    ]
    return "   ".join(str(part) for part in parts if part)


def show_tensors(
    out: Output, source: "Checkpoint", names: str, seen: Mapping[str, "TensorScanned"]
) -> None:
    """Print one line for each tensor whose name matches the glob `names`."""
    matching = [info for info in source.tensors.values() if fnmatchcase(info.name, names)]
    out.say()
    out.table(
        ("Tensor", "Format", ">Shape", ">Size", ">max |w| / σ"),
        (
            (info.name, info.format.name, " × ".join(map(str, info.shape)), in_bytes(info.nbytes),
             f"{seen[info.name].ratio:.1f}" if info.name in seen else "")
            for info in matching[:TENSORS_SHOWN]
        ),
    )  # fmt: skip
    if len(matching) > TENSORS_SHOWN:
        out.note(f"{len(matching) - TENSORS_SHOWN} more tensors are left out; --json lists all")


def as_result(
    source: "Checkpoint", names: str, seen: Mapping[str, "TensorScanned"] | None
) -> dict[str, object]:
    """Return what `--json` prints; `seen` None: nobody looked at the weights."""
    from zeropoint.checkpoints.files.file_kind import find_file_kind
    from zeropoint.plans import bits_per_weight
    from zeropoint.plans.formats import inventory

    infos = source.tensors.values()
    kind = find_file_kind(source)
    recipe, where = inventory.recipe_in(source)
    return {
        "kind": {
            "name": kind.name,
            "described": kind.described,
            "advice": kind.advice or None,
            "uses": sorted(kind.uses),
        },
        "files": [path.name for path in source.files],
        "file_bytes": source.file_bytes,
        "elements": sum(info.elements for info in infos),
        "bits_per_weight": bits_per_weight(source.file_bytes, infos),
        "model": asdict(inventory.outline(source.metadata)),
        "formats": [
            {**asdict(share), "bits_per_weight": share.bits_per_weight}
            for share in inventory.shares((info.format.name, info) for info in infos)
        ],
        "recipe": recipe_result(recipe, where) if recipe else None,
        "imatrix": inventory.imatrix(source.metadata) or None,
        "origin": inventory.origin(source.metadata),
        "tensors": (
            {
                "name": info.name,
                "format": info.format.name,
                "shape": info.shape,
                "bytes": info.nbytes,
                **(outlier(seen[info.name]) if seen and info.name in seen else {}),
            }
            for info in infos
            if not names or fnmatchcase(info.name, names)
        ),
    }


def recipe_result(recipe: str, origin: str) -> dict[str, object]:
    """Return a recipe for JSON; one that is longer than any recipe file may be is cut."""
    from zeropoint.plans.formats.inventory import RECIPE_SHOWN

    left_out = max(len(recipe) - RECIPE_SHOWN, 0)
    return {"text": recipe[:RECIPE_SHOWN], "from": origin, "characters_left_out": left_out}


def outlier(found: "TensorScanned") -> dict[str, object]:
    """Return a tensor's largest weight for JSON."""
    return {
        "largest": found.largest,
        "largest_at": [found.row, found.column],
        "sigma": found.sigma,
        "largest_over_sigma": found.ratio,
        "finite": found.finite,
    }
