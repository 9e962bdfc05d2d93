"""Sequences of words that two texts share; no two parts of the built-in corpora share one."""

import re
from collections.abc import Iterable

#: Words in a row that count as an overlap.
WORDS = 13
#: Chinese and Japanese characters in a row that count as one: these scripts have no spaces.
CHARACTERS = 26

_WORD = re.compile(r"\w+")
_IDEOGRAPHS = re.compile(r"[぀-ヿ㐀-䶿一-鿿豈-﫿]")


def sequences(text: str) -> set[int]:
    """Return the hashes of all sequences of WORDS words and of CHARACTERS ideographs."""
    words = _WORD.findall(text.lower())
    signs = _IDEOGRAPHS.findall(text)
    found = {hash(tuple(words[i : i + WORDS])) for i in range(len(words) - WORDS + 1)}
    found |= {hash(tuple(signs[i : i + CHARACTERS])) for i in range(len(signs) - CHARACTERS + 1)}
    return found


class Overlaps:
    """The sequences of every part so far."""

    def __init__(self, parts: Iterable[str]) -> None:
        self._seen: dict[str, set[int]] = {part: set() for part in parts}

    def is_new(self, text: str, part: str) -> bool:
        """Return whether a text shares no sequence with another part."""
        found = sequences(text)
        return all(found.isdisjoint(seen) for name, seen in self._seen.items() if name != part)

    def add(self, text: str, part: str) -> None:
        """Count a text as one of a part."""
        self._seen[part] |= sequences(text)
