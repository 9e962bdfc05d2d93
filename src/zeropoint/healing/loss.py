"""KL(reference ‖ quant) over the whole vocabulary, from final hidden states.

For the reference's distribution p and the quant's q at a position, in nats:

    KL = Σ_v p_v (log p_v − log q_v)

The logits of both are computed in slices of positions, so that only a slice of them is in memory.
"""

import torch
from torch import Tensor

from zeropoint.models.student import OutputHead

SLICE_BYTES = 64 << 20  # of the logits of one model that are alive at once


class StateDivergence:
    """KL between a reference, given by its final hidden states, and a quant."""

    def __init__(self, reference: OutputHead, quant: OutputHead) -> None:
        self.reference, self.quant = reference, quant
        self._heads: tuple[Tensor, Tensor] | None = None

    def __enter__(self) -> "StateDivergence":
        """Decode both output matrices; they are freed when the block ends."""
        self._heads = self.reference.decoded(), self.quant.decoded()
        return self

    def __exit__(self, *_: object) -> None:
        self._heads = None

    def values(self, expected: Tensor, states: Tensor) -> Tensor:
        """Return the KL of each position, (n,) float64 nats.

        `expected` (n, width) are the reference's hidden states, `states` (n, width) the quant's.
        """
        with torch.no_grad():
            pairs = zip(*self._cut(expected, states), strict=True)
            parts = [self._slice(*pair).double() for pair in pairs]
        return torch.cat(parts)

    def gradient(self, expected: Tensor, states: Tensor) -> tuple[float, Tensor]:
        """Return the sum of the KL of all positions and its gradient at `states` (n, width)."""
        total, gradients = 0.0, []
        for known, part in zip(*self._cut(expected, states.detach()), strict=True):
            leaf = part.clone().requires_grad_(True)
            loss = self._slice(known, leaf).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
            assert leaf.grad is not None
            gradients.append(leaf.grad)
        return total, torch.cat(gradients)

    def _slice(self, expected: Tensor, states: Tensor) -> Tensor:
        assert self._heads is not None
        with torch.no_grad():
            wanted = torch.log_softmax(self.reference.logits(expected, self._heads[0]), dim=-1)
        found = torch.log_softmax(self.quant.logits(states, self._heads[1]), dim=-1)
        return (wanted.exp() * (wanted - found)).sum(-1)

    def _cut(self, *rows: Tensor) -> tuple[tuple[Tensor, ...], ...]:
        step = max(1, SLICE_BYTES // (4 * self.quant.architecture.vocab_size))
        return tuple(torch.split(one, step) for one in rows)
