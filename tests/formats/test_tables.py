"""NF4's values, and what FP4 gains when −0 means something."""

from statistics import NormalDist

import numpy as np
import pytest

from zeropoint.formats import F32, find_format
from zeropoint.formats.floats import E2M1
from zeropoint.formats.tables import NF4_VALUES, SPECIALS


def test_nf4_is_made_of_quantiles_of_a_normal_distribution() -> None:
    """QLoRA's construction: 8 quantiles above 0 and 7 below, evenly spaced in probability.

    The published table was computed in lower precision: it is up to 2e-7 from the exact one.
    """
    outermost = (1 - 1 / 30 + 1 - 1 / 32) / 2
    quantile = NormalDist().inv_cdf
    above = [quantile(p) for p in np.linspace(outermost, 0.5, 9)[:-1]]
    below = [-quantile(p) for p in np.linspace(outermost, 0.5, 8)[:-1]]
    values = np.sort([*above, 0.0, *below])
    np.testing.assert_allclose(NF4_VALUES, values / values.max(), rtol=0, atol=2e-7)
    assert NF4_VALUES[7] == 0


def test_nf4_takes_the_nearest_of_its_values() -> None:
    format = find_format("NF4_G64")
    weights = np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32)
    parts = format.parts(format.encode_blocks(weights))
    scale = np.abs(weights).max(axis=1, keepdims=True).astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(parts.scale, scale)
    distance = np.abs((weights / scale)[:, :, None] - NF4_VALUES)
    np.testing.assert_array_equal(parts.codes, distance.argmin(axis=2))


def block(values: list[float]) -> F32:
    """A block of 32 whose scale is 1, because it has a 6."""
    return np.resize(np.array([*values, 6.0], np.float32), (1, 32))


@pytest.mark.parametrize("special", [2.5, 5.0, -5.0, -2.5, 0.25])
def test_the_second_zero_means_the_value_of_the_name(special: float) -> None:
    format = find_format(f"FP4_E2M1_M0_{special:g}_G32")
    weights = block([special, 1.0, -0.1, -0.0, 0.0])
    parts = format.parts(format.encode_blocks(weights))
    assert parts.scale.tolist() == [[1.0]]
    expected = [special, 1.0, 0.0, 0.0, 0.0, 6.0]
    if special == 0.25:
        assert parts.weights()[0, :6].tolist() == expected
    assert parts.weights()[0, :6].tolist() == expected
    assert parts.codes[0, :6].tolist() == [8, 2, 0, 0, 0, 7]


def test_a_weight_in_the_middle_stays_with_fp4() -> None:
    """2.25 is as near to 2 as to a special 2.5, and 2.75 to 3: −0 is taken where it is nearer."""
    format = find_format("FP4_E2M1_M0_2.5_G32")
    parts = format.parts(format.encode_blocks(block([2.25, 2.26, 2.75])))
    assert parts.weights()[0, :3].tolist() == [2.0, 2.5, 3.0]


@pytest.mark.parametrize("special", [5.0, -5.0])
def test_the_scales_sign_says_which_of_two_values_it_is(special: float) -> None:
    format = find_format("FP4_E2M1_M0_PM5_G32")
    weights = block([special, 1.0, -0.5])
    encoded = format.encode_blocks(weights)
    assert encoded[:, :2].copy().view(np.float16).tolist() == [[np.sign(special)]]
    parts = format.parts(encoded)
    assert parts.scale.tolist() == [[1.0]]
    np.testing.assert_array_equal(parts.weights(), weights)


def test_without_a_use_for_it_the_second_zero_changes_nothing() -> None:
    """Weights on FP4's grid: all the variants agree with it, bar the sign of zero."""
    grid = block(sorted(set(np.abs(E2M1.table[:8]).tolist())))
    plain = find_format("FP4_E2M1_G32")
    expected = plain.decode_blocks(plain.encode_blocks(grid))
    for special in ("2.5", "-5", "PM5", "BEST"):
        format = find_format(f"FP4_E2M1_M0_{special}_G32")
        decoded = format.decode_blocks(format.encode_blocks(grid))
        np.testing.assert_array_equal(decoded, expected)
        np.testing.assert_array_equal(decoded, grid)


@pytest.mark.parametrize("special", [s for s in SPECIALS if abs(s) < 6])
def test_best_finds_the_value_that_the_block_needs(special: float) -> None:
    format = find_format("FP4_E2M1_M0_BEST_G32")
    weights = block([special, 1.0, special, -0.5])
    encoded = format.encode_blocks(weights)
    assert encoded[:, 2].view(np.int8).tolist() == [special * 8]
    np.testing.assert_array_equal(format.decode_blocks(encoded), weights)


def test_the_choice_minds_the_importance() -> None:
    best, either = find_format("FP4_E2M1_M0_BEST_G32"), find_format("FP4_E2M1_M0_PM5_G32")
    weights = block([5.0, 5.0, -5.0])
    for wanted, place in ((5.0, 0), (-5.0, 2)):
        importance = np.full((1, 32), 1e-3, np.float32)
        importance[0, place] = 1
        assert best.encode_blocks(weights, importance)[0, 2:3].view(np.int8)[0] == wanted * 8
        parts = either.parts(either.encode_blocks(weights, importance))
        assert parts.weights()[0, place] == wanted


def test_a_searched_best_keeps_one_outlier_beyond_the_scale() -> None:
    """With all others at most 6 in units of the scale, −0 can stand for a 12."""
    weights = block([1.0, -3.0, 0.5, 4.0])
    weights[0, 9] = 12
    format = find_format("FP4_E2M1_M0_BEST_G32_SEARCH")
    parts = format.parts(format.encode_blocks(weights))
    assert parts.codes[0, 9] == 8 and np.sum(parts.codes == 8) == 1
    assert parts.values is not None and parts.values[0, 9] == 12
    plain = find_format("FP4_E2M1_G32_SEARCH")
    without = plain.decode_blocks(plain.encode_blocks(weights))
    assert np.sum((parts.weights() - weights) ** 2) < 0.01 * np.sum((without - weights) ** 2)


def test_best_is_never_worse_than_any_fixed_choice() -> None:
    rng = np.random.default_rng(9)
    weights = rng.standard_t(4, size=(500, 32)).astype(np.float32)

    def losses(name: str) -> np.ndarray:
        format = find_format(name)
        difference = format.decode_blocks(format.encode_blocks(weights)) - weights
        return np.sum(difference.astype(np.float64) ** 2, axis=1)

    best = losses("FP4_E2M1_M0_BEST_G32")
    for other in ("FP4_E2M1_G32", *(f"FP4_E2M1_M0_{s:g}_G32" for s in SPECIALS if abs(s) < 6)):
        assert np.all(best <= losses(other) * (1 + 1e-6))
