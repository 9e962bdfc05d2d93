"""The walk on a model of the library, and the form that puts runs into it."""

from collections.abc import Sequence

from zeropoint.results.runs import Run
from zeropoint.studio.data import walk, weights
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.open_model import OpenedModel
from zeropoint.studio.data.page_data import PageData
from zeropoint.studio.pages.layout import FOOTER, header, inside, page, sidebar
from zeropoint.studio.report.html import figure, text
from zeropoint.studio.static_files import static_text


def walk_page(
    library: Library, entry: LibraryEntry, model: OpenedModel, runs: Sequence[Run], asked: str
) -> str:
    """Return the walk on this model and these runs, or a page that waits for its weights."""
    here = sidebar(library, f"/models/{entry.id}/walk", entry)
    if not model.scan():
        body = header("the walk", entry.name, "Every weight of the model is being read, once.")
        wait = figure(
            "reading", "f-reading", "Reading the model", "The walk opens when it is done."
        )
        return page("The walk", here, f"{body}<main>{wait}</main>{FOOTER}", {"id": entry.id})
    data: PageData = {"model": weights.describe_model(model.checkpoint)}
    data["tensors"] = weights.finish(model.checkpoint, model.seen())
    data = walk.completed(data | walk.from_runs(runs))
    return page("The walk", here, asked + inside(static_text("entries/walk.html")), data, "walk")


def walk_runs(entry: LibraryEntry, runs: Sequence[LibraryEntry], chosen: Sequence[str]) -> str:
    """Return the form that puts runs into the walk."""
    if not runs:
        return ""
    boxes = "".join(
        f'<label><input type="checkbox" name="run" value="{run.id}"'
        f"{' checked' if run.id in chosen else ''}> {text(run.name)}</label>"
        for run in runs
    )
    return (
        f'<form class="pick" method="get" action="/models/{entry.id}/walk" '
        'aria-label="Runs in the walk"><fieldset>'
        f"<legend>Texts and figures of these runs</legend>{boxes}</fieldset>"
        '<button type="submit">Show them</button></form>'
    )
