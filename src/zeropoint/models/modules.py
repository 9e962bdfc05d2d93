"""torch modules that keep quantized weights and replace transformers' float modules."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from zeropoint.formats import QuantizedTensor
from zeropoint.models.architecture import Experts
from zeropoint.models.device import DeviceMatrix
from zeropoint.models.weights import Weights


class BlockLinear(nn.Module):
    """y = scale · (x · Wᵀ) + bias, where W is named by its GGUF name.

    `order` puts the outputs into transformers' order. Without a `matrix`, zeropoint's kernels
    multiply on the CPU; with one, torch does.
    """

    def __init__(
        self,
        weights: Weights,
        name: str,
        *,
        expert: int | None = None,
        bias: Tensor | None = None,
        scale: float = 1.0,
        order: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.weights, self.name, self.expert = weights, name, expert
        self.bias, self.scale, self.order = bias, scale, order
        self.matrix: DeviceMatrix | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return (…, out) for x of shape (…, in)."""
        if self.matrix is None:
            rows = x.reshape(-1, x.shape[-1]).numpy()
            y = torch.from_numpy(self.weights.multiply(self.name, rows, self.expert))
            y = y.reshape(*x.shape[:-1], -1)
        else:
            y = nn.functional.linear(x, self.matrix.weights())
        if self.scale != 1.0:
            y = y * self.scale
        if self.bias is not None:
            y = y + self.bias.to(y.device)
        return y if self.order is None else y[..., self.order]

    def move(self, device: torch.device) -> None:
        """Store the matrix on a device; torch multiplies it from then on."""
        tensor = self.weights.tensor(self.name)
        if self.expert is not None:
            rows = tensor.data.reshape(tensor.shape[0], -1, tensor.format.block_bytes)
            tensor = QuantizedTensor(tensor.format, tensor.shape[1:], rows[self.expert])
        self.matrix = DeviceMatrix(tensor, device)


class BlockEmbedding(nn.Module):
    """Rows of an embedding, decoded on access and multiplied by a scale."""

    def __init__(self, weights: Weights, name: str, scale: float) -> None:
        super().__init__()
        self.weights, self.name = weights, name
        self.scale = torch.tensor(scale, dtype=torch.float32)

    def forward(self, ids: Tensor) -> Tensor:
        """Return (…, width) embeddings for (…) token ids."""
        rows = self.weights.rows(self.name, ids.reshape(-1).cpu().numpy().astype(np.int64))
        scaled = torch.from_numpy(rows).reshape(*ids.shape, -1) * self.scale
        return scaled.to(ids.device)


class BlockExperts(nn.Module):
    """All experts of a layer; the router remains transformers' module."""

    def __init__(
        self,
        linear: Callable[[str, int], BlockLinear],
        experts: Experts,
        activation: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__()
        self.activation, self.scale = activation, experts.scale
        parts = {
            role: nn.ModuleList([linear(role, index) for index in range(experts.count)])
            for role in ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")
        }
        self.gate, self.up, self.down = parts.values()

    def forward(self, x: Tensor, chosen: Tensor, shares: Tensor) -> Tensor:
        """Return the weighted sum (n, width) over the experts `chosen` (n, used) of each row of
        x.
        """
        out = x.new_zeros(*chosen.shape, x.shape[-1])
        for index in sorted(set(chosen.reshape(-1).tolist())):
            rows, places = torch.where(chosen == index)
            inner = self.activation(self.gate[index](x[rows])) * self.up[index](x[rows])
            out[rows, places] = self.down[index](inner) * shares[rows, places, None]
        return out.sum(dim=1) * self.scale
