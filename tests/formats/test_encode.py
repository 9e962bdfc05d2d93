"""Guarantees of every searching encoder, for all kinds of blocks and importance."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from support.block_classes import BLOCKS, IMPORTANCE
from zeropoint import kernels
from zeropoint.errors import FormatError
from zeropoint.formats import F32, FORMATS, U8, Format
from zeropoint.formats.nonlinear import E2M1_DOUBLED, HALF_UE4M3, IQ4_VALUES

F64 = NDArray[np.float64]
GOLDEN = np.load(Path(__file__).parent.parent / "golden" / "encode.npz")

NAMES = (
    *("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "MXFP4", "NVFP4"),
    *("Q1_0", "Q2_0", "TQ1_0", "TQ2_0"),
)
EVERY = pytest.mark.parametrize("format", [FORMATS[name] for name in NAMES], ids=lambda f: f.name)

# The levels of each format with one scale, and the level that its plain rule gives to the peak.
LEVELS: dict[str, tuple[F64, float]] = {
    "Q4_0": (np.arange(-8.0, 8), -8),
    "Q5_0": (np.arange(-16.0, 16), -16),
    "Q8_0": (np.arange(-127.0, 128), 127),
    "IQ4_NL": (IQ4_VALUES.astype(np.float64), -127),
    "Q2_0": (np.arange(-1.0, 3), -1),
    "TQ1_0": (np.arange(-1.0, 2), 1),
    "TQ2_0": (np.arange(-1.0, 2), 1),
}


def rows_of(*kinds: str, columns: int = 512, seed: int = 2) -> F32:
    rng = np.random.default_rng(seed)
    return np.stack([BLOCKS[kind](rng, columns) for kind in kinds])


def importance_of(kind: str, columns: int = 512, seed: int = 3) -> F32:
    return IMPORTANCE[kind](np.random.default_rng(seed), columns)


def groups_of(format: Format, weights: F32) -> F64:
    return weights.reshape(-1, format.group_size).astype(np.float64)


def error(format: Format, weights: F32, blocks: U8, importance: F64 | None) -> F64:
    """Weighted squared error of each group, in float64."""
    decoded = groups_of(format, format.decode_blocks(blocks))
    terms = (groups_of(format, weights) - decoded) ** 2
    return np.asarray((terms if importance is None else importance * terms).sum(axis=1))


def effective(format: Format, weights: F32, importance: F32 | None) -> F64:
    """The importance that counts: ones where a group has none."""
    given = (
        np.ones_like(weights) if importance is None else np.broadcast_to(importance, weights.shape)
    )
    costs = groups_of(format, np.ascontiguousarray(given))
    return np.where(costs.max(axis=1, keepdims=True) > 0, costs, 1.0)


def plain_error(format: Format, weights: F32, costs: F64) -> F64:
    """The error of the plain rule: the range of the group decides, nothing is searched."""
    w = groups_of(format, weights)
    peak = w[np.arange(len(w)), np.abs(w).argmax(axis=1)]
    minimum = np.zeros_like(peak)
    if format.name in LEVELS:
        levels, end = LEVELS[format.name]
        signed = format.name in {"Q4_0", "Q5_0", "IQ4_NL", "Q2_0"}
        scale = stored((peak if signed else np.abs(peak)) / end)
    elif format.name in {"Q4_1", "Q5_1"}:
        top = 15 if format.name == "Q4_1" else 31
        levels = np.arange(top + 1.0)
        scale, minimum = stored((w.max(axis=1) - w.min(axis=1)) / top), stored(w.min(axis=1))
    elif format.name == "MXFP4":  # the OCP rule, up to the largest scale that gives no infinity
        levels = E2M1_DOUBLED.astype(np.float64)
        exponent = np.floor(np.log2(np.where(peak == 0, 1, np.abs(peak)))) - 3
        scale = np.exp2(np.clip(exponent, -128, 124))
    elif format.name == "NVFP4":
        levels = E2M1_DOUBLED.astype(np.float64)
        scales = HALF_UE4M3[:127].astype(np.float64)
        scale = scales[np.abs(np.abs(peak)[:, None] / 12 - scales).argmin(axis=1)]
    else:  # Q1_0: the mean magnitude
        levels, scale = np.array([-1.0, 1.0]), stored(np.abs(w).mean(axis=1))
    distance = np.full_like(w, np.inf)
    for level in levels:
        with np.errstate(over="ignore"):
            decoded = (
                np.float32(level) * scale.astype(np.float32) + minimum.astype(np.float32)
            ).astype(np.float32)
        distance = np.minimum(distance, np.abs(w - decoded[:, None]))
    return np.asarray((costs * distance**2).sum(axis=1))


def stored(values: F64) -> F64:
    with np.errstate(over="ignore"):
        return (
            np.clip(values, -65504, 65504).astype(np.float32).astype(np.float16).astype(np.float64)
        )


def assert_sound(format: Format, weights: F32, importance: F32 | None) -> None:
    """Encode (rows, columns) and check all that is promised."""
    blocks = kernels.encode(format, weights, importance)
    costs = None if importance is None else np.tile(importance, (len(weights), 1))
    rows = weights.reshape(-1, format.block_size)
    given = None if costs is None else costs.reshape(rows.shape)
    np.testing.assert_array_equal(blocks, format.encode_blocks(rows, given))
    assert np.isfinite(format.decode_blocks(blocks)).all()
    counted = effective(format, weights, importance)
    ours, plain = error(format, weights, blocks, counted), plain_error(format, weights, counted)
    # The search compares float32 sums of n terms: each may be off by n · 2^-24 of the error, and
    # float32 differences w − ŵ by 2^-24 of w, which matters where ŵ is nearly exact. An importance
    # of less than 2^-120 of the group's largest is none.
    peaks = np.abs(groups_of(format, weights)).max(axis=1, keepdims=True)
    least = counted.max(axis=1, keepdims=True) * 2.0**-120
    slack = (np.where(counted < least, 4, 2.0**-44) * counted * peaks**2).sum(axis=1)
    assert (ours <= plain * (1 + format.group_size * 2.0**-22) + slack).all()


@EVERY
@pytest.mark.parametrize("kind", BLOCKS)
def test_every_kind_of_block_is_finite_and_no_worse_than_the_plain_rule(
    format: Format, kind: str
) -> None:
    weights = rows_of(*[kind] * 4, columns=256)
    assert_sound(format, weights, None)
    assert_sound(format, weights, importance_of("exponential", columns=256))


@EVERY
@pytest.mark.parametrize("kind", IMPORTANCE)
def test_every_kind_of_importance_is_finite_and_no_worse_than_the_plain_rule(
    format: Format, kind: str
) -> None:
    weights = rows_of("normal", "heavy tail", "outlier 1e4", "zeros", "constant", "offset")
    assert_sound(format, weights, importance_of(kind))


@EVERY
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_rows_are_encoded_soundly(format: Format, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rows_of(*rng.choice(sorted(BLOCKS), 2), columns=256, seed=seed)
    assert_sound(format, weights, importance_of(rng.choice(sorted(IMPORTANCE)), 256, seed))


@EVERY
@pytest.mark.parametrize("key", ["plain", "weighted"])
def test_the_error_is_at_most_that_of_ggmls_encoder(format: Format, key: str) -> None:
    weights = GOLDEN["weights"]
    importance = GOLDEN["importance"] if key == "weighted" else None
    blocks = kernels.encode(format, weights, importance)
    ours = error(format, weights, blocks, effective(format, weights, importance))
    assert ours.sum() <= GOLDEN[f"{format.name}/{key}"].sum() * (1 + 1e-9)


@EVERY
@pytest.mark.parametrize("weighted", [False, True])
def test_the_bytes_do_not_depend_on_threads_or_neighbours(format: Format, weighted: bool) -> None:
    """One block alone, and among many thousands that several threads share."""
    rng = np.random.default_rng(4)
    columns = 3 * format.block_size
    weights = rng.standard_t(3, (200_000 // columns, columns)).astype(np.float32)
    importance = rng.exponential(size=columns).astype(np.float32) if weighted else None
    one, two, three = (kernels.encode(format, weights, importance, threads=t) for t in (1, 2, 3))
    assert one.tobytes() == two.tobytes() == three.tobytes()
    for row in (0, len(weights) - 1):
        alone = kernels.encode(format, weights[row : row + 1], importance)
        np.testing.assert_array_equal(alone, one[3 * row : 3 * row + 3])


@EVERY
def test_importance_of_ones_is_no_importance_and_its_unit_does_not_matter(format: Format) -> None:
    weights, importance = rows_of(*["heavy tail"] * 8), importance_of("exponential")
    plain = kernels.encode(format, weights)
    for unit in (1, 2.0**-60, 2.0**60):
        ones = np.full(512, unit, np.float32)
        np.testing.assert_array_equal(kernels.encode(format, weights, ones), plain)
    weighted = kernels.encode(format, weights, importance)
    scaled = kernels.encode(format, weights, importance * np.float32(2.0**40))
    np.testing.assert_array_equal(scaled, weighted)
    if format.name != "Q1_0":
        assert (weighted != plain).any(), "the importance changes nothing"


@EVERY
def test_zero_importance_of_a_group_counts_as_ones_there(format: Format) -> None:
    weights, importance = rows_of(*["normal"] * 4), importance_of("exponential")
    importance[: format.block_size] = 0
    ones = importance.copy()
    ones[: format.block_size] = 1
    np.testing.assert_array_equal(
        kernels.encode(format, weights, importance), kernels.encode(format, weights, ones)
    )


@EVERY
def test_a_power_of_two_scales_the_result(format: Format) -> None:
    """Where no scale is subnormal; MXFP4 and the float16 scales have room for it, NVFP4 little."""
    weights = rows_of(*["normal"] * 8) * np.float32(64)
    decoded = format.decode_blocks(kernels.encode(format, weights))
    doubled = format.decode_blocks(kernels.encode(format, weights * np.float32(8)))
    np.testing.assert_array_equal(doubled, decoded * np.float32(8))


@EVERY
@pytest.mark.parametrize("kind", ["normal", "heavy tail", "two values", "offset"])
def test_quantizing_twice_loses_little_more_than_quantizing_once(format: Format, kind: str) -> None:
    weights = rows_of(*[kind] * 40)
    once = kernels.encode(format, weights)
    decoded = format.decode_blocks(once).reshape(weights.shape)
    twice = kernels.encode(format, decoded)
    first = error(format, weights, once, None)
    second = error(format, decoded, twice, None)
    # Most groups get their very scale again; a few get another one that is nearly as good: the
    # search compares float32 sums of importance · w².
    assert second.sum() <= 0.05 * first.sum() + 2.0**-23 * (decoded.astype(np.float64) ** 2).sum()


@EVERY
def test_the_specification_refuses_what_is_out_of_its_domain(format: Format) -> None:
    weights = np.ones((2, format.block_size), np.float32)
    for value, message in ((np.nan, "is nan"), (np.inf, "is inf")):
        bad = weights.copy()
        bad[1, 3] = value
        with pytest.raises(FormatError, match=f"weight {format.block_size + 3} {message}"):
            format.encode_blocks(bad)
    negative = weights.copy()
    negative[0, 7] = -1
    with pytest.raises(FormatError, match="importance 7 is -1"):
        format.encode_blocks(weights, negative)
    with pytest.raises(FormatError, match="importance has shape"):
        format.encode_blocks(weights, weights[:1])
