"""Passes of one text through the model: over its last token and a guess of the tokens after it."""

from time import perf_counter

import numpy as np

from zeropoint.formats import F32
from zeropoint.models.base import LanguageModel
from zeropoint.models.cache import Cache
from zeropoint.models.speculation import DraftCounts, TokenDraft


class GuessedPasses:
    """Runs a token and a guess, and then keeps what was right of the guess.

    Layers of attention are cut back to the last token that was right. Recurrent layers return to
    where the pass began, and the tokens that were right go into the next pass once more: it reads
    all weights anyway. Until then the cache lacks these `pending` tokens.
    """

    def __init__(self, model: LanguageModel, cache: Cache, draft: TokenDraft | None) -> None:
        self.counts = DraftCounts()
        self.pending: list[int] = []
        self._model = model
        self._cache = cache
        self._draft = draft
        self._begun = 0  # length of the cache before the pass
        self._tokens: list[int] = []  # of the pass: pending ones, the token, the guess
        self._guessed = 0
        self._states = np.empty((0, 0), np.float32)
        self._seconds = 0.0

    def run(self, token: int, most: int) -> tuple[F32, list[int]]:
        """Run a token and a guess of up to `most` tokens; return the logits and the guess.

        The logits (1 + guessed tokens, vocab) are those after the token and after each guessed one.
        """
        most -= len(self.pending)
        guess = self._draft.propose(most) if self._draft and most > 0 else []
        self._begun = int(self._cache.lengths[0])
        if guess:
            self._cache.mark()
        started = perf_counter()
        self._tokens = [*self.pending, token, *guess]
        self._states = self._model.hidden(self._tokens, self._cache)
        logits = self._model.head(np.ascontiguousarray(self._states[len(self.pending) :]))
        self._seconds = perf_counter() - started
        self._guessed, self.pending = len(guess), []
        return logits, guess

    def accept(self, accepted: int) -> None:
        """Keep the first `accepted` tokens of the guess; without a pass, do nothing."""
        if not self._tokens:
            return
        kept = len(self._tokens) - self._guessed + accepted
        if accepted < self._guessed:
            end = self._begun + kept
            if self._cache.can_truncate(end):
                self._cache.truncate(end)
            else:
                self._cache.truncate(self._begun)
                self.pending = self._tokens[:kept]
        self.counts.add(self._guessed, accepted)
        if self._draft:
            self._draft.observe(self._begun, self._states[:kept])
            self._draft.report(self._guessed, accepted, self._seconds)
        self._tokens = []

    def flush(self) -> None:
        """Bring the cache up to the last token that was kept."""
        if self.pending:
            self._model.hidden(self.pending, self._cache)
            self.pending = []
