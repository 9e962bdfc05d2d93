"""What of a document the model is shown for an inline completion, and what of its text is used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from zeropoint.errors import MeasurementError

MIN_OVERLAP_CHARACTERS = 3  # of a completion's end with the text after the cursor


@dataclass(frozen=True, kw_only=True)
class CompletionOptions:
    """`initializationOptions` of the client."""

    #: Characters before the cursor that the model is shown.
    prefix_characters: int = 4000
    #: Characters after the cursor. They are processed again after every keystroke.
    suffix_characters: int = 500
    #: Characters of each other open document, of which at most `other_documents` are shown.
    other_characters: int = 1500
    other_documents: int = 2
    #: Most tokens of a completion while one types, and of one that was asked for.
    automatic_tokens: int = 40
    invoked_tokens: int = 160

    @classmethod
    def read(cls, values: object) -> "CompletionOptions":
        """Return the options of a client. Raises MeasurementError for a wrong name or value."""
        if values is None:
            return cls()
        if not isinstance(values, Mapping):
            raise MeasurementError("initializationOptions must be an object")
        known = {field.name for field in fields(cls)}
        for name, value in values.items():
            if name not in known:
                raise MeasurementError(
                    f"initializationOptions has no {name!r}; it may have {', '.join(sorted(known))}"
                )
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 1 << 20:
                raise MeasurementError(f"{name} must be a number from 0 to {1 << 20}")
        return cls(**values)


@dataclass(frozen=True)
class OpenDocument:
    """A document of the editor."""

    name: str
    text: str


@dataclass(frozen=True, kw_only=True)
class CompletionPlace:
    """Where a completion is wanted."""

    document: OpenDocument
    start: int  # of the completion, as an offset in the document's text
    end: int  # of the text that it replaces
    begun: str = ""  # how it must begin: what the editor's own list of completions has selected
    invoked: bool = False  # asked for, and not by typing
    others: Sequence[OpenDocument] = ()


def work_of(place: CompletionPlace, options: CompletionOptions, *, infill: bool) -> dict[str, Any]:
    """Return the engine's work for a completion.

    `infill` says whether the model has tokens for filling in the middle; otherwise it continues the
    text before the cursor and does not see what follows. The most likely tokens are chosen. While
    one types, a completion ends with its line, or before an empty line where it begins a line.
    """
    text = place.document.text
    prefix = last_part(text[: place.start], options.prefix_characters) + place.begun
    suffix = text[place.end :][: options.suffix_characters]
    line = text[: place.start].rpartition("\n")[2] + place.begun
    extra = [
        {"filename": other.name, "text": last_part(other.text, options.other_characters)}
        for other in place.others[: options.other_documents]
    ]
    inside = bool(suffix.partition("\n")[0].strip())  # of a line: one line is enough
    stops = ["\n"] if inside else [] if place.invoked else ["\n\n" if not line.strip() else "\n"]
    prompt: dict[str, Any] = {"kind": "text", "text": prefix}
    if infill:
        prompt = {"kind": "infill", "prefix": prefix, "suffix": suffix, "extra": extra}
        prompt["filename"] = place.document.name
    return {
        "prompt": prompt,
        "sampling": {"temperature": 0.0},
        "stop": stops,
        "limit": options.invoked_tokens if place.invoked else options.automatic_tokens,
    }


def last_part(text: str, characters: int) -> str:
    """Return at most the last `characters` of a text, from the beginning of a line if one is near.

    The beginning moves in steps of half the length, so that while one types most requests begin
    alike and continue the cache of the one before.

    >>> text = "".join(f"line {at}\\n" for at in range(100))
    >>> last_part(text, 40) == last_part(text + "x", 40).removesuffix("x")
    True
    """
    if len(text) <= characters:
        return text
    step = max(characters // 2, 1)
    cut = -(-(len(text) - characters) // step) * step
    line = text.find("\n", cut - 1) + 1
    return text[line if 0 < line <= cut + step // 2 else cut :]


def shown_text(place: CompletionPlace, generated: str) -> str:
    """Return the text of the completion: without what follows the cursor anyway.

    Empty if there is nothing worth showing.
    """
    text = (place.begun + generated).rstrip()
    after = place.document.text[place.end :]
    rest = after.partition("\n")[0].rstrip()
    size = overlap(text, rest)
    if size == len(rest) or size >= MIN_OVERLAP_CHARACTERS:
        text = text[: len(text) - size].rstrip()
    size = overlap(text, after.lstrip())  # lines that follow
    before = text[: len(text) - size].rstrip(" \t")
    if size and before.endswith("\n"):
        text = before.rstrip()
    return text if text.strip() and text != place.begun else ""


def overlap(text: str, following: str) -> int:
    """Return the length of the longest end of `text` with which `following` begins.

    >>> overlap("print(x)", ")"), overlap("a = f(b", "f(b)"), overlap("abc", "x")
    (1, 3, 0)
    """
    longest = min(len(text), len(following))
    return next((size for size in range(longest, 0, -1) if text.endswith(following[:size])), 0)
