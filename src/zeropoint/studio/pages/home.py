"""The first page: the models and the runs below the root."""

import time
from collections.abc import Sequence
from html import escape

from zeropoint.errors import CheckpointError
from zeropoint.results.divergence import MeasureResult
from zeropoint.results.runs import read_head, read_run
from zeropoint.studio.data import measure_runs
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.pages.layout import FOOTER, header, page, sidebar
from zeropoint.studio.report.html import Raw, number, section, size, table, text


def home(library: Library) -> str:
    """Return the first page: the models and the runs below the root."""
    listing = library.listing()
    models, runs = listing.of("model"), listing.of("run")
    cut = "<p>There are more files than were looked at: choose a narrower --root.</p>"
    body = header("studio", "Models and runs", "What lies below the folder that was opened.")
    body += f"<main>{models_of(models)}{runs_of(runs)}{cut if listing.cut else ''}</main>{FOOTER}"
    return page("Models and runs", sidebar(library, "/"), body)


def models_of(models: Sequence[LibraryEntry]) -> str:
    """Return the table of models; scripts fill in what only the headers tell."""
    if not models:
        return section(
            "models", "", "Models",
            "<p>No model here: put a .gguf file or a folder with config.json and .safetensors "
            "below it, or start <code>zeropoint studio MODEL</code>.</p>",
        )  # fmt: skip
    rows = [
        (
            Raw(f'<a href="/models/{model.id}/map">{text(model.name)}</a>'),
            Raw(f'<span data-model="{model.id}" data-key="architecture">…</span>'),
            Raw(f'<span data-model="{model.id}" data-key="parameters">…</span>'),
            size(model.bytes),
            Raw(f'<span data-model="{model.id}" data-key="bits_per_weight">…</span>'),
            when(model.changed),
        )
        for model in models
    ]
    columns = ("File", "Architecture", ">Parameters", ">Size", ">Bits per weight", "Changed")
    return section("models", "", "Models", f'<div class="wide">{table(columns, rows)}</div>')


def runs_of(runs: Sequence[LibraryEntry]) -> str:
    """Return the table of runs, with what to put into one report."""
    if not runs:
        return section(
            "runs", "", "Runs",
            "<p>No run here: <code>--run DIR</code> of measure, quantize, ladder, drift and tasks "
            "keeps one.</p>",
        )  # fmt: skip
    rows = [run_row(run) for run in runs]
    columns = ("In the report", "Folder", "Verb", "Of", ">KL, nats per token", "Verdict", "Changed")
    return section(
        "runs", "", "Runs",
        f'<form class="wide" method="get" action="/report">{table(columns, rows)}'
        '<p class="choices"><button type="submit">Report of the chosen runs</button> '
        '<button type="submit" formaction="/measure">Token by token</button> '
        '<button type="submit" formaction="/compare">Compare them</button> '
        '<button type="submit" formaction="/long-run">Over many steps</button></p></form>',
    )  # fmt: skip


def run_row(entry: LibraryEntry) -> tuple[object, ...]:
    """Return a run's line; a damaged one says so and cannot be chosen."""
    link: object = entry.name
    box = ""
    verb = of = verdict = ""
    kl = None
    try:
        head = read_head(entry.path)
        verb, of = head.verb, head.subject
        if not head.folder.results:
            verdict = "not finished"
        elif verb in measure_runs.VERBS:
            result = read_run(entry.path).result
            box = (
                f'<input type="checkbox" name="run" value="{entry.id}" '
                f'aria-label="{escape(entry.name)}">'
            )
            link = Raw(f'<a href="/report?run={entry.id}">{text(entry.name)}</a>')
            if isinstance(result, MeasureResult):
                kl, verdict = number(result.kl.mean, 3), result.verdict.word
    except CheckpointError as error:
        verdict = str(error)
    return Raw(box), link, verb, of, kl or "", verdict, when(entry.changed)


def when(seconds: float) -> str:
    """Return a time as a list has it."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
