"""A matrix whose codes stay and whose scales are trained.

    y = x · Wᵀ,    W_rj = scale_g · q_rj + minimum_g    for the group g of weight j in row r

With G = ∂L/∂W = (∂L/∂y)ᵀ x, the gradients of the scales are sums over each group:

    ∂L/∂scale_g = Σ_j G_rj q_rj        ∂L/∂minimum_g = Σ_j G_rj

G is as large as the matrix; it is reduced at once and freed. A scale is a product of factors, such
as d · a, so ∂L/∂d = Σ_g a_g ∂L/∂scale_g.
"""

from functools import reduce
from typing import Any

import torch
from torch import Tensor

from zeropoint.formats import U8, QuantizedTensor
from zeropoint.formats.rescale import minimum_sign, rescalable, scale_unit
from zeropoint.formats.storage import StorageFormat
from zeropoint.healing.latents import FactorProjection, StoredNumbers
from zeropoint.models.device import split_blocks

REDUCED_WEIGHTS = 1 << 22  # of G that are multiplied with codes at a time


class RescaledMatrix:
    """A matrix (rows, columns) in blocks of a format of `formats.rescale`."""

    def __init__(self, name: str, tensor: QuantizedTensor, device: torch.device) -> None:
        assert isinstance(tensor.format, StorageFormat)
        self.name, self.format, self.shape = name, tensor.format, tensor.shape
        self.kinds = rescalable(tensor.format)
        self._blocks = tensor.data.reshape(-1, tensor.format.block_bytes)
        self.groups = self.format.block_size // min(kind.columns for kind in self.kinds)
        codes = split_blocks(self.format, self._blocks)[0]
        self.codes = torch.from_numpy(codes).to(device).view(len(codes), self.groups, -1)
        self.numbers = [
            StoredNumbers(
                f"{name} {number}",
                torch.from_numpy(kind.load_factors(self._blocks)).to(device),
                FactorProjection(kind, device),
            )
            for number, kind in enumerate(self.kinds)
        ]

    def weights(self) -> Tensor:
        """Return the (rows, columns) float32 weights that the blocks of `pack` decode to."""
        scale, minimum = self._product(minimum=False), self._product(minimum=True)
        assert scale is not None
        weights = self.codes * scale[..., None]
        if minimum is not None:
            weights += minimum[..., None]
        return weights.view(self.shape)

    def multiply(self, x: Tensor) -> Tensor:
        """Return x · Wᵀ (…, rows) of x (…, columns); its backward pass trains the factors."""
        y: Tensor = _Product.apply(x, self)  # type: ignore[no-untyped-call]
        return y

    def pack(self) -> U8:
        """Return the (n, block_bytes) blocks with the current factors and the codes of the file."""
        blocks = self._blocks
        for kind, one in zip(self.kinds, self.numbers, strict=True):
            blocks = kind.store_factors(blocks, one.values.cpu().numpy())
        return blocks

    @property
    def trained(self) -> bool:
        """Whether any factor collects gradients."""
        return any(one.gradient is not None for one in self.numbers)

    def add_gradient(self, outer: Tensor) -> None:
        """Add ∂L/∂W (rows, columns) to the gradients of the factors."""
        flat = outer.view(self.codes.shape)
        step = max(1, REDUCED_WEIGHTS // self.format.block_size)
        parts = range(0, len(flat), step)
        scale = torch.cat(
            [(flat[at : at + step] * self.codes[at : at + step]).sum(-1) for at in parts]
        )
        self._share(scale, minimum=False)
        if any(kind.minimum for kind in self.kinds):
            self._share(flat.sum(-1), minimum=True)

    def _share(self, gradient: Tensor, *, minimum: bool) -> None:
        """Give the gradient (n, groups) of the scales or minimums to their factors."""
        for at, (kind, one) in enumerate(zip(self.kinds, self.numbers, strict=True)):
            if kind.minimum == minimum and one.gradient is not None:
                others = self._product(minimum=minimum, without=at)
                along = gradient if others is None else gradient * others
                places = one.values.shape[1]
                one.add_gradient(along.view(len(along), places, -1).sum(-1))

    def _product(self, *, minimum: bool, without: int | None = None) -> Tensor | None:
        """Return the scales or minimums (n, groups), or the product of all but one factor."""
        found = [
            one.values.repeat_interleave(self.groups // one.values.shape[1], dim=1)
            for at, (kind, one) in enumerate(zip(self.kinds, self.numbers, strict=True))
            if kind.minimum == minimum and at != without
        ]
        constant = minimum_sign(self.format) if minimum else scale_unit(self.format)
        if not found:
            if without is None:
                return None
            return torch.tensor(constant, device=self.codes.device)
        return reduce(torch.mul, found) * constant


class _Product(torch.autograd.Function):
    """x · Wᵀ, whose backward pass decodes W again instead of keeping it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: RescaledMatrix) -> Tensor:
        ctx.matrix = matrix
        ctx.save_for_backward(x)
        return torch.nn.functional.linear(x, matrix.weights())

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (x,), matrix = ctx.saved_tensors, ctx.matrix
        g = gradients[0].reshape(-1, gradients[0].shape[-1])
        if matrix.trained:
            matrix.add_gradient(g.T @ x.reshape(-1, x.shape[-1]))
        return (g @ matrix.weights()).view(x.shape), None
