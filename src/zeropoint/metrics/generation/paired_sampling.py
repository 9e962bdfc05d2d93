"""Generates texts with common noise, and scores both models along the same text.

Both models see the same randomness: the noise of token i depends only on the seed of its prompt,
the step and i (common Gumbel noise, `models.sampling`). Their texts are therefore identical until
the models themselves make them diverge.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats import F32
from zeropoint.kernels.compare import compare_logits
from zeropoint.metrics.divergence.score_chunks import TILE_BYTES
from zeropoint.models import (
    Batch,
    BatchStep,
    CompletedText,
    Sampling,
    choose,
    generate_batch,
    read_batch,
)

F64 = NDArray[np.float64]

DecodingMode = Literal["greedy", "sampled"]

_SEED_STRIDE = 1 << 32  # between the seeds of two prompts


class GeneratingModel(Batch, Protocol):
    """The part of a language model that free-running generation needs."""

    threads: int

    @property
    def vocab_size(self) -> int:
        """The number of logits per position."""


@dataclass(frozen=True)
class TeacherForced:
    """Scores of two models along one text of n tokens, which at most one of them generated."""

    kl: F64  # (n, 2) KL(reference ‖ quant) and KL(quant ‖ reference), nats
    nll: F64  # (n, 2) −log p of the text's own token under reference and quant, nats
    same: NDArray[np.bool_]  # (n,) whether the model that did not generate it chooses this token


def sampling_for(mode: DecodingMode, temperature: float, seed: int, index: int) -> Sampling:
    """Return the sampling of prompt `index`: the whole distribution, and noise for it alone."""
    return Sampling(
        top_k=0,
        top_p=1.0,
        min_p=0.0,
        temperature=0.0 if mode == "greedy" else temperature,
        seed=seed + _SEED_STRIDE * index,
    )


def generate_texts(
    model: Batch,
    prompts: Sequence[Sequence[int]],
    samplings: Sequence[Sampling],
    *,
    max_tokens: int,
    stops: frozenset[int],
) -> Iterator[BatchStep | CompletedText]:
    """Continue prompts of token ids, each with its own sampling.

    A token of `stops`, which ends a text, is its last token.
    """
    return generate_batch(
        model,
        prompts,
        lambda index, step, logits: choose(logits, samplings[index], step),
        limit=max_tokens,
        stops=stops,
    )


def states_along(
    model: Batch, prompts: Sequence[Sequence[int]], texts: Sequence[Sequence[int]]
) -> list[F32]:
    """Return for each text of n tokens the hidden states (n, width) before each of its tokens."""
    if not texts:
        return []
    # The last token is not processed: no token is chosen after it.
    sequences = [[*prompt, *text[:-1]] for prompt, text in zip(prompts, texts, strict=True)]
    states, _ = read_batch(model, sequences, [len(text) for text in texts])
    return states


def score_teacher_forced(
    reference: GeneratingModel,
    quant: GeneratingModel,
    states: tuple[F32, F32],
    text: Sequence[int],
    other: Literal["reference", "quant"],
    sampling: Sampling,
) -> TeacherForced:
    """Score both models along a text of n tokens, from the hidden states (n, width) of each.

    `other` is the model that did not generate the text. Sampled texts are scored at their
    temperature, so that the divergences of the steps add up to that of whole texts (chain rule).
    """
    temperature = np.float32(sampling.temperature or 1.0)
    targets = np.array(text, np.int32)
    kl, nll = np.zeros((len(text), 2)), np.zeros((len(text), 2))
    same = np.zeros(len(text), bool)
    tile = max(1, TILE_BYTES // (4 * reference.vocab_size))
    for start in range(0, len(text), tile):
        rows = slice(start, start + tile)
        logits = reference.head(states[0][rows]), quant.head(states[1][rows])
        for step, row in enumerate(logits[0] if other == "reference" else logits[1], start):
            same[step] = choose(row, sampling, step) == text[step]
        if temperature != 1:
            logits = logits[0] / temperature, logits[1] / temperature
        forward = compare_logits(logits[0], logits[1], targets[rows], threads=quant.threads)
        reverse = compare_logits(logits[1], logits[0], targets[rows], threads=quant.threads)
        kl[rows] = np.stack([forward.kl, reverse.kl], axis=1)
        nll[rows] = np.stack([forward.nll_reference, forward.nll_quant], axis=1)
    return TeacherForced(kl, nll, same)
