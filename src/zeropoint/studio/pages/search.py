"""The page of runs of search: the frontier, the recipes, and predicted against measured loss."""

from collections.abc import Sequence

from zeropoint.errors import MeasurementError
from zeropoint.results.runs import Run
from zeropoint.studio.data import measure_runs
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.search_runs import found_levels, points_of, recipes_as_page_data
from zeropoint.studio.pages.layout import content, header, page, sidebar
from zeropoint.studio.report.html import Html, element, figure, paragraph
from zeropoint.studio.report.search_sections import parts_of

LEAD_SENTENCE = (
    "Which format each tensor got for a budget of bytes, what that lost, and how well the loss was "
    "predicted."
)


def searched(library: Library, entries: Sequence[LibraryEntry]) -> str:
    """Return the page of these runs of search. Raises MeasurementError for runs of other verbs."""
    runs = measure_runs.open_runs([entry.path for entry in entries])
    for run in runs:
        if run.verb != "search":
            raise MeasurementError(
                f"{run.path.name} is a run of {run.verb}; this page shows runs of search"
            )
    found = points_of(runs)
    if not found:
        raise MeasurementError("choose runs of search, with recipes in them, on the first page")
    levels = found_levels(runs)
    names = ", ".join(run.path.name for run in runs)
    frontier = figure(
        "ladder", "f-frontier", "Loss, by size of the file",
        "One mark for each budget. Whiskers are 95 % intervals. Pick a mark.",
    )  # fmt: skip
    data = {
        "search": recipes_as_page_data(runs),
        "ladder": measure_runs.marks_of(levels),
        "ladder_across": "bytes",
        "ladder_run": names,
    }
    parts = [*([frontier] if levels else []), *parts_of(found), *edits(library, runs)]
    body = header("search", names, LEAD_SENTENCE)
    return page("Recipes of a search", sidebar(library, "/search"), content(body, *parts), data)


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
