"""The trainer's weights are those of the file, bit for bit, and its gradients those of autograd."""

import numpy as np
import pytest
import torch

from zeropoint import kernels
from zeropoint.formats import F32, FORMATS, QuantizedTensor
from zeropoint.formats.rescale import can_rescale, group_scales, rescalable
from zeropoint.healing.latents import FactorProjection, Latent
from zeropoint.healing.linear import RescaledMatrix
from zeropoint.healing.records import Rates
from zeropoint.healing.stages import STAGES, matrix_latents

TRAINABLE = [
    name for name, format in FORMATS.items() if can_rescale(format) and kernels.has_encoder(name)
]
CPU = torch.device("cpu")


def random_matrix(name: str, seed: int = 0) -> RescaledMatrix:
    """4 rows of random weights, which are encoded in the format."""
    weights = np.random.default_rng(seed).normal(0, 0.05, (4, 512)).astype(np.float32)
    format = FORMATS[name]
    data = kernels.encode(format, weights.reshape(-1, format.block_size))
    return RescaledMatrix("blk.0.ffn_up.weight", QuantizedTensor(format, (4, 512), data), CPU)


def trained(matrix: RescaledMatrix, seed: int = 1) -> None:
    """Move every latent of every stage by a random amount."""
    generator = torch.Generator().manual_seed(seed)
    for stage in STAGES[:-1]:
        for latent in matrix_latents(matrix, stage, Rates()):
            latent.alpha.normal_(0, 20 * latent.rate, generator=generator)
            latent.apply()
            latent.release()


def decoded(matrix: RescaledMatrix) -> F32:
    return kernels.decode(matrix.format, matrix.pack()).reshape(matrix.shape)


def test_the_usual_formats_can_be_trained() -> None:
    usual = "Q4_0 Q4_1 IQ4_NL Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_XS NVFP4 Q2_0 TQ2_0"
    points = "IQ2_XXS IQ2_XS IQ2_S IQ3_XXS IQ3_S"
    assert {*usual.split(), *points.split()} <= {*TRAINABLE}


@pytest.mark.parametrize("name", TRAINABLE)
def test_trained_weights_are_what_the_packed_blocks_decode_to(name: str) -> None:
    matrix = random_matrix(name)
    before = matrix.pack().copy()
    assert np.array_equal(matrix.weights().numpy(), decoded(matrix))
    trained(matrix)
    assert (matrix.pack() != before).any()
    assert np.array_equal(matrix.weights().numpy(), decoded(matrix))


@pytest.mark.parametrize("name", TRAINABLE)
def test_nothing_changes_without_training(name: str) -> None:
    matrix = random_matrix(name)
    for stage in STAGES[:-1]:
        for latent in matrix_latents(matrix, stage, Rates()):
            latent.apply()
            latent.release()
    assert matrix.pack().tobytes() == random_matrix(name).pack().tobytes()


@pytest.mark.parametrize("name", TRAINABLE)
def test_training_leaves_the_codes_alone(name: str) -> None:
    matrix = random_matrix(name)
    codes = matrix.format.parts(matrix.pack()).codes.copy()
    trained(matrix)
    assert np.array_equal(matrix.format.parts(matrix.pack()).codes, codes)


@pytest.mark.parametrize("name", TRAINABLE)
def test_factors_give_the_scales_of_the_format(name: str) -> None:
    matrix = random_matrix(name)
    parts = matrix.format.parts(matrix.pack())
    factors = [kind.load_factors(matrix.pack()) for kind in rescalable(matrix.format)]
    scale, minimum = group_scales(matrix.format, factors)
    assert np.array_equal(scale, parts.scale)
    assert parts.minimum is None or (minimum is not None and np.array_equal(minimum, parts.minimum))


@pytest.mark.parametrize("name", TRAINABLE)
def test_torch_projects_as_the_specification(name: str) -> None:
    for kind in rescalable(FORMATS[name]):
        ascending = np.sort(kind.factors[np.isfinite(kind.factors)])
        middles = (ascending[1:] + ascending[:-1]) / 2
        random = np.random.default_rng(0).normal(0, 1, 500) * np.abs(ascending).max()
        values = np.concatenate([ascending, middles, random, [1e30, -1e30]]).astype(np.float32)
        projected = FactorProjection(kind, CPU)(torch.from_numpy(values)).numpy()
        assert np.array_equal(projected, kind.project(values))


@pytest.mark.parametrize("name", TRAINABLE)
def test_gradients_of_factors_are_those_of_autograd(name: str) -> None:
    """In float64, from the scales that the specification computes."""
    matrix = random_matrix(name)
    for one in matrix.numbers:
        one.gradient = torch.zeros_like(one.values)
    generator = torch.Generator().manual_seed(0)
    x, g = (torch.randn(7, size, generator=generator) for size in (512, 4))
    x.requires_grad_(True)
    matrix.multiply(x).backward(g)  # type: ignore[no-untyped-call]
    factors = [one.values.double().requires_grad_(True) for one in matrix.numbers]
    products: dict[bool, torch.Tensor] = {}
    for kind, factor in zip(matrix.kinds, factors, strict=True):
        wide = factor.repeat_interleave(matrix.groups // factor.shape[1], dim=1)
        products[kind.minimum] = products.get(kind.minimum, torch.ones(())) * wide
    parts = matrix.format.parts(matrix.pack())
    # The sign and the unit follow from the numbers of the format.
    units = [(parts.scale, products[False])]
    weights = matrix.codes.double() * _constant(*units[0]) * products[False][..., None]
    if parts.minimum is not None:
        weights = weights + _constant(parts.minimum, products[True]) * products[True][..., None]
    y = x.detach().double() @ weights.view(4, 512).T
    y.backward(g.double())  # type: ignore[no-untyped-call]
    for one, factor in zip(matrix.numbers, factors, strict=True):
        assert one.gradient is not None and factor.grad is not None
        error = (one.gradient.double() - factor.grad).abs().max() / factor.grad.abs().max()
        # Sums of at most 7 · 512 terms in float32, whose rounding errors are 2⁻²⁴ each.
        assert error < 7 * 512 * 2**-24
    expected = g.double() @ weights.view(4, 512).detach()
    assert x.grad is not None and torch.allclose(x.grad.double(), expected, rtol=1e-5, atol=1e-5)


def _constant(found: F32, product: torch.Tensor) -> float:
    """What a format multiplies the product of its factors with: the same for all groups."""
    at = np.argmax(np.abs(found))
    return float(found.flat[at] / product.detach().numpy().flat[at])


def test_steps_below_half_a_unit_of_storage_add_up() -> None:
    matrix = random_matrix("Q4_K")
    latent = next(matrix_latents(matrix, "scales", Rates()))
    before = matrix.numbers[0].values.clone()
    for _ in range(4):
        latent.alpha += 0.2
        latent.apply()
    moved = matrix.numbers[0].values - before
    assert bool(((moved == 1) | (before == 63)).all())


def test_no_scale_changes_its_sign_or_becomes_zero() -> None:
    matrix = random_matrix("IQ4_NL")
    latent: Latent = next(matrix_latents(matrix, "factors", Rates()))
    before = matrix.numbers[0].values.clone()
    latent.alpha -= 100
    latent.apply()
    assert bool((matrix.numbers[0].values.sign() == before.sign()).all())
