"""The walk on a model of the library, and the form that puts runs into it."""

from collections.abc import Sequence

from zeropoint.results.runs import Run
from zeropoint.studio.data import walk, weights
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.open_model import OpenedModel
from zeropoint.studio.data.page_data import PageData
from zeropoint.studio.pages.layout import (
    content,
    model_header,
    page,
    run_chooser,
    sidebar,
)
from zeropoint.studio.report.html import (
    Html,
    figure,
    fragment,
    literal,
    static_html,
    without_skip_link,
)

NO_FORM = literal("")


def walk_page(
    library: Library, entry: LibraryEntry, model: OpenedModel, runs: Sequence[Run], asked: Html
) -> str:
    """Return the walk on this model and these runs, or a page that waits for its weights."""
    here = sidebar(library, f"/models/{entry.id}/walk", entry)
    if not model.scan():
        body = model_header(entry, "The walk", "Every weight of the model is being read, once.")
        wait = figure(
            "reading", "f-reading", "Reading the model", "The walk opens when it is done."
        )
        return page("The walk", here, content(body, wait), {"id": entry.id})
    data: PageData = {"model": weights.describe_model(model.checkpoint)}
    data["tensors"] = weights.finish(model.checkpoint, model.seen())
    data = walk.completed(data | walk.from_runs(runs))
    return page(
        "The walk",
        here,
        fragment(asked, without_skip_link(static_html("entries/walk.html"))),
        data,
        "walk",
    )


def walk_runs(entry: LibraryEntry, runs: Sequence[LibraryEntry], chosen: Sequence[str]) -> Html:
    """Return the form that puts runs into the walk."""
    if not runs:
        return NO_FORM
    return run_chooser(
        runs,
        chosen,
        f"/models/{entry.id}/walk",
        "Texts and figures of these runs",
        "Runs in the walk",
    )
