"""A conversation with a model; its cache avoids processing earlier messages again."""

from collections.abc import Iterator

from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import UnsupportedModel
from zeropoint.models.base import LanguageModel
from zeropoint.models.chat import encode_chat
from zeropoint.models.generation import Finished, PromptRead, Token, generate, room_for
from zeropoint.models.sampling import Sampling
from zeropoint.models.sequences import common_prefix_length
from zeropoint.models.speculation import DraftedModel, DraftMaker


class Conversation:
    """The messages of a conversation. `say` adds the user's and generates the assistant's."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        model: LanguageModel,
        *,
        system: str | None = None,
        context: int | None = None,
        drafts: DraftMaker | None = None,
    ) -> None:
        """`drafts` makes what guesses the tokens of each answer (`draft_maker`)."""
        self._drafts = drafts
        self.messages = [{"role": "system", "content": system}] if system else []
        self._checkpoint = checkpoint
        self._model = model
        self._cache = room_for(model, 0, model.context_length, context)
        self._tokens: list[int] = []  # the tokens in the cache

    def say(
        self, text: str, *, limit: int, sampling: Sampling
    ) -> Iterator[PromptRead | Token | Finished]:
        """Add a user's message and yield the answer token by token.

        If the iteration is stopped early, the answer is what was generated so far. A message that
        does not fit the context is removed again and raises UnsupportedModel.
        """
        self.messages.append({"role": "user", "content": text})
        try:
            prompt = encode_chat(self._checkpoint, self._model.tokenizer, self.messages)
            fresh = self._resume(prompt)
            self._keep_end(prompt)
        except UnsupportedModel:
            self.messages.pop()
            raise
        draft = self._drafts and self._drafts(prompt, sampling, self._cache.capacity)
        drafted = DraftedModel(self._model, draft)
        answer: list[int] = []
        try:
            for record in generate(
                drafted, fresh, limit=limit, sampling=sampling, cache=self._cache
            ):
                if isinstance(record, Token):
                    answer.append(record.id)
                yield record
        finally:
            # The last generated token may not have gone through the model yet.
            self._tokens = (prompt + answer)[: int(self._cache.lengths[0])]
            text = self._model.tokenizer.decode(answer)
            self.messages.append({"role": "assistant", "content": text})

    def _resume(self, prompt: list[int]) -> list[int]:
        """Keep the common prefix of cache and prompt; return the rest of the prompt."""
        if len(prompt) > self._cache.capacity:
            raise UnsupportedModel(
                f"the conversation has {len(prompt)} tokens, but the context has room for "
                f"{self._cache.capacity}"
            )
        common = self._cache.last_cut(common_prefix_length(self._tokens, prompt[:-1]))
        self._cache.truncate(common)
        return prompt[common:]

    def _keep_end(self, prompt: list[int]) -> None:
        """Make the end of the last message a position to which the cache can be cut back.

        What follows it in the prompt may not be in the next one: the start of the answer, which
        templates write in another way when they leave out its reasoning.
        """
        if not self._cache.recurrent:
            return
        answered = [*self.messages, {"role": "assistant", "content": "."}]
        later = encode_chat(self._checkpoint, self._model.tokenizer, answered)
        self._cache.keep(common_prefix_length(prompt, later))
