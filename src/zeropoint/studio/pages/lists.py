"""Parts of lists of models and runs, which several pages show."""

import time
from collections.abc import Sequence

from zeropoint.studio.data.library import LibraryEntry
from zeropoint.studio.data.run_summary import RunSummary
from zeropoint.studio.report.html import Html, element, literal, names_broken, number, verdict_chip

EMPTY_CELL = literal("")
NO_MODELS_NOTE = literal(
    '<div class="empty"><p>This folder has no models yet. Put a .gguf file into it, or a folder '
    "with config.json and .safetensors files. Or start the studio with a model of the Hugging Face "
    "hub, which is downloaded once:</p>"
    "<pre>zeropoint studio Qwen/Qwen2.5-Coder-0.5B-Instruct</pre></div>"
)


def outermost(runs: Sequence[LibraryEntry]) -> list[LibraryEntry]:
    """Return the runs that are not inside another run, as the levels of a ladder are."""
    folders = {run.path for run in runs}
    return [run for run in runs if run.path.parent not in folders]


def run_row(entry: LibraryEntry, run: RunSummary) -> tuple[object, ...]:
    """Return the row of a run; a damaged run is marked and cannot be selected."""
    link: object = names_broken(entry.name)
    box = EMPTY_CELL
    if run.shown:
        box = element("input", type="checkbox", name="run", value=entry.id, aria_label=entry.name)
        link = element("a", link, href=f"/report?run={entry.id}", class_="name")
    kl = "" if run.kl is None else number(run.kl, 3)
    result = verdict_chip(run.verdict) if run.verdict else run.problem or run.finding
    return box, link, run.verb, names_broken(run.subject), kl, result, when(entry.changed)


def when(seconds: float) -> Html:
    """Return a time in the format of the tables."""
    return element("time", time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)))
