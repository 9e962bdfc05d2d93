"""Pieces of a reply, and the suffix of a text that may begin a mark."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Piece:
    """Some text of a reply; `kind` is "reasoning" or "content"."""

    kind: str
    text: str


def held_suffix(text: str, marks: Sequence[str]) -> int:
    """Return how many characters at the end may begin one of these marks.

    >>> held_suffix("x <tool", ["<tool_call>"])
    5
    """
    longest = 0
    for mark in marks:
        for size in range(min(len(mark) - 1, len(text)), longest, -1):
            if mark.startswith(text[-size:]):
                longest = size
                break
    return longest
