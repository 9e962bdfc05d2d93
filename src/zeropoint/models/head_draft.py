"""Guesses the next tokens of a text with the model's own layer for multi-token prediction."""

from collections.abc import Sequence
from time import perf_counter

import numpy as np

from zeropoint.errors import UnsupportedModel
from zeropoint.formats import F32
from zeropoint.models.base import DraftPart, LanguageModel
from zeropoint.models.draft_length import DraftLength
from zeropoint.models.sampling import Sampling, choose


class HeadDraft:
    """The draft head's context of one text, and how many tokens it pays to guess.

    The head reads the model's states, which `observe` brings, and the tokens after them. Its cache
    begins with the first state that was observed: what was in the model's cache before is missing,
    which makes guesses worse at first.
    """

    def __init__(
        self, model: LanguageModel, prompt: Sequence[int], sampling: Sampling, capacity: int
    ) -> None:
        """Raises UnsupportedModel if the model has no draft head."""
        self.length = DraftLength()
        self._head = draft_head_of(model)
        self._sampling = sampling
        self._prompt_tokens = len(prompt)
        self._tokens = list(prompt)
        self._cache = self._head.cache(capacity)
        self._first: int | None = None  # position of the first state
        self._read = 0  # position after the last state that the head has read
        self._waiting: F32 = np.empty((0, model.architecture.width), np.float32)

    def __len__(self) -> int:
        """Return the number of tokens of the text."""
        return len(self._tokens)

    def extend(self, tokens: Sequence[int]) -> None:
        """Append tokens to the text."""
        self._tokens.extend(tokens)

    def observe(self, start: int, states: F32) -> None:
        """Take the model's normed states (n, width) of the positions from `start` on."""
        if self._first is None:
            self._first = self._read = start
        known = max(self._read - start, 0)
        self._waiting = np.concatenate(
            [self._waiting[: start + known - self._read], states[known:]]
        )

    def propose(self, limit: int) -> list[int]:
        """Return up to `limit` tokens that may come next, or none."""
        count = min(self.length.choose(), limit)
        if count <= 0 or not len(self._waiting):
            return []
        self._cache.truncate(self._read - (self._first or 0))
        after = self._tokens[self._read + 1 :][: len(self._waiting)]
        state = self._head.hidden(self._waiting[: len(after)], after, self._cache)[-1:]
        self._read += len(after)
        self._waiting = self._waiting[len(after) :]
        started = perf_counter()
        guesses: list[int] = []
        window = self._sampling.repeat_window
        for at in range(count):
            if at:
                state = self._head.hidden(state, guesses[-1:], self._cache)
            step = len(self._tokens) - self._prompt_tokens + at
            recent = [*self._tokens[-window:], *guesses][-window:]
            logits = self._head.project(state)[0]
            guesses.append(choose(logits, self._sampling, step, recent))
        self.length.guessed(count, perf_counter() - started)
        return guesses

    def report(self, proposed: int, accepted: int, seconds: float) -> None:
        """Adapt to a pass of the model over a guess of `proposed` tokens, or of none."""
        self.length.report(proposed, accepted, seconds)


def draft_head_of(model: LanguageModel) -> DraftPart:
    """Return a model's draft head. Raises UnsupportedModel if it has none that runs."""
    head = model.draft_head
    if head is None:
        raise UnsupportedModel(
            f"{model.checkpoint.path} has no layer for multi-token prediction; guess with ngram, or"
            " with a smaller model"
        )
    return head
