"""The number and quantizer labs, on parts of one tensor."""

from zeropoint.studio.data import weights
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.open_model import OpenedModel
from zeropoint.studio.pages.layout import content, model_header, page, sidebar
from zeropoint.studio.report.html import Html, element, figure

# In the order in which to read them: from one number to whole formats.
LAB_FIGURES = (
    ("number", "f-number", "1. One number, bit by bit",
     "Type a number, press bits, change the type."),
    ("strip", "f-strip", "2. The same number in every float type", ""),
    ("density", "f-density", "3. The values of a type, over the weights of the tensor", ""),
    ("quantizer", "f-quantizer", "4. Weights, their codes, and the decoded values",
     "Drag a weight, or the white handle that is the scale. “More options” takes your own values."),
    ("blocks", "f-blocks", "5. 256 weights of a row, in blocks",
     "Change the block size, enlarge an outlier, or remove the largest weight."),
    ("formats", "f-formats", "6. Every format, on the same weights",
     "Left is smaller, down is more accurate."),
)  # fmt: skip


def lab(
    library: Library, entry: LibraryEntry, model: OpenedModel, index: int, row: int, column: int
) -> str:
    """Return the labs on parts of one tensor: a chosen, an extreme and a typical one.

    Raises IndexError for a place outside the tensor.
    """
    info = model.info(index)
    if not (0 <= row < info.rows and 0 <= column < info.columns):
        raise IndexError(f"{info.name} has {info.rows} rows of {info.columns} weights")
    seen = model.look_at(info)
    start = min(column, max(info.columns - weights.PIECE_WEIGHTS, 0))
    chosen = {"row": row, "column": start, "what": "chosen",
              "values": weights.read_row(model.checkpoint, info, row, start)}  # fmt: skip
    others = [p for p in weights.pieces(model.checkpoint, seen)
              if (p["row"], p["column"]) != (row, start)]  # fmt: skip
    tensor = {**seen, "counts": list(seen["counts"]), "pieces": [chosen, *others]}
    title = model_header(
        entry, "Labs", "Six steps from one number to whole formats, on weights of this model."
    )
    figures = [figure(*words) for words in LAB_FIGURES]
    return page(
        f"Labs on {entry.name}",
        sidebar(library, f"/models/{entry.id}/lab", entry),
        content(title, picker(entry, model, index, row, column), *figures),
        {"id": entry.id, "tensors": [tensor]},
    )


def picker(entry: LibraryEntry, model: OpenedModel, index: int, row: int, column: int) -> Html:
    """Return the form that selects the weights of the labs."""
    info = model.info(index)
    options = [
        element("option", name, value=i, selected=i == index)
        for i, name in enumerate(model.names)
        if name in model.matrices
    ]
    return element(
        "form",
        element("label", "Tensor ", element("select", *options, name="tensor")),
        element("label", "Row ", whole_number("row", row, info.rows - 1)),
        element("label", "Column ", whole_number("column", column, info.columns - 1)),
        element("button", "Take these weights", type="submit"),
        class_="pick",
        method="get",
        action=f"/models/{entry.id}/lab",
    )


def whole_number(name: str, value: int, maximum: int) -> Html:
    """Return an input for an integer from 0 to `maximum`."""
    return element("input", type="number", name=name, min=0, max=maximum, value=value)
