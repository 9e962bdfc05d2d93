"""The page of long runs: texts, chains and tasks, as the report shows them."""

from collections.abc import Sequence

from zeropoint.errors import CheckpointError, MeasurementError
from zeropoint.results.run_store import RunFolder
from zeropoint.studio.data import measure_runs
from zeropoint.studio.data.drift_runs import LONG_RUN_VERBS, steps_of
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.pages.layout import content, header, page, run_chooser, sidebar
from zeropoint.studio.pages.start_run import start_here
from zeropoint.studio.report import drift_sections
from zeropoint.studio.report.html import literal, paragraph, section

TITLES = {"drifts": "Texts that begin the same", "chains": "Chains", "tasks": "Tasks"}

LEAD_SENTENCE = (
    "What single-token figures miss: when the texts of a quant part from its reference's, whether "
    "losses compound, and what becomes of tasks of several steps."
)

NO_RUNS_NOTE = literal("""
<p>No run of this kind lies below the folder yet. Start one here, or in a terminal:</p>
<pre>zeropoint drift QUANT.gguf --ref MODEL.gguf --run runs/drift
zeropoint tasks MODEL.gguf QUANT.gguf --tasks FILE.jsonl --run runs/tasks
zeropoint compare MODEL.gguf OTHER.gguf --tasks python --allow-code --chains 16 --run runs/across
</pre>""")


def long_run(library: Library, chosen: Sequence[LibraryEntry]) -> str:
    """Return the page of these runs; of the latest if none is chosen.

    Raises MeasurementError for a run without long-run results.
    """
    offered = list(runs_of_steps(library))
    shown = list(chosen) or offered[:1]
    top = header("long run", "Over many steps", LEAD_SENTENCE)
    here = sidebar(library, "/long-run")
    start, data = start_here(library, ("drift", "tasks", "compare"), "Start a run over many steps")
    if not shown:
        empty = section("runs", "", "Runs", NO_RUNS_NOTE)
        return page("Long run", here, content(top, empty, start), data)
    runs = measure_runs.open_runs([entry.path for entry in shown])
    for run in runs:
        if run.verb not in LONG_RUN_VERBS:
            raise MeasurementError(
                f"{run.path.name} is a run of {run.verb}; this page shows runs of drift and tasks"
            )
    steps = steps_of(runs)
    places = drift_sections.figures_of(steps)
    parts = [section(key, "", TITLES[key], drawn) for key, drawn in places.items()]
    if not parts:
        parts = [paragraph("These runs hold neither texts nor chains nor answers to tasks.")]
    chosen_ids = [entry.id for entry in shown]
    chooser = run_chooser(offered, chosen_ids, "/long-run", "Runs of drift, tasks and compare")
    return page("Long run", here, content(top, chooser, *parts, start), steps.as_page_data() | data)


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
