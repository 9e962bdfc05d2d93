"""An extension of griffe for the API page: comments of fields, and doctests shown as code."""

import re
from pathlib import Path
from typing import Any

import griffe

DOCTEST = re.compile(r"^>>> .*\n?(?:(?!\s*\n).*\n?)*", re.MULTILINE)


class FieldComments(griffe.Extension):
    """Reads `#:` lines above a field as its docstring, and fences doctests."""

    def on_attribute(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Give a field the comment above it."""
        if attr.docstring is None and attr.lineno and isinstance(attr.filepath, Path):
            if text := comment_above(attr.filepath.read_text().splitlines(), attr.lineno - 1):
                attr.docstring = griffe.Docstring(text, parent=attr)

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object that was loaded."""
        if obj.docstring is not None:
            obj.docstring.value = fence(obj.docstring.value)


def comment_above(lines: list[str], index: int) -> str:
    """Return the `#:` comment that ends on the line before `index`, or an empty string."""
    found: list[str] = []
    while index and (line := lines[index - 1].strip()).startswith("#:"):
        found.insert(0, line.removeprefix("#:").strip())
        index -= 1
    return " ".join(found)


def fence(text: str) -> str:
    """Return a docstring whose doctests are fenced."""
    return DOCTEST.sub(lambda match: f"```pycon\n{match[0].rstrip()}\n```\n", text)
