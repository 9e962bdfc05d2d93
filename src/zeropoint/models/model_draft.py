"""Guesses the next tokens of a text with a smaller model of the same vocabulary."""

from collections.abc import Sequence
from time import perf_counter

from zeropoint.errors import UnsupportedModel
from zeropoint.formats import F32
from zeropoint.models.base import LanguageModel
from zeropoint.models.sampled_draft import SampledDraft
from zeropoint.models.sampling import Sampling
from zeropoint.models.sequences import common_prefix_length


class ModelDraft(SampledDraft):
    """A small model's own context of one text."""

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
        super().__init__(prompt, sampling)
        self._model = model
        self._vocabulary = min(vocabulary, model.vocab_size)  # tokens that both models know
        self._read: list[int] = []  # the tokens in the cache: of the text, and then guesses
        self._agreed = 0  # of these, how many are known to be of the text
        self._cache = model.cache(min(capacity, model.context_length))

    def observe(self, start: int, states: F32) -> None:
        """Do nothing: the guesses need no states of the model."""

    def propose(self, limit: int) -> list[int]:
        """Return up to `limit` tokens that may come next, or none."""
        room = self._cache.capacity - len(self._tokens)
        count = min(self.length.choose(), limit, room)
        if count <= 0 or max(self._tokens[self._agreed :]) >= self._vocabulary:
            return []
        logits = self._read_text()
        started = perf_counter()  # what is read after a pause costs once, not per guess
        guesses = self._guess(count, logits, self._logits_after)
        self.length.guessed(count, (perf_counter() - started) * count / max(count - 1, 1))
        return guesses

    def _read_text(self) -> F32:
        """Bring the cache up to the text; return the logits after its last token."""
        new, last = self._read[self._agreed :], self._tokens[self._agreed : -1]
        kept = self._cache.last_cut(self._agreed + common_prefix_length(new, last))
        self._cache.truncate(kept)
        states = self._model.hidden(self._tokens[kept:], self._cache)
        self._read, self._agreed = list(self._tokens), len(self._tokens) - 1
        return self._logits(states)

    def _logits_after(self, guess: int) -> F32:
        self._read.append(guess)
        return self._logits(self._model.hidden([guess], self._cache))

    def _logits(self, states: F32) -> F32:
        logits: F32 = self._model.head(states[-1:])[0, : self._vocabulary]
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
