"""The three products of a linear layer with operands in low bits, and their gradients.

A layer y = x · Wᵀ has two more products when it is trained, where G = ∂L/∂y:

    forward   y  = x · Wᵀ       sums over the inputs of the layer
    dgrad     dx = G · W        sums over its outputs
    wgrad     dW = Gᵀ · x       sums over the tokens

Each is written here as left · rightᵀ of two matrices whose last axis is summed over, so that
blocks, which share a scale, always run along the sum, and a scale is a factor of a partial sum.
Every operand is rounded from the tensor in high precision, never from what another product has
rounded: x is rounded along the inputs for the forward product and along the tokens for wgrad.

Rounding has no useful derivative. The backward pass takes it to be 1 for every value, also for
clipped ones (the straight-through estimator), and applies dgrad and wgrad as above.

Operands in units of their factor are exact in bfloat16, and sums are in float32, as in the tensor
cores that multiply these formats. So `bfloat16_products` changes no product of rounded operands.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from zeropoint.training.rounding import BFloat16Rounding, Rounding, random_signs, rotate


@dataclass(frozen=True)
class LowBitProduct:
    """left · rightᵀ of operands that are rounded along the axis of the sum.

    `rotation` is the number of columns that a random Hadamard transform mixes before the rounding,
    the same way in both operands; 0: none.
    """

    left: Rounding
    right: Rounding
    rotation: int = 0

    def __call__(self, left: Tensor, right: Tensor, draws: Generator | None = None) -> Tensor:
        """Return (n, m) for left (n, k) and right (m, k), all float32."""
        if self.rotation:
            assert draws is not None
            signs = random_signs(self.rotation, draws)
            left, right = rotate(left, signs), rotate(right, signs)
        one, other = self.left(left, draws), self.right(right, draws)
        y = one.units() @ other.units().T
        for factor in (one.factor, None if other.factor is None else other.factor.T):
            if factor is not None:
                y *= factor
        return y

    @property
    def group(self) -> int:
        """What the number of summed terms must be a multiple of."""
        return max(self.left.group, self.right.group, self.rotation)


@dataclass(frozen=True)
class TrainingRecipe:
    """How each of the three products of a layer is rounded."""

    forward: LowBitProduct
    dgrad: LowBitProduct
    wgrad: LowBitProduct

    def fits(self, shape: tuple[int, ...], tokens: int) -> bool:
        """Return whether a matrix (out, in) and batches of `tokens` are whole blocks."""
        rows, columns = shape
        sums = ((self.forward, columns), (self.dgrad, rows), (self.wgrad, tokens))
        return not any(count % product.group for product, count in sums)


HIGH_PRECISION = LowBitProduct(BFloat16Rounding(), BFloat16Rounding())
BF16_RECIPE = TrainingRecipe(HIGH_PRECISION, HIGH_PRECISION, HIGH_PRECISION)


class LowBitLinear(torch.autograd.Function):
    """x · Wᵀ by a recipe; `draws` makes the generator of the backward pass's random numbers."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, recipe: TrainingRecipe, draws: Callable[[], Generator]
    ) -> Tensor:
        """Return (tokens, out) for x (tokens, in) and weight (out, in)."""
        ctx.save_for_backward(x, weight)
        ctx.recipe, ctx.draws = recipe, draws
        return recipe.forward(x, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Return the gradients of x and weight."""
        (x, weight), (g,) = ctx.saved_tensors, gradients
        g, draws = g.contiguous(), ctx.draws()
        dx = ctx.recipe.dgrad(g, weight.T.contiguous(), draws)
        dw = ctx.recipe.wgrad(g.T.contiguous(), x.T.contiguous(), draws)
        return dx, dw, None, None


@contextmanager
def bfloat16_products() -> Iterator[None]:
    """Let torch multiply float32 matrices in bfloat16 with float32 sums, where that is faster."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
