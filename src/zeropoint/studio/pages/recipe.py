"""The page Recipe, which edits the format of every tensor by hand and starts the run."""

from zeropoint.formats import UNQUANTIZED
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.open_model import OpenedModel
from zeropoint.studio.data.recipe_edits import RecipeDraft
from zeropoint.studio.pages.layout import content, model_header, page, sidebar
from zeropoint.studio.report.html import element, figure, paragraph

DEFAULT_START = "Q4_K_M"
LEAD_SENTENCE = (
    "Choose a format for a kind of tensor, some layers or one tensor. The size of the file follows "
    "at once, and the predicted loss once it has been computed."
)
NOTE = (
    "Pick a tensor in the map, or a kind and layers above it, then a format. The number in a cell "
    "is the bits per weight."
)
NO_TENSORS_NOTE = paragraph("This file has no tensors that could be quantized.")


def recipe_page(
    library: Library, entry: LibraryEntry, model: OpenedModel, draft: RecipeDraft
) -> str:
    """Return the page Recipe of a model."""
    offered = draft.offered()
    quantized = any(info.format.name not in UNQUANTIZED for info in model.matrices.values())
    data = {
        "id": entry.id,
        "draft": offered | {"start": DEFAULT_START, "model": entry.name, "quantized": quantized},
    }
    drawn = figure("recipeedit", "f-edit", "The format of every tensor", NOTE)
    method = paragraph(
        "The predicted loss is a mean KL in nats per token, with rounding to nearest and "
        "importance. It comes from one backward pass over a built-in text, is a sum over tensors, "
        "and holds for small losses; ",
        element("code", "zeropoint measure"),
        " measures the loss of a file.",
    )
    body = model_header(entry, "Recipe", LEAD_SENTENCE)
    parts = [drawn, method] if offered["tensors"] else [NO_TENSORS_NOTE]
    here = sidebar(library, f"/models/{entry.id}/recipe", entry)
    return page(f"Recipe of {entry.name}", here, content(body, *parts), data)
