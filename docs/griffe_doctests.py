"""An extension of griffe: doctests in docstrings are shown as code."""

import re
from typing import Any

import griffe

DOCTEST = re.compile(r"^>>> .*\n?(?:(?!\s*\n).*\n?)*", re.MULTILINE)


class FenceDoctests(griffe.Extension):
    """Puts each paragraph that begins with `>>>` into a fenced block."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object that was loaded."""
        if obj.docstring is not None:
            obj.docstring.value = fence(obj.docstring.value)


def fence(text: str) -> str:
    """Return a docstring whose doctests are fenced."""
    return DOCTEST.sub(lambda match: f"```pycon\n{match[0].rstrip()}\n```\n", text)
