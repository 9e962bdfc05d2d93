"""The page of runs over many steps: texts, chains and tasks, as the report shows them."""

from collections.abc import Sequence

from zeropoint.errors import CheckpointError, MeasurementError
from zeropoint.results.run_store import RunFolder
from zeropoint.studio.data import measure_runs
from zeropoint.studio.data.drift_runs import LONG_RUN_VERBS, steps_of
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.pages.layout import FOOTER, header, page, sidebar
from zeropoint.studio.pages.start_run import start_here
from zeropoint.studio.report import drift_sections
from zeropoint.studio.report.html import section, text

TITLES = {"drifts": "Texts that begin the same", "chains": "Chains", "tasks": "Tasks"}

LEAD = (
    "What single-token figures miss: when the texts of a quant part from its reference's, whether "
    "losses compound, and what becomes of tasks of several steps."
)

NO_RUNS_NOTE = """
<p>No run of this kind lies below the folder yet. Start one here, or in a terminal:</p>
<pre>zeropoint drift QUANT.gguf --ref MODEL.gguf --run runs/drift
zeropoint tasks MODEL.gguf QUANT.gguf --tasks FILE.jsonl --run runs/tasks
zeropoint compare MODEL.gguf OTHER.gguf --tasks python --allow-code --chains 16 --run runs/across
</pre>"""


def long_run(library: Library, chosen: Sequence[LibraryEntry]) -> str:
    """Return the page of these runs; of the latest if none is chosen.

    Raises MeasurementError for a run that tells nothing over many steps.
    """
    offered = list(runs_of_steps(library))
    shown = list(chosen) or offered[:1]
    body = header("long run", "Over many steps", LEAD)
    here = sidebar(library, "/long-run")
    start, data = start_here(library, ("drift", "tasks", "compare"), "Start a run over many steps")
    if not shown:
        empty = section("runs", "", "Runs", NO_RUNS_NOTE)
        return page("Long run", here, f"{body}<main>{empty}{start}</main>{FOOTER}", data)
    runs = measure_runs.open_runs([entry.path for entry in shown])
    for run in runs:
        if run.verb not in LONG_RUN_VERBS:
            raise MeasurementError(
                f"{run.path.name} is a run of {run.verb}; this page shows runs of drift and tasks"
            )
    steps = steps_of(runs)
    places = drift_sections.figures_of(steps)
    parts: list[str] = [section(key, "", TITLES[key], drawn) for key, drawn in places.items()]
    if not parts:
        parts = ["<p>These runs hold neither texts nor chains nor answers to tasks.</p>"]
    inside = chooser(offered, [entry.id for entry in shown]) + "".join(parts)
    return page(
        "Long run", here, f"{body}<main>{inside}{start}</main>{FOOTER}", steps.as_page_data() | data
    )


def runs_of_steps(library: Library) -> list[LibraryEntry]:
    """Return the finished runs of drift, tasks and compare, the latest first."""
    found = []
    for entry in library.listing().of("run"):
        try:
            folder = RunFolder.open(entry.path)
            if folder.identity.get("verb") in LONG_RUN_VERBS and folder.results:
                found.append(entry)
        except CheckpointError:
            continue  # the first page says what is wrong with it
    return found


def chooser(offered: Sequence[LibraryEntry], shown: Sequence[str]) -> str:
    """Return the form that chooses the runs."""
    boxes = "".join(
        f'<label><input type="checkbox" name="run" value="{entry.id}"'
        f"{' checked' if entry.id in shown else ''}> {text(entry.name)}</label>"
        for entry in offered
    )
    return (
        '<form class="pick" method="get" action="/long-run"><fieldset>'
        f"<legend>Runs of drift, tasks and compare</legend>{boxes}</fieldset>"
        '<button type="submit">Show them</button></form>'
    )
