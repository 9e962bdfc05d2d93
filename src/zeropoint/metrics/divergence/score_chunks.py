"""Two models on the same tokens, chunk by chunk: what is lost at each position.

Nothing here holds the logits of a chunk: the final hidden states of both models are (context,
width), and the heads run over a part of the vocabulary at a time, whose logits are reduced while
they are in cache. So each weight of a head is read once for a chunk.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.calibration.chunks import Chunk, cut_chunks
from zeropoint.errors import MeasurementError
from zeropoint.formats import F32
from zeropoint.kernels.compare import BLOCK, TOP, Comparing, Comparison

I32 = NDArray[np.int32]

__all__ = [
    "Chunk",
    "ChunkScores",
    "Scorer",
    "compare_hidden",
    "concatenate",
    "cut_chunks",
    "measure_chunks",
]

POSITIONS = 512  # that are compared at once
PART_BYTES = 2 << 20  # of their logits, of one side, that are alive at once
TILE_BYTES = 32 << 20  # where whole rows of logits are needed


class Scorer(Protocol):
    """What is needed of a language model to measure it."""

    @property
    def vocab_size(self) -> int:
        """How many logits `head` gives."""

    def hidden(self, tokens: I32) -> F32:
        """(sequences, context) tokens → (sequences, context, width) final hidden states."""

    def head(self, rows: F32, tokens: range | None = None) -> F32:
        """(n, width) hidden states → (n, vocabulary) logits, or those of a part of it."""


@dataclass(frozen=True)
class ChunkScores:
    """What one chunk gave; positions are `first` … context − 2, each predicting the next token."""

    index: int
    domain: str
    tokens: I32  # (context,)
    first: int
    comparison: Comparison  # of (context − 1 − first) positions
    seconds: float  # of both models and the reduction


def measure_chunks(
    reference: Scorer,
    quant: Scorer,
    chunks: Sequence[Chunk],
    *,
    done: int = 0,
    batch: int = 1,
    threads: int = 1,
) -> Iterator[ChunkScores]:
    """Run both models over the chunks and yield each chunk's comparison, in order.

    Scored are the positions context / 2 … context − 2: every token there has at least half a
    context before it. `batch` chunks run through a model together; with exact
    models the results do not depend on it. `done` chunks were measured before: numbers go on from
    there. Stopping between two records is safe. Raises MeasurementError if the vocabularies differ
    or a logit is not finite (with chunk and position).
    """
    if reference.vocab_size != quant.vocab_size:
        raise MeasurementError(
            f"the reference has {reference.vocab_size} tokens and the quant {quant.vocab_size}: "
            "they cannot be compared token by token"
        )
    for start in range(0, len(chunks), batch):
        group = chunks[start : start + batch]
        begin = time.perf_counter()
        tokens = np.stack([chunk.tokens for chunk in group])
        states = reference.hidden(tokens), quant.hidden(tokens)
        measured = []
        for row, chunk in enumerate(group):
            first = chunk.tokens.size // 2
            rows = slice(first, chunk.tokens.size - 1)
            try:
                comparison = compare_hidden(
                    reference,
                    quant,
                    (states[0][row, rows], states[1][row, rows]),
                    chunk.tokens[first + 1 :],
                    first=first,
                    threads=threads,
                )
            except MeasurementError as error:
                number = done + start + row
                raise MeasurementError(f"chunk {number} ({chunk.domain}): {error}") from None
            measured.append((chunk, first, comparison))
        seconds = (time.perf_counter() - begin) / len(group)
        for row, (chunk, first, comparison) in enumerate(measured):
            yield ChunkScores(
                done + start + row,
                chunk.domain,
                chunk.tokens,
                first,
                comparison,
                seconds,
            )


def compare_hidden(
    reference: Scorer,
    quant: Scorer,
    states: tuple[F32, F32],
    targets: I32,
    *,
    first: int = 0,
    threads: int = 1,
) -> Comparison:
    """Compare both heads over hidden states (n, width) of each model, part by part.

    `first` is the first of the positions, for errors.
    """
    parts = []
    for at in range(0, targets.size, POSITIONS):
        a, b = (side[at : at + POSITIONS] for side in states)
        comparing = Comparing(targets[at : at + POSITIONS], reference.vocab_size, first=first + at)
        for tokens in vocabulary_parts(reference.vocab_size, len(a)):
            comparing.add(reference.head(a, tokens), quant.head(b, tokens), threads=threads)
        parts.append(comparing.result())
    return concatenate(parts)


def vocabulary_parts(vocabulary: int, positions: int) -> Iterator[range]:
    """Cut a vocabulary into whole blocks whose logits take about PART_BYTES."""
    step = max(1, PART_BYTES // (4 * BLOCK * positions)) * BLOCK
    for start in range(0, vocabulary, step):
        yield range(start, min(start + step, vocabulary))


def concatenate(parts: Iterable[Comparison]) -> Comparison:
    """Join comparisons of consecutive positions."""
    parts = list(parts)
    if not parts:
        none = np.zeros(0)
        empty = np.zeros((0, 2, TOP))
        return Comparison(none, none, none, empty.astype(np.int32), empty.astype(np.float32))
    return Comparison(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("kl", "nll_reference", "nll_quant", "top_ids", "top_logp")
        )
    )
