"""Fake quantization has the bits of `formats`, and stochastic rounding has no bias."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from zeropoint.formats import find_format
from zeropoint.formats.floats import E2M1, E2M3, E3M2, E4M3, E5M2, FloatType
from zeropoint.training.rounding import (
    NVFP4_HEADROOM,
    TILE,
    BFloat16Rounding,
    Int8Rounding,
    MXRounding,
    NVFP4Rounding,
    Rounding,
    TernaryRounding,
    random_signs,
    rotate,
    round_values,
)

DRAWS = 400
NVFP4 = NVFP4Rounding(E2M1)
NVFP4_DRAWN = NVFP4Rounding(E2M1, stochastic=True, headroom=NVFP4_HEADROOM)
MXFP4_DRAWN = MXRounding(E2M1, stochastic=True)
ROUNDINGS: list[Rounding] = [
    NVFP4, NVFP4_DRAWN, replace(NVFP4, tiles=True), MXFP4_DRAWN, MXRounding(E4M3),
    MXRounding(E2M3, "floor"), TernaryRounding(), Int8Rounding(), BFloat16Rounding(),
]  # fmt: skip

# (mean squared error, squared bias, slope − 1), each relative to x², of 65,536 normal values. The
# errors of NVFP4 agree with the notebook of Quartet II (arXiv:2601.22813): 9.0e-3 and 23.5e-3.
TABLE = {
    "NVFP4 nearest": (NVFP4, 9.10e-3, None, -4.1e-3),
    "NVFP4 drawn": (NVFP4_DRAWN, 23.5e-3, 1e-6, 0.0),
    "NVFP4 drawn, clipping": (replace(NVFP4_DRAWN, headroom=1.0), 18.8e-3, 1.0e-4, -3.4e-3),
    "MXFP4 nearest, floor": (MXRounding(E2M1, "floor"), 13.2e-3, None, -18.8e-3),
    "MXFP4 nearest, ceil": (MXRounding(E2M1), 13.3e-3, None, -9.2e-3),
    "MXFP4 drawn, ceil": (MXFP4_DRAWN, 27.1e-3, 1e-6, 0.0),
    "MXFP4 drawn, floor, shrunk": (MXRounding(E2M1, "floor", True, 0.75), 28.0e-3, 1e-6, 0.0),
    "MXFP4 drawn, clipping": (MXRounding(E2M1, "floor", True), 25.1e-3, 1.7e-3, -10e-3),
}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def errors(rounding: Rounding, draws: int) -> tuple[float, float, float]:
    """Mean squared error, squared bias without the noise of the mean, and slope − 1."""
    x, numbers = normal(256, 256), generator(1)
    total, squares = torch.zeros_like(x, dtype=torch.float64), 0.0
    for _ in range(draws):
        rounded = rounding(x, numbers).weights().double()
        total += rounded
        squares += float((rounded - x).square().sum()) / draws
    mean, scale = total / draws, float(x.double().square().sum())
    bias = float((mean - x).square().sum())
    if draws > 1:
        bias -= (squares - bias) / (draws - 1)
    return squares / scale, bias / scale, float((mean * x).sum()) / scale - 1


@pytest.mark.parametrize("case", TABLE)
def test_errors_and_bias_are_those_of_the_table(case: str) -> None:
    rounding, error, bias, slope = TABLE[case]
    found = errors(rounding, 1 if bias is None else DRAWS)
    assert found[0] == pytest.approx(error, rel=0.02)
    unbiased = bias is not None and slope == 0.0
    if unbiased:  # the slope is a mean over 26 million draws of a deviation of about 0.15
        assert abs(found[1]) < 2 * bias and abs(found[2]) < 1e-4
    else:  # of the rules that clip, bias and slope are 30 to 1000 times these bounds
        # 65,536 errors of about 0.1 give the slope a deviation of 0.1 / 256.
        assert found[2] == pytest.approx(slope, abs=3 * 0.1 / 256)
        assert bias is None or found[1] == pytest.approx(bias, rel=0.1)


def test_the_mean_of_draws_gains_one_bit_for_four_times_as_many() -> None:
    """The error of a mean of n unbiased draws falls as 1/√n; a bias stays."""
    x = normal(256, 256)

    def bits(rounding: Rounding, draws: int) -> float:
        numbers = generator(2)
        total = sum(rounding(x, numbers).weights().double() for _ in range(draws))
        return -0.5 * float(torch.log2((total / draws - x).square().mean() / x.square().mean()))

    for rounding in (NVFP4_DRAWN, MXFP4_DRAWN):
        gains = [bits(rounding, 4 * count) - bits(rounding, count) for count in (1, 4, 16)]
        assert gains == pytest.approx([1.0, 1.0, 1.0], abs=0.02)
    clipping = replace(MXFP4_DRAWN, rule="floor")
    assert bits(clipping, 64) - bits(clipping, 16) < 0.7
    assert bits(NVFP4, 4) == bits(NVFP4, 1)


def test_a_draw_varies_as_its_two_neighbours_say() -> None:
    x = torch.linspace(0, 6, 241)  # between the values of E2M1
    numbers = generator(3)
    noise = torch.rand(20000, len(x), generator=numbers) - 0.5
    draws = round_values(x.expand(20000, -1), E2M1, noise).double()
    table = torch.from_numpy(E2M1.table[:8].astype(np.float64))
    low = table[torch.searchsorted(table, x.double(), right=True) - 1]
    high = table[torch.searchsorted(table, x.double()).clamp_max(7)]
    expected = (x - low) * (high - x)
    # Five deviations of a variance from 20,000 draws of two values at most 2 apart.
    assert torch.allclose(draws.var(dim=0), expected, atol=5 * 1 / 20000**0.5)
    assert set(draws.unique().tolist()) <= set(table.tolist())


def awkward() -> np.ndarray:
    """Weights of all sizes: zeros, subnormal and huge blocks, a negative zero."""
    random = np.random.default_rng(5)
    weights = random.standard_normal((64, 256)) * np.exp(3 * random.standard_normal((64, 256)))
    weights[3], weights[6] = 0, weights[6] * 1e30
    weights[5, :32] *= 1e-40
    weights[7, 0] = -0.0
    return weights.astype(np.float32)


@pytest.mark.parametrize(
    ("name", "element"),
    [
        ("MXFP8_E4M3", E4M3), ("MXFP8_E5M2", E5M2), ("MXFP6_E2M3", E2M3), ("MXFP6_E3M2", E3M2),
        ("MXFP4_OCP", E2M1), ("NVFP4_TENSOR", None),
    ],
)  # fmt: skip
def test_rounded_weights_have_the_bits_of_the_format(name: str, element: FloatType | None) -> None:
    for weights in (awkward(), awkward()[8:], np.zeros((16, 64), np.float32)):
        format = find_format(name).for_shape(weights.shape)
        blocks = format.encode_blocks(weights.reshape(-1, format.block_size))
        expected = format.decode_blocks(blocks).reshape(weights.shape)
        rounding = NVFP4 if element is None else MXRounding(element, "floor")
        found = rounding(torch.from_numpy(weights)).weights().numpy()
        assert np.array_equal(found.view(np.int32), expected.view(np.int32))


@pytest.mark.parametrize("element", [E4M3, E2M3, E3M2, E2M1])
def test_a_scale_that_is_rounded_up_clips_nothing_and_is_the_smallest(element: FloatType) -> None:
    weights = torch.from_numpy(awkward())
    scale = MXRounding(element)(weights).scale
    assert scale is not None
    peak = weights.unflatten(-1, (-1, 32)).abs().amax(-1, keepdim=True).double()
    assert bool((peak <= scale.double() * element.max).all())
    used = scale > 2.0**-127
    assert bool((peak > scale.double() / 2 * element.max)[used].all())
    values = MXRounding(element)(weights).values.numpy()
    codes = element.encode((weights.unflatten(-1, (-1, 32)) / scale).numpy())
    assert np.array_equal(values.view(np.int32), element.table[codes].view(np.int32))


def test_headroom_lets_no_scale_of_nvfp4_clip() -> None:
    x = normal(512, 64) * torch.exp(5 * normal(512, 1, seed=1))  # most scales are subnormal
    blocks = NVFP4_DRAWN(x, generator())
    assert blocks.scale is not None and blocks.factor is not None
    peak = (x / blocks.factor).unflatten(-1, (-1, 16)).abs().amax(-1, keepdim=True)
    assert bool((peak <= 6 * blocks.scale).all())


def test_a_matrix_in_tiles_and_its_transpose_have_the_same_values() -> None:
    weights = normal(64, 96) * torch.exp(normal(64, 96, seed=1))
    tiles = replace(NVFP4, tiles=True)
    assert torch.equal(tiles(weights).weights().T, tiles(weights.T.contiguous()).weights())
    assert not torch.equal(NVFP4(weights).weights().T, NVFP4(weights.T.contiguous()).weights())
    scale = tiles(weights).scale
    assert scale is not None
    rows = scale.unflatten(0, (-1, TILE))
    assert torch.equal(rows, rows[:, :1].expand_as(rows))


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_zeros_infinities_and_tiny_values_are_rounded_to_numbers(rounding: Rounding) -> None:
    if isinstance(rounding, TernaryRounding | BFloat16Rounding):
        special = torch.zeros(16, 64)
    else:
        special = torch.zeros(16, 64)
        special[1, 3], special[2, 5] = torch.inf, -torch.inf
    special[4] = 1e-45
    special[5, :9] = -3e-39
    found = rounding(special, generator())
    assert bool(torch.isfinite(found.values).all()) and bool(torch.isfinite(found.weights()).all())
    assert not bool(rounding(torch.zeros(16, 64), generator()).weights().any())
    assert bool(torch.isnan(rounding(special + torch.nan, generator()).values).all())


def test_ternary_weights_have_the_bits_of_their_blocks() -> None:
    weights = normal(8, 512) * 0.02
    blocks = TernaryRounding()(weights)
    assert blocks.factor is not None
    scale = float(blocks.factor)
    assert scale == float(np.float16(weights.abs().double().mean()))
    expected = np.clip(np.rint(weights.numpy() / np.float32(scale)), -1, 1) * np.float32(scale)
    assert np.array_equal(blocks.weights().numpy(), expected)


def test_a_rotation_changes_no_product_and_spreads_an_outlier() -> None:
    left, right = normal(24, 64), normal(16, 64, seed=1)
    signs = random_signs(16, generator())
    product = rotate(left, signs) @ rotate(right, signs).T
    # Each product sums 64 terms of about 1 in float32: errors of about 64 · 2^-24.
    assert torch.allclose(product, left @ right.T, atol=64 * 2.0**-22)
    outlier = torch.zeros(1, 64)
    outlier[0, 17] = 8.0
    assert rotate(outlier, signs).abs().tolist()[0] == [0] * 16 + [2] * 16 + [0] * 32
