"""The page of runs of search: the frontier, the recipes, and predicted against measured loss."""

from collections.abc import Sequence

from zeropoint.errors import MeasurementError
from zeropoint.results.runs import Run
from zeropoint.studio.data import measure_runs
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.search_runs import (
    finished_searches,
    found_levels,
    points_of,
    recipes_as_page_data,
)
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
from zeropoint.studio.report.html import Html, element, figure, paragraph, section
from zeropoint.studio.report.search_sections import parts_of

LEAD_SENTENCE = (
    "Which format each tensor got for a budget of bytes, what that lost, and how well the loss was "
    "predicted."
)
FRONTIER_FIGURE = (
    "ladder",
    "f-frontier",
    "Loss, by size of the file",
    "One mark for each budget. Whiskers are 95 % intervals. Pick a mark.",
)


def searched(library: Library, chosen: Sequence[LibraryEntry]) -> str:
    """Return the page of these runs of search; of the latest if none is chosen.

    Raises MeasurementError for runs of other verbs.
    """
    offered = [entry for entry, _ in finished_searches(library)]
    shown = list(chosen) or offered[:1]
    runs = measure_runs.open_runs([entry.path for entry in shown])
    for run in runs:
        if run.verb != "search":
            raise MeasurementError(
                f"{run.path.name} is a run of {run.verb}; this page shows runs of search"
            )
    start, data = start_here(library, ("search",), "Start a search")
    parts: list[Html] = []
    if offered:
        ids = [entry.id for entry in shown]
        parts.append(run_chooser(offered, ids, "/search", "Runs of search"))
    if found := points_of(runs):
        levels = found_levels(runs)
        data |= {
            "search": recipes_as_page_data(runs),
            "ladder": measure_runs.marks_of(levels),
            "ladder_across": "bytes",
            "ladder_run": ", ".join(run.path.name for run in runs),
        }
        parts += [
            *([figure(*FRONTIER_FIGURE)] if levels else []),
            section("recipes", "The recipes", *parts_of(found)),
        ]
        parts += edits(library, runs)
    body = content(
        header("", "Recipes", LEAD_SENTENCE, tabs(COMPARE_TABS, "/search", "Compare")),
        *parts,
        start,
    )
    return page("Recipes of a search", sidebar(library, "/search"), body, data)


def edits(library: Library, runs: Sequence[Run]) -> list[Html]:
    """Return the links to the page that edits a recipe, for models that are below the root."""
    models = {entry.path.name: entry for entry in library.listing().of("model")}
    names = dict.fromkeys(run.inputs.reference.name for run in runs if run.inputs.reference)
    return [
        paragraph("Change a recipe by hand: ", element("a", f"the recipe of {name}",
                  href=f"/models/{models[name].id}/recipe"), ".")
        for name in names
        if name in models
    ]  # fmt: skip
