"""Splits a text at its special tokens as llama.cpp does: longer tokens first."""

import re
from collections.abc import Sequence

import numpy as np

from zeropoint.models.vocabulary import TokenKind, Vocabulary


class Partition:
    """Finds the special tokens of certain kinds in texts."""

    def __init__(self, vocabulary: Vocabulary, kinds: Sequence[TokenKind]) -> None:
        ids = np.flatnonzero(np.isin(vocabulary.kinds, kinds)).tolist()
        pairs = [(vocabulary.tokens[index], index) for index in ids if vocabulary.tokens[index]]
        # Longest first, as in llama.cpp: a token is not split by a shorter one inside it.
        self._tokens = sorted(pairs, key=lambda pair: -len(pair[0].encode()))
        self._matching = vocabulary.matching

    def cut(self, text: str) -> list[str | int]:
        """Return the parts of a text in order: ordinary text as str, special tokens as ids."""
        parts: list[str | int] = [text] if text else []
        for token, index in self._tokens:
            if token not in text:
                continue
            cut: list[str | int] = []
            for part in parts:
                if isinstance(part, int):
                    cut.append(part)
                    continue
                for position, rest in enumerate(self._split(part, token, index)):
                    if position:
                        cut.append(index)
                    if rest:
                        cut.append(rest)
            parts = cut
        return parts

    def _split(self, text: str, token: str, index: int) -> list[str]:
        """Return the text between the occurrences of a token, without white space that it takes."""
        matching = self._matching
        if index in matching.single_word:
            parts = re.split(rf"(?<!\w){re.escape(token)}(?!\w)", text)
        else:
            parts = text.split(token)
        last = len(parts) - 1
        if index in matching.rstrip:
            parts = [part.lstrip(matching.space) if at else part for at, part in enumerate(parts)]
        if index in matching.lstrip:
            parts = [p.rstrip(matching.space) if at < last else p for at, p in enumerate(parts)]
        return parts
