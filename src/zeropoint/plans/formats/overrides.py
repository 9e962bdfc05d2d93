"""Formats named by hand: `--tensor-type PATTERN=TYPE`, with the meaning that llama.cpp gives it.

A pattern is a regular expression, in lower case (llama.cpp lowers it, so `\\D` becomes `\\d`), that
may match anywhere in the name; the first that matches wins.
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
    """One pattern and its format."""

    pattern: str  # as typed
    format: Format
    regex: re.Pattern[str]

    @classmethod
    def of(cls, pattern: str, type_name: str) -> "TensorType":
        """Compile a pattern. Raises RecipeError if it or the type is not understood."""
        text = pattern.lower()
        for name, characters in CLASSES.items():
            text = text.replace(name, characters)
        # Python knows more than llama.cpp's (ECMAScript) expressions; what it would refuse, we do.
        if re.search(r"\(\?(?![:=!])|[*+?}]\+|\\[az]", text):
            raise RecipeError(f"pattern {pattern!r} uses what llama.cpp's expressions do not have "
                              "(only groups (?: ) (?= ) (?! ) and no possessive +)")  # fmt: skip
        try:
            regex = re.compile(text, re.ASCII)
        except re.error as error:
            raise RecipeError(f"pattern {pattern!r} is no regular expression: {error}") from None
        return cls(pattern, target_format(type_name), regex)

    @classmethod
    def parse(cls, text: str) -> "TensorType":
        """Read `PATTERN=TYPE`; the first equals sign divides them, as in llama.cpp.

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
    """Read llama.cpp's `--tensor-type-file`: PATTERN=TYPE, divided by white space."""
    return [TensorType.parse(word) for word in text.split()]


def format_tensor_types(formats: Mapping[str, Format]) -> str:
    """Write a `--tensor-type-file` that gives each of these tensors its format in llama.cpp.

    Every name stands on a line of its own, escaped and anchored, so that it does not matter whether
    the first or the last match wins (it has been both). Capital letters cannot be matched there;
    a dot stands for them.
    """
    lines = (f"^{_escape(name)}$={format.name.lower()}" for name, format in formats.items())
    return "".join(f"{line}\n" for line in lines)


def _escape(name: str) -> str:
    kept = (c if re.fullmatch(r"[a-z0-9_-]", c) else r"\." if c == "." else "." for c in name)
    return "".join(kept)


def first_match(types: Iterable[TensorType], name: str) -> TensorType | None:
    """Return the first pattern that matches a name."""
    return next((entry for entry in types if entry.matches(name)), None)
