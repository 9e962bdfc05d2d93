"""Formats of single tensors: `--tensor-type PATTERN=TYPE`, with the meaning of llama.cpp.

A pattern is a regular expression that may match anywhere in the tensor's name; the first one that
matches wins. As in llama.cpp it is converted to lower case first, so `\\D` becomes `\\d`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from zeropoint.errors import RecipeError
from zeropoint.formats import Format
from zeropoint.plans.formats.names import target_format

CLASSES = {
    "[:digit:]": "0-9", "[:alpha:]": "a-z", "[:alnum:]": "a-z0-9", "[:lower:]": "a-z",
    "[:upper:]": "A-Z", "[:space:]": r"\s", "[:xdigit:]": "0-9a-f", "[:word:]": r"\w",
}  # fmt: skip


@dataclass(frozen=True)
class TensorType:
    """A pattern and its format."""

    #: As the user typed it.
    pattern: str
    format: Format
    regex: re.Pattern[str]

    @classmethod
    def of(cls, pattern: str, type_name: str) -> "TensorType":
        """Compile a pattern. Raises RecipeError if it is not valid or the type is unknown."""
        text = pattern.lower()
        for name, characters in CLASSES.items():
            text = text.replace(name, characters)
        # Python supports more than llama.cpp's ECMAScript expressions; the rest is refused.
        if re.search(r"\(\?(?![:=!])|[*+?}]\+|\\[az]", text):
            raise RecipeError(
                f"pattern {pattern!r} uses syntax that llama.cpp does not have; of the groups"
                " (?…) only (?: ) (?= ) (?! ) work, and possessive + does not"
            )
        try:
            regex = re.compile(text, re.ASCII)
        except re.error as error:
            raise RecipeError(f"pattern {pattern!r} is not a regular expression: {error}") from None
        return cls(pattern, target_format(type_name), regex)

    @classmethod
    def parse(cls, text: str) -> "TensorType":
        """Read `PATTERN=TYPE`, split at the first equals sign as in llama.cpp.

        >>> TensorType.parse("ffn_down=q8_0").format.name
        'Q8_0'
        """
        pattern, equals, type_name = text.partition("=")
        if not (pattern and equals and type_name):
            raise RecipeError(f"{text!r} is not PATTERN=TYPE, such as ffn_down=Q6_K")
        return cls.of(pattern, type_name)

    def matches(self, name: str) -> bool:
        return self.regex.search(name) is not None


def parse_tensor_types(text: str) -> list[TensorType]:
    """Read the text of llama.cpp's `--tensor-type-file`: PATTERN=TYPE, separated by white space."""
    return [TensorType.parse(word) for word in text.split()]


def format_tensor_types(formats: Mapping[str, Format]) -> str:
    """Return a `--tensor-type-file` that gives each of these tensors its format in llama.cpp.

    Each name has its own line, escaped and anchored, so the file works with versions of llama.cpp
    in which the first match wins and with those in which the last one does. llama.cpp cannot match
    a capital letter; a dot replaces it.
    """
    lines = (f"^{_escape(name)}$={format.name.lower()}" for name, format in formats.items())
    return "".join(f"{line}\n" for line in lines)


def _escape(name: str) -> str:
    escaped = (c if re.fullmatch(r"[a-z0-9_-]", c) else r"\." if c == "." else "." for c in name)
    return "".join(escaped)


def first_match(types: Iterable[TensorType], name: str) -> TensorType | None:
    """Return the first pattern that matches a name, or None."""
    return next((entry for entry in types if entry.matches(name)), None)
