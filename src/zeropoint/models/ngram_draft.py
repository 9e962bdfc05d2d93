"""Guesses the next tokens of a text from what followed the same words earlier in it.

Code that is edited, and answers that quote their prompt, repeat long pieces of it. A guess costs
one pass over several positions instead of one, and it is only accepted where the sampled token is
the guessed one, so it never changes a text (Saxena, "Prompt lookup decoding", 2023).
"""

from collections.abc import Sequence

from zeropoint.formats import F32

NGRAM_TOKENS = 3  # the last tokens that must have occurred before
FIRST_DRAFT_TOKENS = 4
MAX_DRAFT_TOKENS = 8
FIRST_PAUSE_TOKENS = 4  # without a guess after a wrong one; doubled by every further one
MAX_PAUSE_TOKENS = 64


class NgramDraft:
    """The n-grams of one text, and how many tokens it pays to guess."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens: list[int] = []
        self._followers: dict[tuple[int, ...], int] = {}  # of an n-gram: the place after it
        self._length = FIRST_DRAFT_TOKENS
        self._pause = FIRST_PAUSE_TOKENS
        self._resume = 0  # length of the text from which on guesses are made again
        self.extend(tokens)

    def __len__(self) -> int:
        """Return the number of tokens of the text."""
        return len(self._tokens)

    def extend(self, tokens: Sequence[int]) -> None:
        """Append tokens to the text."""
        for token in tokens:
            if len(self._tokens) >= NGRAM_TOKENS:
                self._followers[tuple(self._tokens[-NGRAM_TOKENS:])] = len(self._tokens)
            self._tokens.append(token)

    def observe(self, start: int, states: F32) -> None:
        """Do nothing: the guesses need no states of the model."""

    def propose(self, limit: int) -> list[int]:
        """Return up to `limit` tokens that may come next, or none.

        >>> NgramDraft([1, 2, 3, 4, 5, 9, 1, 2, 3]).propose(8)
        [4, 5, 9, 1]
        """
        if len(self._tokens) < self._resume:
            return []
        place = self._followers.get(tuple(self._tokens[-NGRAM_TOKENS:]))
        if place is None:
            return []
        return self._tokens[place : place + max(min(self._length, limit), 0)]

    def report(self, proposed: int, accepted: int, seconds: float = 0.0) -> None:
        """Adapt to how many of the proposed tokens were right; guesses of n-grams take no time."""
        if not proposed:
            return
        if accepted == proposed:
            self._length = min(2 * self._length, MAX_DRAFT_TOKENS)
            self._pause = FIRST_PAUSE_TOKENS
        elif accepted == 0:
            self._length = max(self._length // 2, 1)
            self._resume = len(self._tokens) + self._pause
            self._pause = min(2 * self._pause, MAX_PAUSE_TOKENS)
