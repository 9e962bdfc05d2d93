"""What a model writes when it writes freely, and what another model says along the same path.

Both models see the same randomness: token i has noise that depends on the seed of its prompt, the
step and i alone (common Gumbel noise, `models.sampling`), so the texts are the same until the
models themselves make them differ.
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
    Sampling,
    Stepped,
    Written,
    choose,
    generate_together,
    read_together,
)

F64 = NDArray[np.float64]

Way = Literal["greedy", "sampled"]

_SEEDS = 1 << 32  # apart from prompt to prompt


class Writer(Batch, Protocol):
    """What is needed of a language model to follow it."""

    threads: int

    @property
    def vocab_size(self) -> int:
        """Logits per position."""


@dataclass(frozen=True)
class Along:
    """Two models along one path of n tokens: what each says of every next token."""

    kl: F64  # (n, 2) KL(reference ‖ quant) and KL(quant ‖ reference), nats
    nll: F64  # (n, 2) −log p of the path's own token under reference and quant, nats
    same: NDArray[np.bool_]  # (n,) the other model, from here, chooses the path's token too


def sampling_of(way: Way, temperature: float, seed: int, index: int) -> Sampling:
    """Return how prompt `index` is continued: from the whole distribution, with its own noise."""
    return Sampling(
        top_k=0,
        top_p=1.0,
        min_p=0.0,
        temperature=0.0 if way == "greedy" else temperature,
        seed=seed + _SEEDS * index,
    )


def write_paths(
    model: Batch,
    prompts: Sequence[Sequence[int]],
    samplings: Sequence[Sampling],
    *,
    limit: int,
    stops: frozenset[int],
) -> Iterator[Stepped | Written]:
    """Continue the prompts, each by its own sampling; the token that ends a text is part of it."""
    return generate_together(
        model,
        prompts,
        lambda index, step, logits: choose(logits, samplings[index], step),
        limit=limit,
        stops=stops,
    )


def read_paths(
    model: Batch, prompts: Sequence[Sequence[int]], paths: Sequence[Sequence[int]]
) -> list[F32]:
    """Return the states (n, width) from which `model` would choose each token of the paths."""
    if not paths:
        return []
    # nothing is chosen after the last token
    whole = [[*prompt, *path[:-1]] for prompt, path in zip(prompts, paths, strict=True)]
    states, _ = read_together(model, whole, [len(path) for path in paths])
    return states


def compare_along(
    reference: Writer,
    quant: Writer,
    states: tuple[F32, F32],
    path: Sequence[int],
    other: Literal["reference", "quant"],
    sampling: Sampling,
) -> Along:
    """Compare both models along a path, from the states (n, width) of each.

    Sampled paths are compared at their temperature, so that the divergences of the steps add up to
    that of whole texts (the chain rule). `other` is the model that did not write the path.
    """
    heat = np.float32(sampling.temperature or 1.0)
    targets = np.array(path, np.int32)
    kl, nll = np.zeros((len(path), 2)), np.zeros((len(path), 2))
    same = np.zeros(len(path), bool)
    tile = max(1, TILE_BYTES // (4 * reference.vocab_size))
    for at in range(0, len(path), tile):
        rows = slice(at, at + tile)
        logits = reference.head(states[0][rows]), quant.head(states[1][rows])
        for place, row in enumerate(logits[0] if other == "reference" else logits[1], at):
            same[place] = choose(row, sampling, place) == path[place]
        if heat != 1:
            logits = logits[0] / heat, logits[1] / heat
        there = compare_logits(logits[0], logits[1], targets[rows], threads=quant.threads)
        back = compare_logits(logits[1], logits[0], targets[rows], threads=quant.threads)
        kl[rows] = np.stack([there.kl, back.kl], axis=1)
        nll[rows] = np.stack([there.nll_reference, there.nll_quant], axis=1)
    return Along(kl, nll, same)
