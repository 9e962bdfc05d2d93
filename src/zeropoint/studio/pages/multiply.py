"""The page of one dot product, and of the same product on other machines and runtimes."""

from zeropoint.metrics.speed.this_machine import load_devices
from zeropoint.plans.planner.as_json import device_record
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.open_model import OpenedModel
from zeropoint.studio.pages.layout import BLOCK_FORMATS, content, model_header, page, sidebar
from zeropoint.studio.report.html import figure, paragraph


def multiply(library: Library, entry: LibraryEntry, model: OpenedModel) -> str:
    """Return the Multiply page: one product step by step, and the same by device and runtime."""
    matrices = [row for row in model.outline() if row["name"] in model.matrices]
    # The pickers of figures begin with a tensor that has pieces: here one that meets embeddings.
    first = next((row for row in matrices if row["kind"] in ("attn_q", "attn_qkv")), None)
    for row in matrices:
        if row is first or (first is None and row["name"] == model.default_matrix()):
            row["pieces"] = []
    data = {"id": entry.id, "tensors": matrices, "formats": ["F16", "BF16", *BLOCK_FORMATS],
            "machines": [*map(device_record, load_devices().all())]}  # fmt: skip
    lead = (
        "What a processor does with one row of this file and one vector of activations, from bytes "
        "in memory to one number. Every number is one that zeropoint's own kernel has summed up."
    )
    drawn = (
        [paragraph("This file has no matrices.")]
        if not matrices
        else [
            figure(
                "multiply",
                "f-multiply",
                "One dot product, step by step",
                "Pick a row and 32 of its columns; the steps are buttons. Lanes are as wide as "
                "their bits. Arrow keys move from weight to weight.",
            ),
            figure(
                "ways",
                "f-ways",
                "The same on other machines",
                "What a runtime does with this format, generating text or reading a prompt: a few "
                "types of numbers are multiplied natively; all others are converted first.",
            ),
        ]
    )
    return page(
        f"Multiply: {entry.name}",
        sidebar(library, f"/models/{entry.id}/multiply", entry),
        content(model_header(entry, "Multiply", lead), *drawn),
        data,
    )
