"""The logits of one text, position by position, from passes over what a draft guesses."""

from zeropoint.formats import F32
from zeropoint.models.base import LanguageModel
from zeropoint.models.cache import Cache
from zeropoint.models.guessed_passes import GuessedPasses
from zeropoint.models.speculation import DraftCounts, TokenDraft


class Lookahead:
    """Runs passes over guesses, and hands out their logits while the guesses are right.

    Call `logits` and `chosen` in turn, and `close` at the end, also after an exception. Then the
    cache holds nothing but the text, in most cases without its last token.
    """

    def __init__(
        self, model: LanguageModel, cache: Cache, draft: TokenDraft | None, state: F32
    ) -> None:
        """`state` (width,) is the normed hidden state after the prompt, which the cache holds."""
        self._cache = cache
        self._draft = draft
        self._passes = GuessedPasses(model, cache, draft)
        self._rows = model.head(state[None])  # logits after each position of the last pass
        self._guess: list[int] = []
        self._at = 0  # of the row to choose from
        self._token: int | None = None  # chosen last, and not in the cache yet

    @property
    def counts(self) -> DraftCounts:
        """How many tokens were guessed, and how many of these were right."""
        return self._passes.counts

    def logits(self, limit: int) -> F32 | None:
        """Return the logits (vocab,) of the next token; None if the cache is full.

        At most `limit` tokens will be chosen from now on.
        """
        if self._token is not None:
            room = self._cache.capacity - int(self._cache.lengths[0]) - len(self._passes.pending)
            if room <= 0:
                return None
            self._rows, self._guess = self._passes.run(self._token, min(room, limit) - 1)
            self._at, self._token = 0, None
        row: F32 = self._rows[self._at]
        return row

    def chosen(self, token: int) -> None:
        """Note the token that was chosen from the last logits."""
        if self._draft:
            self._draft.extend([token])
        if self._at < len(self._guess) and token == self._guess[self._at]:
            self._at += 1
            return
        self._keep()
        self._token = token

    def close(self) -> None:
        """Leave nothing but the text in the cache."""
        self._keep()
        self._passes.flush()

    def _keep(self) -> None:
        self._passes.accept(self._at)
        self._guess, self._at = [], 0
