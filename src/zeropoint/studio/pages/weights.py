"""The Weights lab: any tensor's histogram, its outliers, a block with its codes."""

from zeropoint.studio.data import weights
from zeropoint.studio.data.library import Entry, Library
from zeropoint.studio.data.open_model import Opened
from zeropoint.studio.pages.layout import CODES, FOOT, page, rail, top
from zeropoint.studio.report.html import figure


def weights_lab(library: Library, entry: Entry, model: Opened) -> str:
    """Return the Weights lab: any tensor's histogram, its outliers, a block with codes drawn in."""
    matrices = [row for row in model.outline() if row["name"] in model.matrices]
    for row in matrices:
        if row["name"] == model.usual():
            row["pieces"] = []  # the pickers of figures begin with a tensor that has them
    data = {"id": entry.id, "model": weights.describe_model(model.checkpoint),
            "tensors": matrices, "formats": CODES}  # fmt: skip
    body = top("weights lab", entry.name, "How the weights are spread, and what codes do to them.")
    drawn = figure(
        "weightslab", "f-weights", "The weights of a tensor",
        "Pick a tensor, then a row and a column to open the block there. The ticks are the values "
        "that this block stores. Every weight of the tensor is read when you pick it.",
    ) if matrices else "<p>This file has no matrices.</p>"  # fmt: skip
    drawn += figure(
        "ablate", "f-ablate", "The model without this weight",
        "Takes the weight of the row and column chosen above out of the model, and asks again.",
    ) if matrices else ""  # fmt: skip
    return page(
        f"Weights of {entry.name}",
        rail(library, f"/models/{entry.id}/weights", entry),
        f"{body}<main>{drawn}</main>{FOOT}",
        data,
    )
