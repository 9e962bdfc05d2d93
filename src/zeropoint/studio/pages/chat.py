"""The chat page: two models answer the same message with the same seed."""

from collections.abc import Sequence

from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.model_pairs import pair_of
from zeropoint.studio.pages.layout import content, header, page, sidebar
from zeropoint.studio.pages.lists import NO_MODELS_NOTE
from zeropoint.studio.report.html import figure


def chat(library: Library, models: Sequence[LibraryEntry]) -> str:
    """Return the chat page: two models answer the same message with the same seed."""
    lead = "Two models answer the same message with the same seed, side by side."
    body = header("", "Chat", lead)
    if not models:
        return page("Chat", sidebar(library, "/chat"), content(body, NO_MODELS_NOTE))
    pair = pair_of(models)
    sides = (pair.reference, pair.quant) if pair else (models[0], models[0])
    data = {
        "models": [{"id": model.id, "name": model.name} for model in models],
        "pair": [side.id for side in sides],
    }
    drawn = figure("chat", "f-chat", "Reference and quantized model, side by side")
    return page("Chat", sidebar(library, "/chat"), content(body, drawn), data)
