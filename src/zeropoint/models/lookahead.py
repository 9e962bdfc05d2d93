"""The logits of one text, position by position, from passes over what a draft guesses."""

from time import perf_counter

import numpy as np

from zeropoint.formats import F32
from zeropoint.models.base import LanguageModel
from zeropoint.models.cache import Cache
from zeropoint.models.speculation import DraftCounts, TokenDraft


class Lookahead:
    """Asks the draft for a guess, runs a pass over it, and hands out its logits while it is right.

    Call `logits` and `chosen` in turn, and `close` at the end, also after an exception. Then the
    cache holds nothing but the text, in most cases without its last token.
    """

    def __init__(
        self, model: LanguageModel, cache: Cache, draft: TokenDraft | None, state: F32
    ) -> None:
        """`state` (width,) is the normed hidden state after the prompt, which the cache holds."""
        self.counts = DraftCounts()
        self._model = model
        self._cache = cache
        self._draft = None if cache.recurrent else draft  # its states cannot be cut back
        self._rows = model.head(state[None])  # logits after each position of the last pass
        self._guess: list[int] = []
        self._at = 0  # of the row to choose from
        self._token: int | None = None  # chosen last, and not in the cache yet
        self._begun = int(cache.lengths[0])  # positions before what may be a wrong guess
        self._seconds = 0.0

    def logits(self, limit: int) -> F32 | None:
        """Return the logits (vocab,) of the next token; None if the cache is full.

        At most `limit` tokens will be chosen from now on.
        """
        if self._token is not None:
            room = self._cache.capacity - int(self._cache.lengths[0])
            if room <= 0:
                return None
            self._pass(min(room, limit) - 1)
        row: F32 = self._rows[self._at]
        return row

    def chosen(self, token: int) -> None:
        """Note the token that was chosen from the last logits."""
        if self._draft:
            self._draft.extend([token])
        if self._at < len(self._guess) and token == self._guess[self._at]:
            self._at += 1
            return
        self.close()
        self._token = token

    def close(self) -> None:
        """Cut the cache back to the positions that belong to the text."""
        accepted = self._begun + self._at
        if accepted < self._cache.lengths[0]:
            self._cache.truncate(accepted)
        if self._seconds:
            self.counts.add(len(self._guess), self._at)
            if self._draft:
                self._draft.report(len(self._guess), self._at, self._seconds)
        self._guess, self._at, self._seconds, self._begun = [], 0, 0.0, accepted

    def _pass(self, most: int) -> None:
        """Run the chosen token, and a guess of up to `most` tokens, through the model."""
        assert self._token is not None
        guess = self._draft.propose(most) if self._draft and most > 0 else []
        started = perf_counter()
        states = self._model.hidden([self._token, *guess], self._cache)
        self._rows = self._model.head(np.ascontiguousarray(states))
        self._seconds = perf_counter() - started
        self._guess, self._at, self._token = guess, 0, None
        self._begun = int(self._cache.lengths[0]) - len(guess)
