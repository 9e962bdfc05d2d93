"""Guesses the next tokens of a text with a smaller model of the same vocabulary.

The guesses are sampled with the same seed and step as the text: the noise of a token depends on
these and the token alone, so the two models choose the same token wherever their logits are close,
also at high temperatures.
"""

from collections.abc import Sequence
from time import perf_counter

from zeropoint.errors import UnsupportedModel
from zeropoint.formats import F32
from zeropoint.models.base import LanguageModel
from zeropoint.models.draft_length import DraftLength
from zeropoint.models.sampling import Sampling, choose
from zeropoint.models.sequences import common_prefix_length


class ModelDraft:
    """A small model's own context of one text, and how many tokens it pays to guess."""

    def __init__(
        self,
        model: LanguageModel,
        prompt: Sequence[int],
        sampling: Sampling,
        *,
        capacity: int,
        vocabulary: int,
    ) -> None:
        """`capacity` is the number of positions of the text's context.

        `vocabulary` is the number of tokens that the large model knows.
        """
        self.length = DraftLength()
        self._model = model
        self._vocabulary = min(vocabulary, model.vocab_size)  # tokens that both models know
        self._sampling = sampling
        self._prompt_tokens = len(prompt)
        self._tokens = list(prompt)
        self._read: list[int] = []  # the tokens in the cache
        self._cache = model.cache(min(capacity, model.context_length))

    def __len__(self) -> int:
        """Return the number of tokens of the text."""
        return len(self._tokens)

    def extend(self, tokens: Sequence[int]) -> None:
        """Append tokens to the text."""
        self._tokens.extend(tokens)

    def observe(self, start: int, states: F32) -> None:
        """Do nothing: the guesses need no states of the model."""

    def propose(self, limit: int) -> list[int]:
        """Return up to `limit` tokens that may come next, or none."""
        room = self._cache.capacity - len(self._tokens)
        count = min(self.length.choose(), limit, room)
        if count <= 0 or max(self._tokens) >= self._vocabulary:
            return []
        logits = self._read_text()
        started = perf_counter()  # what is read after a pause costs once, not per guess
        guesses: list[int] = []
        window = self._sampling.repeat_window
        for at in range(count):
            if at:
                logits = self._model.logits([guesses[-1]], self._cache)[0]
                self._read.append(guesses[-1])
            step = len(self._tokens) - self._prompt_tokens + at
            recent = [*self._tokens[-window:], *guesses][-window:]
            guesses.append(choose(logits[: self._vocabulary], self._sampling, step, recent))
        self.length.guessed(count, (perf_counter() - started) * count / max(count - 1, 1))
        return guesses

    def report(self, proposed: int, accepted: int, seconds: float) -> None:
        """Adapt to a pass of the large model over a guess of `proposed` tokens, or of none."""
        self.length.report(proposed, accepted, seconds)

    def _read_text(self) -> F32:
        """Bring the cache up to the text; return the logits after its last token."""
        kept = self._cache.last_cut(common_prefix_length(self._read, self._tokens[:-1]))
        self._cache.truncate(kept)
        states = self._model.hidden(self._tokens[kept:], self._cache)
        self._read = list(self._tokens)
        logits: F32 = self._model.head(states[-1:])[0]
        return logits


def check_draft_model(model: LanguageModel, draft: LanguageModel) -> None:
    """Raise UnsupportedModel if `draft` cannot guess tokens of `model`.

    Their tokens must be the same; the longer vocabulary may have more at its end, as models of one
    family have for padding.
    """
    own, other = model.tokenizer.vocabulary, draft.tokenizer.vocabulary
    count = min(len(own), len(other))
    if own.tokens[:count] != other.tokens[:count] or own.bos != other.bos:
        raise UnsupportedModel(
            f"{draft.checkpoint.path} has other tokens than {model.checkpoint.path}, so it cannot"
            " guess its text; choose a smaller model of the same family"
        )
    if draft.cache(1).recurrent:
        raise UnsupportedModel(
            f"{draft.checkpoint.path}: its recurrent layers cannot return to an earlier position"
            " after a wrong guess; choose a draft model with attention layers only"
        )
