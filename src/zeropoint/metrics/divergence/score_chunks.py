"""Compares two models on the same tokens, chunk by chunk, at every scored position.

The logits of a chunk never exist as a whole. The final hidden states of both models are (context,
width); both heads run over a part of the vocabulary at a time, and its logits are reduced while
they are in the cache. Each weight of a head is therefore read once per chunk.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.calibration.chunks import Chunk
from zeropoint.errors import MeasurementError
from zeropoint.formats import F32
from zeropoint.kernels.compare import TOP_TOKENS, VOCABULARY_BLOCK_TOKENS, Comparing, Comparison

I32 = NDArray[np.int32]

MAX_POSITIONS = 512  # positions that are compared at once
PART_BYTES = 2 << 20  # logits of one model that are alive at once
TILE_BYTES = 32 << 20  # logits that are alive at once where whole rows of them are needed


class Scorer(Protocol):
    """The part of a language model that a measurement needs."""

    @property
    def vocab_size(self) -> int:
        """Logits per position."""

    def hidden(self, tokens: I32) -> F32:
        """Return final hidden states: (sequences, context) → (sequences, context, width)."""

    def head(self, rows: F32, tokens: range | None = None) -> F32:
        """Return logits: (n, width) → (n, vocabulary), or (n, len(tokens)) for a part of it."""


@dataclass(frozen=True)
class ChunkScores:
    """The comparison of one chunk: positions `first` … context − 2 predict the token after them."""

    index: int
    domain: str
    tokens: I32  # (context,)
    first: int
    comparison: Comparison  # of context − 1 − first positions
    seconds: float  # both forward passes and the comparison


def score_chunks(
    reference: Scorer,
    quant: Scorer,
    chunks: Sequence[Chunk],
    *,
    done: int = 0,
    batch: int = 1,
    threads: int = 1,
) -> Iterator[ChunkScores]:
    """Run both models over the chunks and yield the scores of each chunk, in order.

    The positions `chunk.first` … context − 2 are scored, so that every scored token has at least
    half a context before it. `batch` chunks of equal size run through a model together; the results
    do not depend on it. Indices start at `done`, the number of chunks that were scored earlier.
    Stopping between two records is safe.

    Raises MeasurementError if the sizes of the vocabularies differ, or for a logit that is not
    finite, with its chunk and position.
    """
    if reference.vocab_size != quant.vocab_size:
        raise MeasurementError(
            f"the reference has {reference.vocab_size} tokens and the quant {quant.vocab_size}: "
            "they cannot be compared token by token"
        )
    for group in _batches(chunks, batch):
        yield from _score_batch(reference, quant, group, first_index=done, threads=threads)
        done += len(group)


def _batches(chunks: Sequence[Chunk], most: int) -> Iterator[list[Chunk]]:
    """Yield consecutive chunks of equal size, at most `most` together; a long document alone."""
    group: list[Chunk] = []
    for chunk in chunks:
        alone = chunk.scored is not None
        if group and (alone or len(group) == most or group[0].tokens.size != chunk.tokens.size):
            yield group
            group = []
        group.append(chunk)
        if alone:
            yield group
            group = []
    if group:
        yield group


def _score_batch(
    reference: Scorer, quant: Scorer, chunks: Sequence[Chunk], *, first_index: int, threads: int
) -> list[ChunkScores]:
    begin = time.perf_counter()
    tokens = np.stack([chunk.tokens for chunk in chunks])
    reference_states, quant_states = reference.hidden(tokens), quant.hidden(tokens)
    comparisons = []
    for row, chunk in enumerate(chunks):
        first = chunk.first
        rows = slice(first, chunk.tokens.size - 1)
        states = reference_states[row, rows], quant_states[row, rows]
        targets = chunk.tokens[first + 1 :]
        try:
            comparisons.append(
                compare_hidden(reference, quant, states, targets, first=first, threads=threads)
            )
        except MeasurementError as error:
            place = f"chunk {first_index + row} ({chunk.domain})"
            raise MeasurementError(f"{place}: {error}") from None
    seconds = (time.perf_counter() - begin) / len(chunks)
    return [
        ChunkScores(first_index + row, chunk.domain, chunk.tokens, chunk.first, comparison, seconds)
        for row, (chunk, comparison) in enumerate(zip(chunks, comparisons, strict=True))
    ]


def compare_hidden(
    reference: Scorer,
    quant: Scorer,
    states: tuple[F32, F32],
    targets: I32,
    *,
    first: int = 0,
    threads: int = 1,
) -> Comparison:
    """Compare both heads on final hidden states, a part of the vocabulary at a time.

    `states` are (n, width) of each model, `targets` (n,) the next tokens of the text. `first` is
    the number of the first position, for errors.
    """
    parts = []
    for at in range(0, targets.size, MAX_POSITIONS):
        a, b = (side[at : at + MAX_POSITIONS] for side in states)
        comparing = Comparing(
            targets[at : at + MAX_POSITIONS], reference.vocab_size, first=first + at
        )
        for tokens in vocabulary_parts(reference.vocab_size, len(a)):
            comparing.add(reference.head(a, tokens), quant.head(b, tokens), threads=threads)
        parts.append(comparing.result())
    return concatenate(parts)


def vocabulary_parts(vocabulary: int, positions: int) -> Iterator[range]:
    """Cut a vocabulary into whole blocks whose logits take about PART_BYTES."""
    step = max(1, PART_BYTES // (4 * VOCABULARY_BLOCK_TOKENS * positions)) * VOCABULARY_BLOCK_TOKENS
    for start in range(0, vocabulary, step):
        yield range(start, min(start + step, vocabulary))


def concatenate(parts: Iterable[Comparison]) -> Comparison:
    """Join the comparisons of consecutive positions."""
    parts = list(parts)
    if not parts:
        none = np.zeros(0)
        empty = np.zeros((0, 2, TOP_TOKENS))
        return Comparison(none, none, none, empty.astype(np.int32), empty.astype(np.float32))
    return Comparison(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("kl", "nll_reference", "nll_quant", "top_ids", "top_logp")
        )
    )
