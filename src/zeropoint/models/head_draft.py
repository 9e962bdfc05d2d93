"""Guesses the next tokens of a text with the model's own layer for multi-token prediction."""

from collections.abc import Sequence
from time import perf_counter

import numpy as np

from zeropoint.errors import UnsupportedModel
from zeropoint.formats import F32
from zeropoint.models.base import DraftPart, LanguageModel
from zeropoint.models.sampled_draft import SampledDraft
from zeropoint.models.sampling import Sampling

MAX_WAITING_POSITIONS = 512  # whose states are kept until they are read


class HeadDraft(SampledDraft):
    """The draft head's context of one text.

    The head reads the model's states, which `observe` brings, and the tokens after them. Its cache
    begins with the first state that was observed: what was in the model's cache before is missing,
    which makes guesses worse at first.
    """

    def __init__(
        self, model: LanguageModel, prompt: Sequence[int], sampling: Sampling, capacity: int
    ) -> None:
        """Raises UnsupportedModel if the model has no draft head."""
        super().__init__(prompt, sampling)
        self._head = draft_head_of(model)
        self._cache = self._head.cache(capacity)
        self._first: int | None = None  # position of the first state
        self._read = 0  # position after the last state that the head has read
        self._waiting: F32 = np.empty((0, model.architecture.width), np.float32)

    def observe(self, start: int, states: F32) -> None:
        """Take the model's normed states (n, width) of the positions from `start` on."""
        if self._first is None:
            self._first = self._read = start
        known = max(self._read - start, 0)
        self._waiting = np.concatenate(
            [self._waiting[: start + known - self._read], states[known:]]
        )
        if len(self._waiting) > MAX_WAITING_POSITIONS:
            self._read_waiting()

    def propose(self, limit: int) -> list[int]:
        """Return up to `limit` tokens that may come next, or none."""
        count = min(self.length.choose(), limit)
        if count <= 0 or not len(self._waiting):
            return []
        state = self._read_waiting()[-1:]
        started = perf_counter()

        def logits_after(guess: int) -> F32:
            nonlocal state
            state = self._head.hidden(state, [guess], self._cache)
            return self._logits(state)

        guesses = self._guess(count, self._logits(state), logits_after)
        self.length.guessed(count, perf_counter() - started)
        return guesses

    def _read_waiting(self) -> F32:
        """Let the head read the states whose next token is known; return what it makes of them."""
        after = self._tokens[self._read + 1 :][: len(self._waiting)]
        self._cache.truncate(self._read - (self._first or 0))
        drafted = self._head.hidden(self._waiting[: len(after)], after, self._cache)
        self._read += len(after)
        self._waiting = self._waiting[len(after) :]
        return drafted

    def _logits(self, state: F32) -> F32:
        logits: F32 = self._head.project(state)[0]
        return logits


def draft_head_of(model: LanguageModel) -> DraftPart:
    """Return a model's draft head. Raises UnsupportedModel if it has none that runs."""
    head = model.draft_head
    if head is None:
        raise UnsupportedModel(
            f"{model.checkpoint.path} has no layer for multi-token prediction; guess with ngram, or"
            " with a smaller model"
        )
    return head
