"""What the drafts share that compute logits: the text so far, and how tokens are guessed from them.

The guesses are sampled with the same seed and step as the text: the noise of a token depends on
these and the token alone, so that a draft chooses the model's token wherever the logits of both are
close, also at high temperatures.
"""

from collections.abc import Callable, Sequence

from zeropoint.formats import F32
from zeropoint.models.draft_length import DraftLength
from zeropoint.models.sampling import Sampling, choose


class SampledDraft:
    """The tokens of one text, and how many of the next ones it pays to guess."""

    def __init__(self, prompt: Sequence[int], sampling: Sampling) -> None:
        self.length = DraftLength()
        self._sampling = sampling
        self._prompt_tokens = len(prompt)
        self._tokens = list(prompt)

    def __len__(self) -> int:
        """Return the number of tokens of the text."""
        return len(self._tokens)

    def extend(self, tokens: Sequence[int]) -> None:
        """Append tokens to the text."""
        self._tokens.extend(tokens)

    def report(self, proposed: int, accepted: int, seconds: float) -> None:
        """Adapt to a pass of the model over a guess of `proposed` tokens, or of none."""
        self.length.report(proposed, accepted, seconds)

    def _guess(self, count: int, logits: F32, logits_after: Callable[[int], F32]) -> list[int]:
        """Return `count` tokens, from the logits (vocab,) after the text and after each guess."""
        guesses: list[int] = []
        window = self._sampling.repeat_window
        for at in range(count):
            if at:
                logits = logits_after(guesses[-1])
            step = len(self._tokens) - self._prompt_tokens + at
            recent = [*self._tokens[-window:], *guesses][-window:]
            guesses.append(choose(logits, self._sampling, step, recent))
        return guesses
