"""Examples of predictions that quantization changed, for people who read a result."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from zeropoint.metrics.divergence.score_chunks import ChunkScores
from zeropoint.results.predictions import ChangedPrediction

EXAMPLES = 3
CONTEXT_TOKENS = 16  # before the position
CONTEXT_CHARACTERS = 72


@dataclass(frozen=True)
class _Position:
    """A scored position with different most likely tokens."""

    chunk: ChunkScores
    at: int  # index among the scored positions of the chunk
    kl: float


def changed_predictions(
    chunks: Sequence[ChunkScores], token_text: Callable[[int], str]
) -> tuple[ChangedPrediction, ...]:
    """Return the largest changes of a most likely token, by KL: from each text, then from all.

    There are at most EXAMPLES. Of equal changes the earlier one is taken.
    """
    largest: list[_Position] = []
    for domain in dict.fromkeys(chunk.domain for chunk in chunks):
        largest += _largest([chunk for chunk in chunks if chunk.domain == domain])
    order = sorted(range(len(largest)), key=lambda at: -largest[at].kl)
    first_of_text = {largest[at].chunk.domain: at for at in reversed(order)}
    chosen = [at for at in order if first_of_text[largest[at].chunk.domain] == at]
    chosen = [*chosen, *(at for at in order if at not in chosen)][:EXAMPLES]
    return tuple(_example(largest[at], token_text) for at in chosen)


def _largest(chunks: Sequence[ChunkScores]) -> list[_Position]:
    """Return the EXAMPLES largest changes in these chunks."""
    found = [position for chunk in chunks for position in _changes(chunk)]
    return sorted(found, key=lambda position: -position.kl)[:EXAMPLES]


def _changes(chunk: ChunkScores) -> Iterator[_Position]:
    kl = np.where(chunk.comparison.same_top, -math.inf, chunk.comparison.kl)
    for at in np.argsort(-kl, kind="stable")[:EXAMPLES]:
        if np.isfinite(kl[at]):
            yield _Position(chunk, int(at), float(kl[at]))


def _example(position: _Position, token_text: Callable[[int], str]) -> ChangedPrediction:
    chunk, at = position.chunk, position.at
    place = chunk.first + 1 + at
    before = chunk.tokens[max(place - CONTEXT_TOKENS, 0) : place]
    context = "".join(token_text(int(token)) for token in before)
    ids, logp = chunk.comparison.top_ids[at, :, 0], chunk.comparison.top_logp[at, :, 0]
    return ChangedPrediction(
        text=chunk.domain,
        context=context[-CONTEXT_CHARACTERS:],
        reference=token_text(int(ids[0])),
        quant=token_text(int(ids[1])),
        reference_probability=float(np.exp(logp[0])),
        quant_probability=float(np.exp(logp[1])),
        kl=position.kl,
    )
