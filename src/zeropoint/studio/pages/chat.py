"""The chat page: two models answer the same message with the same seed."""

from collections.abc import Sequence

from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.pages.layout import content, header, page, sidebar
from zeropoint.studio.report.html import figure, paragraph


def chat(library: Library, models: Sequence[LibraryEntry]) -> str:
    """Return the chat page: two models answer the same message with the same seed."""
    data = {"models": [{"id": model.id, "name": model.name} for model in models]}
    body = header("chat", "Talk to both", "The same words and the same seed, side by side.")
    drawn = figure(
        "chat", "f-chat", "Reference and quant, side by side",
        "Blind, the two are called A and B until you have voted. What the second says otherwise "
        "than the first is marked from where they part.",
    ) if models else paragraph("There is no model below the root.")  # fmt: skip
    return page("Chat", sidebar(library, "/chat"), content(body, drawn), data)
