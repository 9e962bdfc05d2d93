"""The page of long runs: texts, chains and tasks, as the report shows them."""

from collections.abc import Sequence

from zeropoint.errors import CheckpointError, MeasurementError
from zeropoint.results.run_store import RunFolder
from zeropoint.studio.data import measure_runs
from zeropoint.studio.data.drift_runs import LONG_RUN_VERBS, steps_of
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.pages.layout import (
    COMPARE_TABS,
    content,
    header,
    page,
    run_chooser,
    sidebar,
    tabs,
)
from zeropoint.studio.pages.start_run import start_here
from zeropoint.studio.report import drift_sections
from zeropoint.studio.report.html import literal, paragraph, section

TITLES = {"drifts": "Texts of the same prompts", "chains": "Chains", "tasks": "Tasks"}

LEAD_SENTENCE = (
    "What single-token figures miss: when the texts of the two models diverge, whether errors "
    "compound, and how many tasks of several steps still succeed."
)


TERMINAL_NOTE = literal(
    "<p>In a terminal, <code>zeropoint drift QUANT.gguf --ref MODEL.gguf --run DIR</code>, "
    "<code>zeropoint tasks</code> and <code>zeropoint compare</code> make such runs.</p>"
)


def long_run(library: Library, chosen: Sequence[LibraryEntry]) -> str:
    """Return the page of these runs; of the latest if none is chosen.

    Raises MeasurementError for a run without long-run results.
    """
    offered = list(runs_of_steps(library))
    shown = list(chosen) or offered[:1]
    top = header(
        "", "Long texts and tasks", LEAD_SENTENCE, tabs(COMPARE_TABS, "/long-run", "Compare")
    )
    here = sidebar(library, "/long-run")
    start, data = start_here(library, ("drift", "tasks", "compare"), "Start a comparison")
    if not shown:
        return page("Long texts and tasks", here, content(top, start, TERMINAL_NOTE), data)
    runs = measure_runs.open_runs([entry.path for entry in shown])
    for run in runs:
        if run.verb not in LONG_RUN_VERBS:
            raise MeasurementError(
                f"{run.path.name} is a run of {run.verb}; this page shows runs of drift and tasks"
            )
    steps = steps_of(runs)
    places = drift_sections.figures_of(steps)
    parts = [section(key, TITLES[key], drawn) for key, drawn in places.items()]
    if not parts:
        parts = [paragraph("These runs have no texts, chains or answers to tasks.")]
    chosen_ids = [entry.id for entry in shown]
    chooser = run_chooser(offered, chosen_ids, "/long-run", "Runs of drift, tasks and compare")
    return page(
        "Long texts and tasks",
        here,
        content(top, chooser, *parts, start),
        steps.as_page_data() | data,
    )


def runs_of_steps(library: Library) -> list[LibraryEntry]:
    """Return the finished runs of drift, tasks and compare, the latest first."""
    entries = []
    for entry in library.listing().of("run"):
        try:
            folder = RunFolder.open(entry.path)
            if folder.identity.get("verb") in LONG_RUN_VERBS and folder.results:
                entries.append(entry)
        except CheckpointError:
            continue  # the home page shows the reason
    return entries
