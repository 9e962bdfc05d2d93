"""Keeps control tokens in the text of messages from being parsed as control tokens.

A chat template writes control tokens between messages, and they must be parsed. A user's message
that contains the text of such a token must not end the user's turn: there it is ordinary text. So
before the template runs, each control text in a message is replaced by a mark; the tokenizer puts
the text back after it has cut the rendered conversation at its control tokens.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zeropoint.models.vocabulary import TokenKind, Vocabulary

_CONTROL = (TokenKind.CONTROL, TokenKind.UNKNOWN)


class ControlTexts:
    """The texts of a vocabulary's control tokens, replaced by marks in one conversation."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        ids = np.flatnonzero(np.isin(vocabulary.kinds, _CONTROL)).tolist()
        texts = {vocabulary.tokens[index] for index in ids} - {""}
        # Longest first: a text is not split by a shorter one inside it.
        self._texts = sorted(texts, key=lambda text: (-len(text), text))
        self.literals: dict[str, str] = {}  # the text that each mark stands for
        self._stem = "zeropointmark"

    def hide(self, value: Any) -> Any:
        """Return a JSON value in which every control text inside a string is replaced by a mark.

        Call it once, with everything that may hold text of a user.
        """
        present = "\0".join(_strings(value))
        while self._stem in present:  # a mark must not occur in the text itself
            self._stem += "x"
        found = [text for text in self._texts if text in present]
        return self._hidden(value, found) if found else value

    def restore(self, text: str) -> str:
        """Return rendered text with the texts that marks stand for."""
        return restore(text, self.literals)

    def _hidden(self, value: Any, found: Sequence[str]) -> Any:
        if isinstance(value, str):
            for text in found:
                if text in value:
                    mark = f"{self._stem}{found.index(text)}z"
                    self.literals[mark] = text
                    value = value.replace(text, mark)
            return value
        if isinstance(value, Mapping):
            return {key: self._hidden(one, found) for key, one in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, bytes):
            return [self._hidden(one, found) for one in value]
        return value


def restore(text: str, literals: Mapping[str, str]) -> str:
    """Replace each mark in a text by the text that it stands for.

    >>> restore("a mark0z b", {"mark0z": "<|end|>"})
    'a <|end|> b'
    """
    for mark, literal in literals.items():
        text = text.replace(mark, literal)
    return text


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for one in value.values() for text in _strings(one)]
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [text for one in value for text in _strings(one)]
    return []
