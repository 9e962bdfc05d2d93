"""The three products of a layer in low bits: axes, gradients and bias."""

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from zeropoint.errors import FormatError
from zeropoint.training.products import LowBitLinear, LowBitProduct, TrainingRecipe
from zeropoint.training.recipes import (
    ROTATION,
    STOCHASTIC,
    TILES,
    TRAINABLE_FORMATS,
    trainable_format,
)

TOKENS, INPUTS, OUTPUTS = 64, 96, 128


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def gradients(recipe: TrainingRecipe, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Return y, dx and dW of a layer for fixed inputs, weights and G."""
    x = normal(TOKENS, INPUTS).requires_grad_()
    weight = (normal(OUTPUTS, INPUTS, seed=1) * 0.1).requires_grad_()
    y = LowBitLinear.apply(x, weight, recipe, lambda: Generator().manual_seed(seed))
    y.backward(normal(TOKENS, OUTPUTS, seed=2))
    assert x.grad is not None and weight.grad is not None
    return y.detach(), x.grad, weight.grad


def rounded(product: LowBitProduct, left: Tensor, right: Tensor) -> Tensor:
    """The product from its decoded operands, in float64."""
    one, other = product.left(left).weights(), product.right(right).weights()
    return one.double() @ other.double().T


@pytest.mark.parametrize("name", TRAINABLE_FORMATS)
def test_a_layer_multiplies_decoded_operands(name: str) -> None:
    recipe = trainable_format(name).recipe
    x, weight, g = (
        normal(TOKENS, INPUTS),
        normal(OUTPUTS, INPUTS, seed=1) * 0.1,
        normal(TOKENS, OUTPUTS, seed=2),
    )
    y, dx, dw = gradients(recipe)
    # Sums of 96 terms in float32, relative to the deviation of their sum.
    assert torch.allclose(y.double(), rounded(recipe.forward, x, weight), atol=1e-5)
    if name in ("BF16", "MXFP8", "MXFP6"):  # nothing is drawn
        assert torch.allclose(
            dx.double(), rounded(recipe.dgrad, g, weight.T.contiguous()), atol=1e-5
        )
        expected = rounded(recipe.wgrad, g.T.contiguous(), x.T.contiguous())
        assert torch.allclose(dw.double(), expected, atol=1e-4)


@pytest.mark.parametrize("name", TRAINABLE_FORMATS)
def test_operands_are_exact_in_bfloat16(name: str) -> None:
    recipe = trainable_format(name).recipe
    x = normal(TOKENS, INPUTS) * torch.exp(3 * normal(TOKENS, 1, seed=3))
    for product in (recipe.forward, recipe.dgrad, recipe.wgrad):
        for rounding in (product.left, product.right):
            units = rounding(x[:, : INPUTS - INPUTS % 32], Generator().manual_seed(0)).units()
            assert torch.equal(units, units.bfloat16().float())


@pytest.mark.parametrize("name", ["MXFP8", "MXFP6", "MXFP4", "NVFP4"])
def test_an_outlier_changes_only_blocks_along_the_sum(name: str) -> None:
    """In the forward product those of its token, in wgrad those of its channel."""
    recipe = trainable_format(
        name, frozenset({ROTATION}) if name == "NVFP4" else frozenset()
    ).recipe
    token, channel = 5, 40
    x = normal(TOKENS, INPUTS)
    x[0, 0] = 100.0  # the largest value, so that a scale of the tensor stays
    outlier = x.clone()
    outlier[token, channel] = 50.0
    before, after = (recipe.forward.left(one).weights() for one in (x, outlier))
    changed = (before != after).nonzero()
    assert set(changed[:, 0].tolist()) == {token}
    assert set((changed[:, 1] // recipe.forward.left.group).tolist()) == {
        channel // recipe.forward.left.group
    }
    right = recipe.wgrad.right
    before, after = (right(one.T.contiguous()).weights() for one in (x, outlier))
    changed = (before != after).nonzero()
    assert set(changed[:, 0].tolist()) == {channel}


@pytest.mark.parametrize("name", ["MXFP4", "NVFP4"])
def test_gradients_of_the_quantized_layer_have_no_bias(name: str) -> None:
    """The mean of n backward passes gains one bit for four times as many; nearest levels off."""

    def bits(recipe: TrainingRecipe, count: int) -> float:
        mean = sum(gradients(recipe, seed)[1].double() for seed in range(count)) / count
        return -0.5 * float(torch.log2((mean - exact).square().mean() / exact.square().mean()))

    format = trainable_format(name)
    weight = normal(OUTPUTS, INPUTS, seed=1) * 0.1
    if name == "NVFP4":  # the weights of dgrad are those of the forward product
        weight = format.recipe.forward.right(weight).weights()
    exact = normal(TOKENS, OUTPUTS, seed=2).double() @ weight.double()
    gains = [bits(format.recipe, 4 * n) - bits(format.recipe, n) for n in (1, 4, 16)]
    assert gains == pytest.approx([1.0, 1.0, 1.0], abs=0.06)
    nearest = trainable_format(name, frozenset({STOCHASTIC})).recipe
    assert bits(nearest, 4) == bits(nearest, 1)


def test_the_gradient_of_a_clipped_value_is_that_of_the_product() -> None:
    recipe = trainable_format("TERNARY").recipe
    x = normal(TOKENS, INPUTS).requires_grad_()
    weight = torch.full((OUTPUTS, INPUTS), 0.01)
    weight[3, 7] = 5.0  # far beyond the largest ternary value
    weight.requires_grad_()
    y = LowBitLinear.apply(x, weight, recipe, Generator)
    g = normal(TOKENS, OUTPUTS, seed=2)
    y.backward(g)
    assert weight.grad is not None
    expected = g.T.bfloat16().double() @ x.detach().bfloat16().double()
    assert torch.allclose(weight.grad.double(), expected, atol=1e-4)


def test_weights_of_nvfp4_are_the_same_in_both_products() -> None:
    weight = normal(OUTPUTS, INPUTS)
    recipe = trainable_format("NVFP4").recipe
    forward = recipe.forward.right(weight).weights()
    assert torch.equal(forward.T, recipe.dgrad.right(weight.T.contiguous()).weights())
    flat = trainable_format("NVFP4", frozenset({TILES})).recipe
    forward = flat.forward.right(weight).weights()
    assert not torch.equal(forward.T, flat.dgrad.right(weight.T.contiguous()).weights())


def test_a_recipe_fits_whole_blocks_only() -> None:
    recipe = trainable_format("MXFP8").recipe
    assert recipe.fits((64, 96), 32)
    assert not recipe.fits((64, 80), 32)
    assert not recipe.fits((48, 96), 32)
    assert not recipe.fits((64, 96), 40)


def test_unknown_formats_and_ingredients_are_refused() -> None:
    with pytest.raises(FormatError, match="Q4_K cannot be trained: it has no recipe"):
        trainable_format("Q4_K")
    with pytest.raises(FormatError, match="MXFP8 has no ingredient 'tiles'; it has: none"):
        trainable_format("MXFP8", frozenset({TILES}))
