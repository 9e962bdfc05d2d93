"""Windows of text, and the order in which they are trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zeropoint.calibration.chunks import Chunk


@dataclass(frozen=True)
class Windows:
    """Chunks of equal length, and the reference's final hidden states on the first of them."""

    chunks: Sequence[Chunk]
    #: (context, width) float32 of each chunk that was read.
    states: list[Tensor]

    def tokens(self, places: Sequence[int]) -> np.ndarray:
        """Return the tokens of some chunks, (chunks, context) int64."""
        return np.stack([self.chunks[place].tokens for place in places]).astype(np.int64)

    def expected(self, places: Sequence[int]) -> Tensor:
        """Return the reference's hidden states of some chunks, (chunks, context, width)."""
        return torch.stack([self.states[place] for place in places])


def batch_of(step: int, size: int, count: int, seed: int) -> list[int]:
    """Return the windows of a step, of `count`: a function of these arguments alone.

    Each pass over the windows is in a new random order.
    """
    places = []
    for place in range(step * size, (step + 1) * size):
        order = np.random.default_rng([seed, place // count]).permutation(count)
        places.append(int(order[place % count]))
    return places
