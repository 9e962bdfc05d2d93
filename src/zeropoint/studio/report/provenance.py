"""Where a report comes from: when and how its runs were made, of which files and texts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from zeropoint.results.model_identity import ModelIdentity
from zeropoint.results.runs import Run
from zeropoint.studio.data.file_hashes import hashes_of
from zeropoint.studio.report.html import Html, element, facts, section, size


def made_by(run: Run) -> Html | None:
    """Return the line that says when, where and how a run was made; None for older runs."""
    origin = run.folder.origin
    if not origin.date:
        return None
    told = f"{run.path.name}: {origin.date}, zeropoint {origin.version}, {origin.machine}"
    command = [", ", element("code", origin.command)] if origin.command else []
    return element("p", told, *command, class_="made")


def provenance(runs: Sequence[Run], hashed_bytes: int | None) -> Html:
    """Return the section of the origin: verb, models, texts and hashes of each run."""
    parts: list[Html] = []
    for run in runs:
        pairs: list[tuple[str, object]] = [("Run", f"{run.path.name} ({run.verb})")]
        inputs = run.inputs
        named = [("Reference", inputs.reference), ("Quant", inputs.quant)]
        for label, side in [*named, *(("Model", side) for side in inputs.models)]:
            if side:
                told = f"{side.name}: {size(side.file_bytes)}, {formats_in(side.formats)}"
                pairs.append((label, told))
                pairs += checksums(side, run, hashed_bytes)
        for label, value in (
            ("Made from", ", ".join(inputs.source)),
            ("SHA-256 of the source", ", ".join(inputs.source_sha256)),
            ("Importance", inputs.imatrix),
            ("SHA-256 of the text", inputs.text.corpus if inputs.text else None),
            ("SHA-256 of the prompts", inputs.prompts),
            ("SHA-256 of the tasks", inputs.tasks),
        ):
            if value:
                pairs.append((label, value))
        parts.append(facts(pairs))
        if recipe := run.settings.recipe:
            parts.append(element("pre", recipe))
    return section("what", "What this is", *parts)


def checksums(side: ModelIdentity, run: Run, hashed_bytes: int | None) -> list[tuple[str, object]]:
    """Return the SHA-256 of each file of a model, or what identifies it without its files."""
    found = hashes_of(side, [run.path, Path()], hashed_bytes)
    if not found:
        told = f"{side.fingerprint[:16]} (header and samples; the file was not found for a SHA-256)"
        return [("Fingerprint", told)]
    if len(found) == 1:
        return [("SHA-256", element("code", found[0][1]))]
    return [(f"SHA-256 of {name}", element("code", value)) for name, value in found]


def formats_in(formats: Mapping[str, int]) -> str:
    """Return each format with its number of matrices."""
    order = sorted(formats, key=lambda name: (-formats[name], name))
    return ", ".join(f"{formats[name]} × {name}" for name in order)
