"""The Model map: the bytes of a file by tensor, and a description of every tensor."""

from typing import Any

from zeropoint.studio.data import weights
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.open_model import OpenedModel
from zeropoint.studio.pages.layout import content, model_header, page, sidebar
from zeropoint.studio.report.html import Html, figure, paragraph, section, table, wide


def model_map(library: Library, entry: LibraryEntry, model: OpenedModel) -> str:
    """Return the Model map: the bytes of a file by tensor, and a description of every tensor."""
    data = {"model": weights.describe_model(model.checkpoint), "tensors": model.outline(),
            "id": entry.id}  # fmt: skip
    parts = [
        figure("bytes", "f-bytes", "Every tensor, as wide as its bytes",
               "Layers above, their tensors below, coloured by format. Arrow keys move."),
        figure("mapheat", "f-heat", "Layers and kinds of tensor",
               "By bits, by size and, once the weights have been read, by how far the largest "
               "stands out."),
        figure("model", "f-model", "The size of this model, at any number of bits",
               "Change the number of bits, or of parameters."),
        metadata_section(model.checkpoint.metadata),
    ]  # fmt: skip
    body = model_header(entry, "Map", "What is in the file: tensors by layer, format and bytes.")
    return page(
        f"Map of {entry.name}",
        sidebar(library, f"/models/{entry.id}/map", entry),
        content(body, *parts),
        data,
    )


def metadata_section(metadata: Any) -> Html:
    """Return the metadata of the file, which is not verified."""
    rows = [(key, shortly(value)) for key, value in metadata.items()]
    return section("metadata", "Metadata",
        paragraph("Written by the maker of the file, and not checked."),
        wide(table(("Key", "Value"), rows)),
    )  # fmt: skip


def shortly(value: object) -> str:
    """Return a metadata value, truncated if it is long.

    >>> shortly([1, 2, 3]), shortly("x" * 500)[-1]
    ('1, 2, 3', '…')
    """
    if isinstance(value, str):
        return value if len(value) <= 300 else value[:300] + "…"
    if hasattr(value, "__len__") and hasattr(value, "__getitem__"):
        first = ", ".join(str(value[i])[:60] for i in range(min(len(value), 8)))
        return first if len(value) <= 8 else f"{first} … ({len(value)} values)"
    return str(value)[:300]
