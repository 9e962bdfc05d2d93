"""The encoders of the super-block formats: the same bits everywhere, never worse than rounding."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from zeropoint import kernels
from zeropoint.formats import F32, FORMATS, Format
from zeropoint.formats.encoders.superblock_math import SuperblockGroups
from zeropoint.formats.nonlinear import IQ4_VALUES

F64 = NDArray[np.float64]
GOLDEN_FILES = Path(__file__).parent.parent / "golden"
GOLDEN = np.load(GOLDEN_FILES / "encode.npz")
GOLDEN_BLOCKS = np.load(GOLDEN_FILES / "importance_blocks.npz")  # of this specification

SUPER = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"]
ALL = pytest.mark.parametrize("format", [FORMATS[name] for name in SUPER], ids=lambda f: f.name)
COLUMNS = 768


def heavy(rng: np.random.Generator, rows: int = 2) -> F32:
    """Weights with tails as trained ones have them."""
    return (rng.standard_t(4, (rows, COLUMNS)) * 0.02).astype(np.float32)


def one_outlier(factor: float) -> Callable[[np.random.Generator], F32]:
    def weights(rng: np.random.Generator) -> F32:
        w = heavy(rng)
        w[:, 100::256] = np.float32(factor * 0.02)
        return w

    return weights


def just_at(value: float, ulps: int) -> Callable[[np.random.Generator], F32]:
    """The largest weight of each block at a limit of ggml's, or the float beside it."""

    def weights(rng: np.random.Generator) -> F32:
        w = rng.uniform(-value / 2, value / 2, (2, COLUMNS)).astype(np.float32)
        limit = np.float32(value)
        for _ in range(abs(ulps)):
            limit = np.nextafter(limit, np.float32(np.inf if ulps > 0 else 0))
        w[:, 17::256] = limit
        return w

    return weights


def constant(value: float) -> Callable[[np.random.Generator], F32]:
    return lambda rng: np.full((2, COLUMNS), value, np.float32)


def single(rng: np.random.Generator) -> F32:
    w = np.zeros((2, COLUMNS), np.float32)
    w[:, 200::256] = -0.37
    return w


def ties(rng: np.random.Generator) -> F32:
    """Halfway between codes, for scales that are powers of two."""
    w = (rng.integers(-30, 30, (2, COLUMNS)) + 0.5).astype(np.float32)
    w[:, ::256] = -32
    return w


CLASSES: dict[str, Callable[[np.random.Generator], F32]] = {
    "zeros": constant(0.0),
    "minus zeros": constant(-0.0),
    "one not zero": single,
    "constant": constant(0.731),
    "constant negative": constant(-0.731),
    "two values": lambda rng: rng.choice([-0.5, 0.5], (2, COLUMNS)).astype(np.float32),
    "±65504": lambda rng: rng.choice([-65504.0, 65504.0], (2, COLUMNS)).astype(np.float32),
    "over the largest scale": constant(65504.0 * 63 * 31 * 1.01),
    "largest float32": lambda rng: rng.choice([-3.4e38, 3.4e38], (2, COLUMNS)).astype(np.float32),
    "1e-15": just_at(1e-15, 0),
    "1e-15 - 1 ulp": just_at(1e-15, -1),
    "1e-12 + 1 ulp": just_at(1e-12, 1),
    "1e-8": just_at(1e-8, 0),
    "1e-7": just_at(1e-7, 0),
    "float16 subnormal scale": lambda rng: heavy(rng) * np.float32(1e-4),
    "float32 subnormal": lambda rng: heavy(rng) * np.float32(1e-38),
    "outlier 1e2": one_outlier(1e2),
    "outlier 1e4": one_outlier(1e4),
    "outlier 1e8": one_outlier(1e8),
    "alternating": lambda rng: np.tile([0.3, -0.3], (2, COLUMNS // 2)).astype(np.float32),
    "ties": ties,
    "positive": lambda rng: np.abs(heavy(rng)) + np.float32(0.1),
    "uniform": lambda rng: rng.uniform(-1, 1, (2, COLUMNS)).astype(np.float32),
    "Gauss": lambda rng: rng.normal(0, 0.02, (2, COLUMNS)).astype(np.float32),
    "Laplace": lambda rng: rng.laplace(0, 0.02, (2, COLUMNS)).astype(np.float32),
    "heavy tail": heavy,
}


def some_zero(rng: np.random.Generator) -> F32:
    importance = rng.exponential(1, COLUMNS).astype(np.float32)
    importance[rng.random(COLUMNS) < 0.5] = 0
    importance[32:64] = importance[256:512] = 0  # a group, a block
    return importance


IMPORTANCE: dict[str, Callable[[np.random.Generator], F32 | None]] = {
    "none": lambda rng: None,
    "ones": lambda rng: np.ones(COLUMNS, np.float32),
    "log-normal": lambda rng: np.exp(rng.normal(0, 1, COLUMNS)).astype(np.float32),
    "zeros": lambda rng: np.zeros(COLUMNS, np.float32),
    "some zero": some_zero,
    "one": lambda rng: (np.arange(COLUMNS) == 300).astype(np.float32),
    "1e30": lambda rng: rng.exponential(1e30, COLUMNS).astype(np.float32),
    "1e-30": lambda rng: rng.exponential(1e-30, COLUMNS).astype(np.float32),
    "1e-38 … 1e38": lambda rng: (10 ** rng.uniform(-38, 38, COLUMNS)).astype(np.float32),
}


def tiled(importance: F32 | None, rows: int) -> F32 | None:
    return None if importance is None else np.tile(importance.reshape(-1, 256), (rows, 1))


def costs_of(weights: F32, importance: F32 | None) -> F64:
    """Return what a squared error of each weight costs, as the search counts it, in float64.

    Importance times √(2 · mean square of the block + weight²). At least 2^-30 in units of the
    block: of its largest importance and weight, both rounded down to a power of two.
    """
    x = weights.reshape(-1, 256).astype(np.float64)
    if importance is None or (importance == importance[0]).all():
        return np.ones(weights.shape)
    given = np.tile(importance.astype(np.float64).reshape(-1, 256), (len(weights), 1))
    cost = given * np.sqrt(2 * (x**2).mean(axis=1, keepdims=True) + x**2)
    least = 2.0**-30 * power_below(given.max(axis=1)) * power_below(np.abs(x).max(axis=1))
    return np.maximum(cost, least[:, None]).reshape(weights.shape)


def power_below(values: F64) -> F64:
    exponent = np.where(values > 0, np.frexp(values)[1] - 1, -126)
    return np.asarray(np.exp2(np.clip(exponent, -126, 126)))


def block_errors(weights: F32 | F64, decoded: F32 | F64, costs: F64) -> F64:
    """Return the weighted squared error of each block in float64."""
    error = costs * (weights.astype(np.float64) - decoded.reshape(weights.shape)) ** 2
    return np.asarray(error.reshape(-1, 256).sum(axis=1))


@ALL
@pytest.mark.parametrize("name", CLASSES)
def test_kernel_equals_the_specification_on_every_class_of_block(format: Format, name: str) -> None:
    rng = np.random.default_rng(5)
    weights = CLASSES[name](rng)
    for make in IMPORTANCE.values():
        importance = make(rng)
        expected = format.encode_blocks(weights.reshape(-1, 256), tiled(importance, len(weights)))
        for threads in (1, 2, 3):
            blocks = kernels.encode(format, weights, importance, threads=threads)
            np.testing.assert_array_equal(blocks, expected)
        assert np.isfinite(format.decode_blocks(blocks)).all()


def plain_scales(format: Format, weights: F32) -> F32:
    """Round to a format without minimums: the largest weight on the lowest code, nothing tried."""
    lowest, levels = {
        "Q3_K": (-32, np.arange(-4, 4)),
        "Q6_K": (-128, np.arange(-32, 32)),
        "IQ4_XS": (-32, IQ4_VALUES),
    }[format.name]
    x = weights.reshape(-1, 256 // format.group_size, format.group_size).astype(np.float64)
    extreme = np.take_along_axis(x, np.abs(x).argmax(axis=2)[:, :, None], axis=2) / levels[0]
    most = np.take_along_axis(extreme, np.abs(extreme).argmax(axis=1)[:, None], axis=1)
    d = half(most / lowest)
    scale = d * np.clip(np.rint(divided(extreme, d)), lowest, -lowest - 1)
    nearest = np.abs(divided(x, scale)[..., None] - levels).argmin(axis=-1)
    return (scale * levels[nearest]).reshape(weights.shape)


def plain_minimums(format: Format, weights: F32) -> F32:
    """Round to a format with minimums: the range of a group on its codes, nothing tried."""
    top, most = {"Q2_K": (3, 15), "Q4_K": (15, 63), "Q5_K": (31, 63)}[format.name]
    x = weights.reshape(-1, 256 // format.group_size, format.group_size).astype(np.float64)
    low = np.minimum(x.min(axis=2, keepdims=True), 0)
    scale = (x.max(axis=2, keepdims=True) - low) / top
    d = half(scale.max(axis=1, keepdims=True) / most)
    dmin = half((-low).max(axis=1, keepdims=True) / most)
    scale = d * np.clip(np.rint(divided(scale, d)), 0, most)
    minimum = -dmin * np.clip(np.rint(divided(-low, dmin)), 0, most)
    codes = np.clip(np.rint(divided(x - minimum, scale)), 0, top)
    return (scale * codes + minimum).reshape(weights.shape)


def half(values: F64) -> F64:
    return np.clip(values, -65504, 65504).astype(np.float16).astype(np.float64)


def divided(values: F64, by: F64) -> F64:
    return np.divide(values, by, out=np.zeros_like(values + by), where=by != 0)


@ALL
@pytest.mark.parametrize("name", CLASSES)
def test_no_block_is_worse_than_plain_rounding(format: Format, name: str) -> None:
    """In float32: a ratio weight / scale is off by up to 2^-22 of it, a sum of 256 by 256 · 2^-24.

    The mean square in the cost of an error is such a sum, too.
    """
    rng = np.random.default_rng(6)
    weights = CLASSES[name](rng)
    plain = plain_scales if format.name in ("Q3_K", "Q6_K", "IQ4_XS") else plain_minimums
    rounded = plain(format, weights)
    for make in IMPORTANCE.values():
        importance = make(rng)
        decoded = format.decode_blocks(kernels.encode(format, weights, importance))
        costs = costs_of(weights, importance)
        ours = block_errors(weights, decoded, costs)
        bound = np.sqrt(block_errors(weights, rounded, costs)) * (1 + 512 * 2**-24)
        bound += np.sqrt(block_errors(weights * 2**-22, 0 * weights, costs))
        assert (np.sqrt(ours) <= bound).all()


@ALL
@pytest.mark.parametrize("kind", ["plain", "weighted"])
def test_the_error_is_below_ggmls(format: Format, kind: str) -> None:
    """On weights of four kinds, 8 blocks each; the figures of the golden file are ggml's own.

    With importance, in the weighting that both encoders minimize: see `costs_of`.
    """
    importance = GOLDEN["importance"] if kind == "weighted" else None
    blocks = kernels.encode(format, GOLDEN["weights"], importance)
    costs = costs_of(GOLDEN["weights"], importance)
    ours = block_errors(GOLDEN["weights"], format.decode_blocks(blocks), costs)
    theirs = GOLDEN[f"{format.name}/{kind}"].reshape(4, 4)
    assert (ours.reshape(4, 8).sum(axis=1) < theirs.sum(axis=1)).all()


@ALL
def test_the_bytes_with_importance_are_those_of_the_golden_file(format: Format) -> None:
    importance = GOLDEN["importance"]
    blocks = kernels.encode(format, GOLDEN["weights"][::4], importance)
    np.testing.assert_array_equal(blocks, GOLDEN_BLOCKS[format.name])


def test_importance_is_multiplied_by_the_size_of_the_weight() -> None:
    """Two blocks of other scales; one column without importance keeps the least that counts."""
    weights = heavy(np.random.default_rng(3))[:, :512] * np.float32([[1], [2**-9]])
    importance = np.exp(np.random.default_rng(4).normal(0, 1, 512)).astype(np.float32)
    importance[[7, 300]] = 0
    blocks = SuperblockGroups.of(weights.reshape(-1, 256), tiled(importance, 2), 16, -1e6, 1e6)
    assert blocks.w is not None
    most = power_below(importance.reshape(-1, 256).max(axis=1).astype(np.float64))
    counted = blocks.w.reshape(2, 2, 256) * most[:, None] * blocks.unit.reshape(2, 2, 1)
    # A mean of 256 squares is off by 2^-16 at most, its root by half of that.
    np.testing.assert_allclose(counted.reshape(2, 512), costs_of(weights, importance), rtol=2**-16)


@ALL
def test_importance_that_is_the_same_everywhere_is_none(format: Format) -> None:
    weights = heavy(np.random.default_rng(7))
    plain = kernels.encode(format, weights)
    for value in (0, 1e-30, 1, 2.7):
        importance = np.full(COLUMNS, value, np.float32)
        np.testing.assert_array_equal(kernels.encode(format, weights, importance), plain)


@ALL
def test_no_blocks_are_no_bytes(format: Format) -> None:
    nothing = np.zeros((0, 256), np.float32)
    for importance in (None, nothing):
        assert format.encode_blocks(nothing, importance).shape == (0, format.block_bytes)


@ALL
def test_encoding_again_loses_less_than_the_first_time(format: Format) -> None:
    rng = np.random.default_rng(8)
    weights = heavy(rng, rows=30)
    for importance in (None, np.exp(rng.normal(0, 1, COLUMNS)).astype(np.float32)):
        once = format.decode_blocks(kernels.encode(format, weights, importance))
        once = once.reshape(weights.shape)
        twice = format.decode_blocks(kernels.encode(format, once, importance))
        costs = costs_of(weights, importance)
        assert (block_errors(once, twice, costs) <= block_errors(weights, once, costs)).all()


@ALL
def test_a_block_of_one_value_is_kept_to_float16(format: Format) -> None:
    """Its scale can be refitted to it, and only d is rounded: by 2^-11 at most."""
    values = np.float32([1.1, -0.7, 0.731, 3.3, -123.4])
    weights = np.repeat(values[:, None], 256, axis=1)
    decoded = format.decode_blocks(kernels.encode(format, weights))
    assert (np.abs(decoded - weights) <= np.abs(weights) * 2**-11).all()


@ALL
@pytest.mark.parametrize("name", ["none", "log-normal"])
def test_the_scale_of_the_weights_does_not_matter(format: Format, name: str) -> None:
    """Powers of two pass through the search, as long as float16 holds d."""
    rng = np.random.default_rng(9)
    weights, importance = heavy(rng) * np.float32(64), IMPORTANCE[name](rng)
    small = format.decode_blocks(kernels.encode(format, weights, importance))
    large = format.decode_blocks(kernels.encode(format, weights * np.float32(2**12), importance))
    np.testing.assert_array_equal(large, small * np.float32(2**12))
