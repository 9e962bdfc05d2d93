"""Lossless speculative decoding: guesses of the next tokens, checked in one pass of the model.

A token is a function of logits, seed and step. A guessed token is accepted if and only if it is the
token that is chosen from the model's own logits, so guesses change the speed of a text and never
the text, at any temperature.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from zeropoint.formats import F32
from zeropoint.models.base import LanguageModel
from zeropoint.models.head_draft import HeadDraft, draft_head_of
from zeropoint.models.loading import load_model
from zeropoint.models.model_draft import ModelDraft, check_draft_model
from zeropoint.models.ngram_draft import NgramDraft
from zeropoint.models.sampling import Sampling


class TokenDraft(Protocol):
    """Guesses the next tokens of one text."""

    def __len__(self) -> int:
        """Return the number of tokens of the text."""

    def extend(self, tokens: Sequence[int]) -> None:
        """Append tokens to the text."""

    def observe(self, start: int, states: F32) -> None:
        """Take the model's normed states (n, width) of the text's positions from `start` on."""

    def propose(self, limit: int) -> list[int]:
        """Return up to `limit` tokens that may come next, or none."""

    def report(self, proposed: int, accepted: int, seconds: float) -> None:
        """Adapt to a pass over a guess of `proposed` tokens, which may be none."""


#: Returns the draft of a text: of its prompt, for this sampling and a context of some positions.
DraftMaker = Callable[[Sequence[int], Sampling, int], TokenDraft]


@dataclass(frozen=True)
class DraftedModel:
    """A model, and what guesses the tokens of one text, whose whole prompt it knows."""

    model: LanguageModel
    draft: TokenDraft | None


@dataclass
class DraftCounts:
    """How many tokens were guessed for a text, and how many of these were right."""

    passes: int = 0  # of the model after the prompt
    proposed: int = 0
    accepted: int = 0

    def add(self, proposed: int, accepted: int) -> None:
        """Count a pass over a guess of `proposed` tokens."""
        self.passes += 1
        self.proposed += proposed
        self.accepted += accepted


def draft_maker(draft: str | Path, model: LanguageModel) -> DraftMaker | None:
    """Return what makes the drafts of a model's texts; None for "off".

    `draft` is "off"; "ngram"; "mtp", the model's own layer for multi-token prediction; "auto",
    which is mtp if the model has such a layer and otherwise ngram; or a smaller model with the same
    tokens: a file, folder or hub id. It runs in the mode of `model`, with as many threads. Raises
    UnsupportedModel for a model without such a layer, or with other tokens, and CheckpointError for
    one that cannot be read.
    """
    if draft == "auto":
        draft = "mtp" if model.draft_head else "ngram"
    match draft:
        case "off":
            return None
        case "ngram":
            return lambda prompt, _sampling, _capacity: NgramDraft(prompt)
        case "mtp":
            draft_head_of(model)
            return partial(HeadDraft, model)
    small = load_model(draft, mode=model.mode, threads=model.threads)
    check_draft_model(model, small)

    def make(prompt: Sequence[int], sampling: Sampling, capacity: int) -> TokenDraft:
        return ModelDraft(small, prompt, sampling, capacity=capacity, vocabulary=model.vocab_size)

    return make
