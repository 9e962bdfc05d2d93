"""The noise floor: the KL divergence of the reference from itself in another arithmetic.

Two machines do not compute the same logits: a GPU, for example, rounds the inputs of each matrix to
bfloat16. A loss that is smaller than the effect of this rounding on the reference means nothing, so
reports show the floor with every figure. It is computed with the reference's own weights: the
inputs of every matrix, and of the head, are rounded to bfloat16, and nothing else is changed.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zeropoint.calibration.chunks import Chunk
from zeropoint.formats import F32
from zeropoint.metrics.divergence.score_chunks import Scorer, score_chunks
from zeropoint.models.base import LanguageModel

ARITHMETIC = "inputs of every matrix rounded to bfloat16"


class Bfloat16Inputs:
    """A model whose matrices get inputs rounded to bfloat16. The model itself is not changed."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        head = model.architecture.output
        self._names = [name for name in model.matrices() if name != head]

    @property
    def vocab_size(self) -> int:
        """Logits per position."""
        return self._model.vocab_size

    def hidden(self, tokens: NDArray[np.int32]) -> F32:
        """Return final hidden states (sequences, context, width), computed from rounded inputs."""
        for name in self._names:
            self._model.set_hook(name, _round)
        try:
            return self._model.hidden(tokens)
        finally:
            for name in self._names:
                self._model.set_hook(name, None)

    def head(self, rows: F32, tokens: range | None = None) -> F32:
        """Return the logits (n, vocabulary) of rounded hidden states (n, width)."""
        rows = np.array(rows, np.float32)
        round_to_bfloat16(rows)
        return self._model.head(rows, tokens)


def _round(rows: F32, _expert: int | None) -> None:
    round_to_bfloat16(rows)


def round_to_bfloat16(values: F32) -> None:
    """Round finite float32 values in place to the nearest bfloat16, ties to even.

    >>> x = np.array([1.00390625, 1.01171875], np.float32); round_to_bfloat16(x); x.tolist()
    [1.0, 1.015625]
    """
    bits = values.view(np.uint32)
    bits += np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    bits &= np.uint32(0xFFFF0000)


def measure_floor(model: LanguageModel, reference: Scorer, chunks: Sequence[Chunk]) -> float:
    """Return the mean KL(reference ‖ reference with rounded inputs), in nats per token.

    `reference` computes the unrounded states: the model itself, or a cache of its states.
    """
    scores = score_chunks(reference, Bfloat16Inputs(model), chunks, threads=model.threads)
    return float(np.concatenate([chunk.comparison.kl for chunk in scores]).mean())
