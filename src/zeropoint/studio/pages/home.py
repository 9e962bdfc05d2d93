"""The first page: the models and the runs below the root."""

import time
from collections.abc import Sequence

from zeropoint.errors import CheckpointError
from zeropoint.results.divergence import MeasureResult
from zeropoint.results.runs import read_head, read_run
from zeropoint.studio.data import measure_runs
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.pages.layout import content, header, page, sidebar
from zeropoint.studio.report.html import Html, element, literal, number, section, size, table, wide

NO_MODELS_NOTE = literal(
    "<p>No model here: put a .gguf file or a folder with config.json and .safetensors "
    "below it, or start <code>zeropoint studio MODEL</code>.</p>"
)
NO_RUNS_NOTE = literal(
    "<p>No run here: <code>--run DIR</code> of measure, quantize, ladder, drift and tasks "
    "keeps one.</p>"
)
CUT_NOTE = literal("<p>There are more files than were looked at: choose a narrower --root.</p>")
RUN_CHOICES = literal(
    '<p class="choices"><button type="submit">Report of the chosen runs</button> '
    '<button type="submit" formaction="/measure">Token by token</button> '
    '<button type="submit" formaction="/compare">Compare them</button> '
    '<button type="submit" formaction="/long-run">Over many steps</button> '
    '<button type="submit" formaction="/search">Recipes of a search</button></p>'
)
EMPTY_CELL = literal("")


def home(library: Library) -> str:
    """Return the first page: the models and the runs below the root."""
    listing = library.listing()
    models, runs = listing.of("model"), listing.of("run")
    body = header("studio", "Models and runs", "What lies below the folder that was opened.")
    parts = [models_of(models), runs_of(runs)]
    if listing.cut:
        parts.append(CUT_NOTE)
    return page("Models and runs", sidebar(library, "/"), content(body, *parts))


def models_of(models: Sequence[LibraryEntry]) -> Html:
    """Return the table of models; scripts fill in the values of the headers."""
    if not models:
        return section(
            "models",
            "",
            "Models",
            NO_MODELS_NOTE,
        )
    rows = [
        (
            element("a", model.name, href=f"/models/{model.id}/map"),
            later(model, "architecture"),
            later(model, "parameters"),
            size(model.bytes),
            later(model, "bits_per_weight"),
            when(model.changed),
        )
        for model in models
    ]
    columns = ("File", "Architecture", ">Parameters", ">Size", ">Bits per weight", "Changed")
    return section("models", "", "Models", wide(table(columns, rows)))


def runs_of(runs: Sequence[LibraryEntry]) -> Html:
    """Return the table of runs, with check boxes that select the runs of a report."""
    if not runs:
        return section(
            "runs",
            "",
            "Runs",
            NO_RUNS_NOTE,
        )
    rows = [run_row(run) for run in runs]
    columns = ("In the report", "Folder", "Verb", "Of", ">KL, nats per token", "Verdict", "Changed")
    return section(
        "runs",
        "",
        "Runs",
        element(
            "form", table(columns, rows), RUN_CHOICES, class_="wide", method="get", action="/report"
        ),
    )


def run_row(entry: LibraryEntry) -> tuple[object, ...]:
    """Return the row of a run; a damaged run is marked and cannot be selected."""
    link: object = entry.name
    box = EMPTY_CELL
    verb = of = verdict = ""
    kl = None
    try:
        head = read_head(entry.path)
        verb, of = head.verb, head.subject
        if not head.folder.results:
            verdict = "not finished"
        elif verb in measure_runs.VERBS:
            result = read_run(entry.path).result
            box = element(
                "input", type="checkbox", name="run", value=entry.id, aria_label=entry.name
            )
            link = element("a", entry.name, href=f"/report?run={entry.id}")
            if isinstance(result, MeasureResult):
                kl, verdict = number(result.kl.mean, 3), result.verdict.word
    except CheckpointError as error:
        verdict = str(error)
    return box, link, verb, of, kl or "", verdict, when(entry.changed)


def later(model: LibraryEntry, key: str) -> Html:
    """Return a cell that scripts fill with a value of the model's header."""
    return element("span", "…", data_model=model.id, data_key=key)


def when(seconds: float) -> str:
    """Return a time in the format of the tables."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
