"""Patterns for tensor names: `*`, `?`, `[…]` and `{…}`, matched without backtracking."""

import re
from dataclasses import dataclass

from zeropoint.errors import RecipeError

MAX_RANGE = 4096  # numbers in one {a..b}
_RANGE = re.compile(r"(\d{1,9})\.\.(\d{1,9})", re.ASCII)
_SPECIAL = re.compile(r"[*?\[{#\s]")


@dataclass(frozen=True)
class Glob:
    """A pattern, as a sequence of parts: "*", a set of characters, or alternative words."""

    parts: tuple["str | CharacterSet | tuple[str, ...]", ...]

    @classmethod
    def parse(cls, pattern: str, *, line: int | None = None) -> "Glob":
        """Read a pattern. Raises RecipeError for a bracket that is not closed."""
        parts: list[str | CharacterSet | tuple[str, ...]] = []
        position = 0
        while position < len(pattern):
            start = pattern[position]
            if start in "[{":
                inner, position = _bracketed(pattern, position, line)
                parts.append(
                    CharacterSet.parse(inner) if start == "[" else _alternatives(inner, line)
                )
                continue
            if start == "*":
                parts.append("*")
            else:
                parts.append(CharacterSet((), negated=True) if start == "?" else (start,))
            position += 1
        return cls(tuple(parts))

    def matches(self, name: str) -> bool:
        """Return whether the pattern matches the whole name.

        All positions that the parts so far can reach are followed together, so the time is bounded
        by parts times characters times alternatives.
        """
        ends = {0}
        for part in self.parts:
            if part == "*":
                ends = set(range(min(ends), len(name) + 1))
            elif isinstance(part, CharacterSet):
                ends = {end + 1 for end in ends if end < len(name) and part.holds(name[end])}
            else:
                ends = {end + len(word) for end in ends for word in part
                        if name.startswith(word, end)}  # fmt: skip
            if not ends:
                return False
        return len(name) in ends


@dataclass(frozen=True)
class CharacterSet:
    """Matches one character of a set, or one that is not in it."""

    #: First and last character of each range; a single character is both.
    ranges: tuple[tuple[str, str], ...]
    negated: bool = False

    @classmethod
    def parse(cls, inner: str) -> "CharacterSet":
        """Read the text between square brackets: characters and ranges, negated by an `!`."""
        negated = inner.startswith("!")
        pairs = re.findall(r"(.)(?:-(.))?", inner[negated:], re.DOTALL)
        return cls(tuple((first, last or first) for first, last in pairs), negated)

    def holds(self, character: str) -> bool:
        return any(first <= character <= last for first, last in self.ranges) != self.negated


def escape(name: str) -> str:
    """Return a pattern that matches this name only.

    >>> escape("blk.0.odd[1]*")
    'blk.0.odd[[]1][*]'
    """
    # A recipe cannot contain a line break; `?` matches it.
    return _SPECIAL.sub(lambda f: "?" if f[0].isspace() and f[0] != " " else f"[{f[0]}]", name)


def spans(numbers: list[int]) -> str:
    """Return sorted numbers for use in braces, with three or more consecutive ones as a range.

    >>> spans([0, 1, 2, 5, 8, 9])
    '0..2,5,8,9'
    """
    parts: list[str] = []
    start = 0
    for index, number in enumerate(numbers):
        if index + 1 < len(numbers) and numbers[index + 1] == number + 1:
            continue
        run = numbers[start : index + 1]
        parts += [f"{run[0]}..{run[-1]}"] if len(run) > 2 else map(str, run)
        start = index + 1
    return ",".join(parts)


def _bracketed(pattern: str, start: int, line: int | None) -> tuple[str, int]:
    """Return the text in the brackets that open at `start`, and the position after them."""
    closing = "]" if pattern[start] == "[" else "}"
    # A closing bracket directly after the opening one (or its `!`) is a character of the set.
    first = start + 1 + (closing == "]") * (1 + (pattern[start + 1 : start + 2] == "!"))
    end = pattern.find(closing, first)
    if end < 0:
        raise RecipeError(f"pattern {pattern!r} has a {pattern[start]!r} that is not closed",
                          line=line)  # fmt: skip
    return pattern[start + 1 : end], end + 1


def _alternatives(inner: str, line: int | None) -> tuple[str, ...]:
    words: list[str] = []
    for word in inner.split(","):
        span = _RANGE.fullmatch(word.strip())
        if span is None:
            words.append(word.strip())
            continue
        first, last = int(span[1]), int(span[2])
        if not first <= last < first + MAX_RANGE:
            raise RecipeError(f"{word!r} in braces is not a range of at most {MAX_RANGE} numbers",
                              line=line)  # fmt: skip
        words += map(str, range(first, last + 1))
    return tuple(words)
