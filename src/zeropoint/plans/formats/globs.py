"""Patterns over tensor names: `*`, `?`, `[…]` and `{…}`, matched without any backtracking."""

import re
from dataclasses import dataclass

from zeropoint.errors import RecipeError

LARGEST_RANGE = 4096  # numbers in one {a..b}
_RANGE = re.compile(r"(\d{1,9})\.\.(\d{1,9})", re.ASCII)
_SPECIAL = re.compile(r"[*?\[{#\s]")


@dataclass(frozen=True)
class Glob:
    """A pattern, as a sequence of parts: "*", a set of characters, or alternative words."""

    parts: tuple["str | CharacterSet | tuple[str, ...]", ...]

    @classmethod
    def parse(cls, pattern: str, *, line: int | None = None) -> "Glob":
        """Read a pattern. Raises RecipeError for brackets that do not close."""
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
        """Tell whether the whole name matches.

        All ends that the parts so far can reach are followed together, so the time is bounded by
        parts times characters times alternatives, whatever the pattern.
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
    """One character of a set, or one that is not in it."""

    ranges: tuple[tuple[str, str], ...]  # (first, last); a single character is both
    negated: bool = False

    @classmethod
    def parse(cls, inner: str) -> "CharacterSet":
        """Read what stands between square brackets: characters, ranges, an ! in front."""
        negated = inner.startswith("!")
        found = re.findall(r"(.)(?:-(.))?", inner[negated:], re.DOTALL)
        return cls(tuple((first, last or first) for first, last in found), negated)

    def holds(self, character: str) -> bool:
        return any(first <= character <= last for first, last in self.ranges) != self.negated


def escape(name: str) -> str:
    """Write a name as a pattern that matches it and nothing else.

    >>> escape("blk.0.odd[1]*")
    'blk.0.odd[[]1][*]'
    """
    # A line break cannot stand in a recipe; any one character does for it.
    return _SPECIAL.sub(lambda f: "?" if f[0].isspace() and f[0] != " " else f"[{f[0]}]", name)


def spans(numbers: list[int]) -> str:
    """Write sorted numbers for use in braces: three or more neighbours as a span.

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
    """Return what stands between the brackets that open at `start`, and where they end."""
    closing = "]" if pattern[start] == "[" else "}"
    # A closing bracket right after the opening one (or its !) is a character of the set.
    first = start + 1 + (closing == "]") * (1 + (pattern[start + 1 : start + 2] == "!"))
    end = pattern.find(closing, first)
    if end < 0:
        raise RecipeError(f"pattern {pattern!r} opens a {pattern[start]!r} and never closes it",
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
        if not first <= last < first + LARGEST_RANGE:
            raise RecipeError(f"{word!r} in braces is no range of at most {LARGEST_RANGE} numbers",
                              line=line)  # fmt: skip
        words += map(str, range(first, last + 1))
    return tuple(words)
