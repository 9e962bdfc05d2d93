"""The Weights lab: any tensor's histogram, its outliers, a block with its codes."""

from zeropoint.studio.data import weights
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.open_model import OpenedModel
from zeropoint.studio.pages.layout import BLOCK_FORMATS, content, model_header, page, sidebar
from zeropoint.studio.report.html import figure, paragraph

FIGURES = (
    (
        "weightslab",
        "f-weights",
        "The weights of a tensor",
        "Pick a tensor, then a row and a column to open the block there. The ticks are the values "
        "that this block can store.",
    ),
    (
        "ablate",
        "f-ablate",
        "The model without this weight",
        "Sets the weight in the row and column chosen above to 0, and measures the model again.",
    ),
)
NO_MATRICES_NOTE = paragraph("This file has no matrices.")


def weights_lab(library: Library, entry: LibraryEntry, model: OpenedModel) -> str:
    """Return the Weights lab: any tensor's histogram, its outliers, a block with codes drawn in."""
    matrices = [row for row in model.outline() if row["name"] in model.matrices]
    for row in matrices:
        if row["name"] == model.default_matrix():
            row["pieces"] = []  # the pickers of figures begin with a tensor that has them
    data = {"id": entry.id, "model": weights.describe_model(model.checkpoint),
            "tensors": matrices, "formats": BLOCK_FORMATS}  # fmt: skip
    lead = "How the weights are distributed, and how codes approximate them."
    body = model_header(entry, "Weights", lead)
    drawn = [figure(*words) for words in FIGURES] if matrices else [NO_MATRICES_NOTE]
    return page(
        f"Weights of {entry.name}",
        sidebar(library, f"/models/{entry.id}/weights", entry),
        content(body, *drawn),
        data,
    )
