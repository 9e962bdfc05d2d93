"""The noise floor: the reference against itself in another arithmetic.

Two machines do not compute the same logits: a GPU rounds what goes into each matrix to bfloat16. A
loss below what that rounding costs the reference itself means nothing, so it stands beside every
figure. Here the reference's own weights are multiplied with inputs rounded to bfloat16, in every
layer and at the head, and everything else stays as it is.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zeropoint.calibration.chunks import Chunk
from zeropoint.formats import F32
from zeropoint.metrics.divergence.score_chunks import Scorer, measure_chunks
from zeropoint.models.base import LanguageModel

ARITHMETIC = "inputs of every matrix rounded to bfloat16"


class Rounded:
    """A model whose matrices get inputs rounded to bfloat16. The model itself is left as it was."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        head = model.architecture.output
        self._names = [name for name in model.matrices() if name != head]

    @property
    def vocab_size(self) -> int:
        """Logits per position."""
        return self._model.vocab_size

    def hidden(self, tokens: NDArray[np.int32]) -> F32:
        """Return final hidden states, computed from rounded inputs."""
        for name in self._names:
            self._model.watch(name, _round)
        try:
            return self._model.hidden(tokens)
        finally:
            for name in self._names:
                self._model.watch(name, None)

    def head(self, rows: F32, tokens: range | None = None) -> F32:
        """Return the logits of rounded hidden states."""
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


def measure_floor(reference: LanguageModel, states: Scorer, chunks: Sequence[Chunk]) -> float:
    """Return the mean KL(reference ‖ reference with rounded inputs) over chunks, nats per token.

    `states` is the reference again, or one that remembers its pass.
    """
    found = list(measure_chunks(states, Rounded(reference), chunks, threads=reference.threads))
    return float(np.concatenate([c.comparison.kl for c in found]).mean())
