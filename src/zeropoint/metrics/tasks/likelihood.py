"""How likely a model finds a continuation: log-likelihoods of given tokens, many at once."""

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

TOGETHER_TOKENS = 2048  # that go through the model at once


class Reader(Protocol):
    """What is needed of a language model to ask it."""

    threads: int

    @property
    def vocab_size(self) -> int:
        """Logits per position."""

    @property
    def context_length(self) -> int:
        """Positions that the model was made for."""

    def hidden(self, tokens: NDArray[np.integer]) -> F32:
        """(sequences, n) tokens → (sequences, n, width)."""

    def head(self, rows: F32) -> F32:
        """(n, width) → logits (n, vocabulary)."""


@dataclass(frozen=True)
class Likelihood:
    """What a model says of one continuation."""

    index: int  # of the request
    nats: float  # −Σ log p of its tokens
    tokens: int
    greedy: bool  # each of its tokens is the most likely one


class Encoder(Protocol):
    """What is needed of a tokenizer to put one text after another."""

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text."""


def encode_pair(tokenizer: Encoder, before: str, text: str) -> tuple[list[int], list[int]]:
    """Return the tokens of two texts, those of the second as they follow the first.

    Some tokenizers put a space before whatever they read, which is not there in the middle of a
    text. Where a token would span both, the second is read alone.
    """
    first, whole = tokenizer.encode(before), tokenizer.encode(before + text)
    if whole[: len(first)] == first:
        return first, whole[len(first) :]
    return first, tokenizer.encode(text)


def likelihoods(
    model: Reader, requests: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> Iterator[Likelihood]:
    """Ask for each (context, continuation) of token ids; in no particular order.

    A context that does not fit loses its beginning. Raises MeasurementError for an empty context,
    for a continuation that is longer than the model's context, and for a logit that is not finite.
    """
    cut = [_fit(model, *request) for request in requests]
    whole = [[*context, *continuation] for context, continuation in cut]
    longest = max(map(len, whole), default=1)
    for group in in_batches(whole, max(1, TOGETHER_TOKENS // longest)):
        size = max(len(whole[index]) for index in group)
        tokens = np.zeros((len(group), size), np.int64)
        for row, index in zip(tokens, group, strict=True):
            row[: len(whole[index])] = whole[index]
        states = model.hidden(tokens[:, :-1])
        for row, index in zip(states, group, strict=True):
            context, continuation = cut[index]
            rows = row[len(context) - 1 : len(context) - 1 + len(continuation)]
            yield _score(model, index, rows, continuation)


def _fit(
    model: Reader, context: Sequence[int], continuation: Sequence[int]
) -> tuple[Sequence[int], Sequence[int]]:
    room = model.context_length + 1 - len(continuation)
    if not context or room < 1:
        raise MeasurementError(
            "there is nothing before the text to be scored"
            if not context
            else f"{len(continuation)} tokens do not fit a context of {model.context_length}"
        )
    return context[-room:], continuation


def _score(model: Reader, index: int, rows: F32, continuation: Sequence[int]) -> Likelihood:
    targets = np.array(continuation, np.int32)
    tile = max(1, TILE_BYTES // (4 * model.vocab_size))
    nats, greedy = 0.0, True
    for at in range(0, len(targets), tile):
        logits = model.head(rows[at : at + tile])
        wanted = targets[at : at + tile]
        found = compare_logits(logits, logits, wanted, threads=model.threads)
        nats += float(found.nll_reference.sum())
        greedy = greedy and bool((found.top_ids[:, 0, 0] == wanted).all())
    return Likelihood(index, nats, len(targets), greedy)
