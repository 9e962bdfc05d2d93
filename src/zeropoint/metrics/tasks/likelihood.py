"""Log-likelihoods of given continuations, in batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import MeasurementError
from zeropoint.formats import F32
from zeropoint.kernels.compare import compare_logits
from zeropoint.metrics.divergence.score_chunks import TILE_BYTES
from zeropoint.models import in_batches

MAX_BATCH_TOKENS = 2048  # tokens, padding included, in one forward pass


class ScoringModel(Protocol):
    """The part of a language model that scoring needs."""

    threads: int

    @property
    def vocab_size(self) -> int:
        """The number of logits per position."""

    @property
    def context_length(self) -> int:
        """The maximum number of positions."""

    def hidden(self, tokens: NDArray[np.integer]) -> F32:
        """Return the final hidden states: (sequences, n) tokens → (sequences, n, width)."""

    def head(self, rows: F32) -> F32:
        """Return the logits of hidden states: (n, width) → (n, vocabulary)."""


@dataclass(frozen=True)
class ContinuationScore:
    """The likelihood of one continuation."""

    index: int  # of the request
    nats: float  # −Σ log p of its tokens
    tokens: int
    greedy: bool  # whether each of its tokens is the most likely one


class TextEncoder(Protocol):
    """The part of a tokenizer that `encode_pair` needs."""

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text."""


def encode_pair(tokenizer: TextEncoder, before: str, text: str) -> tuple[list[int], list[int]]:
    """Return the token ids of two texts, where the second one follows the first.

    Some tokenizers put a space before every text that they encode, which must not be there in the
    middle of a text. If a token would span both texts, the second one is encoded alone.
    """
    first, whole = tokenizer.encode(before), tokenizer.encode(before + text)
    if whole[: len(first)] == first:
        return first, whole[len(first) :]
    return first, tokenizer.encode(text)


def score_continuations(
    model: ScoringModel, requests: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> Iterator[ContinuationScore]:
    """Score each (context, continuation) of token ids; the order of the scores is unspecified.

    A context that does not fit loses its beginning. Raises MeasurementError for an empty context,
    for a continuation that is longer than the model's context, and for a logit that is not finite.
    """
    fitted = [_fit(model, *request) for request in requests]
    sequences = [[*context, *continuation] for context, continuation in fitted]
    longest = max(map(len, sequences), default=1)
    for group in in_batches(sequences, max(1, MAX_BATCH_TOKENS // longest)):
        size = max(len(sequences[index]) for index in group)
        tokens = np.zeros((len(group), size), np.int64)
        for row, index in zip(tokens, group, strict=True):
            row[: len(sequences[index])] = sequences[index]
        states = model.hidden(tokens[:, :-1])
        for row, index in zip(states, group, strict=True):
            context, continuation = fitted[index]
            rows = row[len(context) - 1 : len(context) - 1 + len(continuation)]
            yield _score(model, index, rows, continuation)


def _fit(
    model: ScoringModel, context: Sequence[int], continuation: Sequence[int]
) -> tuple[Sequence[int], Sequence[int]]:
    """Cut the beginning of a context so that the continuation fits behind it."""
    room = model.context_length + 1 - len(continuation)
    if not context:
        raise MeasurementError("there is nothing before the text to be scored")
    if room < 1:
        raise MeasurementError(
            f"{len(continuation)} tokens do not fit a context of {model.context_length}"
        )
    return context[-room:], continuation


def _score(
    model: ScoringModel, index: int, rows: F32, continuation: Sequence[int]
) -> ContinuationScore:
    """Score one continuation from the hidden states (n, width) before each of its n tokens."""
    targets = np.array(continuation, np.int32)
    tile = max(1, TILE_BYTES // (4 * model.vocab_size))
    nats, greedy = 0.0, True
    for at in range(0, len(targets), tile):
        logits = model.head(rows[at : at + tile])
        tile_targets = targets[at : at + tile]
        compared = compare_logits(logits, logits, tile_targets, threads=model.threads)
        nats += float(compared.nll_reference.sum())
        greedy = greedy and bool((compared.top_ids[:, 0, 0] == tile_targets).all())
    return ContinuationScore(index, nats, len(targets), greedy)
