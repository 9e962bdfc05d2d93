"""torch modules that keep quantized weights and replace transformers' float modules."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from zeropoint.formats import F32, QuantizedTensor
from zeropoint.models.device import DeviceMatrix
from zeropoint.models.feed_forward import JOINED, STACKS, Experts
from zeropoint.models.weights import Weights

# Called with a matrix's inputs (n, in), the gradients of its products x · Wᵀ (n, out), and the
# places of the n rows in the batch (None: all rows in order).
GradientHook = Callable[[F32, F32, Tensor | None], None]

DECODED_WEIGHTS = 1 << 24  # weights that a backward pass decodes at a time: 64 MiB


class Multiplier(Protocol):
    """What multiplies by a matrix in place of zeropoint's kernels."""

    def multiply(self, x: Tensor) -> Tensor:
        """Return x · Wᵀ (…, rows) of x (…, columns)."""


class BlockLinear(nn.Module):
    """y = scale · (x · Wᵀ) + bias, where W is named by its GGUF name.

    `order` puts the outputs into transformers' order, `columns` the inputs into the file's.
    Without a `matrix`, zeropoint's kernels multiply on the CPU; with one, torch does.
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
        self.bias, self.scale = bias, scale
        self.order = order
        self.columns: Tensor | None = None
        self.matrix: Multiplier | None = None
        self.gradient_hook: GradientHook | None = None

    def forward(self, x: Tensor, places: Tensor | None = None) -> Tensor:
        """Return (…, out) for x of shape (…, in).

        `places` are the numbers of x's rows in the batch, for the gradient hook.
        """
        if self.columns is not None:
            x = x[..., self.columns]
        if self.matrix is None:
            y: Tensor = BlockProduct.apply(x, self, places)  # type: ignore[no-untyped-call]
        else:
            y = self.matrix.multiply(x)
        if self.scale != 1.0:
            y = y * self.scale
        if self.bias is not None:
            y = y + self.bias.to(y.device)
        return y if self.order is None else y[..., self.order]

    def stored(self) -> QuantizedTensor:
        """Return the matrix as the file stores it; of a stack that of one expert."""
        tensor = self.weights.tensor(self.name)
        if self.expert is None:
            return tensor
        rows = tensor.data.reshape(tensor.shape[0], -1, tensor.format.block_bytes)
        return QuantizedTensor(tensor.format, tensor.shape[1:], rows[self.expert])


def store_on_device(linear: BlockLinear, device: torch.device) -> DeviceMatrix:
    """Return a linear's matrix on a device, where torch multiplies it."""
    return DeviceMatrix(linear.stored(), device)


class JoinedLinear(nn.Module):
    """Several matrices that transformers holds as one; `order` is that of its outputs."""

    def __init__(self, parts: list[BlockLinear], order: Tensor) -> None:
        super().__init__()
        self.parts, self.order = nn.ModuleList(parts), order

    def forward(self, x: Tensor) -> Tensor:
        """Return (…, out) for x of shape (…, in)."""
        return torch.cat([part(x) for part in self.parts], dim=-1)[..., self.order]


class BlockProduct(torch.autograd.Function):
    """x · Wᵀ of a `BlockLinear` by zeropoint's kernels, and its gradient g · W.

    The backward pass decodes W in slabs of rows and calls the module's gradient hook. W itself has
    no gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, linear: BlockLinear, places: Tensor | None) -> Tensor:
        """Return (…, out) for x of shape (…, in)."""
        ctx.linear, ctx.places = linear, places
        ctx.save_for_backward(x)
        rows = x.detach().reshape(-1, x.shape[-1]).numpy()
        y = torch.from_numpy(linear.weights.multiply(linear.name, rows, linear.expert))
        return y.reshape(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Return the gradient of x, (…, in)."""
        (x,), linear = ctx.saved_tensors, ctx.linear
        g = gradients[0].detach().reshape(-1, gradients[0].shape[-1])
        if linear.gradient_hook is not None:
            rows = x.detach().reshape(-1, x.shape[-1]).numpy()
            linear.gradient_hook(rows, g.numpy(), ctx.places)
        found = torch.zeros(len(g), x.shape[-1])
        for start, slab in linear.weights.slabs(linear.name, linear.expert, DECODED_WEIGHTS):
            found.addmm_(g[:, start : start + len(slab)], torch.from_numpy(slab))
        return found.reshape(x.shape), None, None


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
        activation: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        super().__init__()
        self.activation, self.scale = activation, experts.routing.scale
        gates = (JOINED,) if experts.joined else STACKS[:2]
        self.gates, self.down = (
            nn.ModuleList(
                nn.ModuleList([linear(role, index) for role in roles])
                for index in range(experts.count)
            )
            for roles in (gates, STACKS[2:])
        )

    def forward(self, x: Tensor, chosen: Tensor, shares: Tensor) -> Tensor:
        """Return the weighted sum (n, width) over the experts `chosen` (n, used) of each row of
        x.
        """
        out = x.new_zeros(*chosen.shape, x.shape[-1])
        for index in sorted(set(chosen.reshape(-1).tolist())):
            rows, places = torch.where(chosen == index)
            given = x[rows]
            both = torch.cat([matrix(given, rows) for matrix in self.gates[index]], dim=-1)
            inner = self.activation(*both.chunk(2, dim=-1))
            out[rows, places] = self.down[index][0](inner, rows) * shares[rows, places, None]
        total: Tensor = out.sum(dim=1) * self.scale
        return total
