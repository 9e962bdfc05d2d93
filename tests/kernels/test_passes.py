"""Passes over whole tensors: the extension gives what numpy gives."""

import numpy as np
import pytest

from zeropoint import kernels
from zeropoint.kernels import passes


@pytest.fixture(params=["native", "numpy"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test with the extension and without it."""
    if request.param == "numpy":
        monkeypatch.setattr(passes, "native", lambda: None)


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("count", [1, 8, 100_003])
def test_moments_are_sums_and_the_place_of_the_largest(count: int) -> None:
    values = np.random.default_rng(count).standard_normal(count).astype(np.float32)
    values[count // 2] = -9.0
    total, squares, largest = kernels.moments(values, threads=2)
    assert largest == count // 2
    assert abs(total - values.sum(dtype=np.float64)) <= np.abs(values).sum() * count * 2.0**-52
    assert abs(squares - float(values.astype(np.float64) @ values)) <= squares * count * 2.0**-52
    assert kernels.moments(values, threads=1) == (total, squares, largest)


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_moments_tell_whether_a_value_is_not_finite(value: float) -> None:
    values = np.full(1000, 3e38, np.float32)
    assert np.isfinite(kernels.moments(values)[1])
    values[77] = value
    assert not np.isfinite(kernels.moments(values)[1])


@pytest.mark.usefixtures("either")
def test_a_bin_holds_its_lower_edge() -> None:
    step = 2.0 / 256
    values = np.array([0, -0.0, -1e-30, step, np.nextafter(np.float32(step), 0), -1, 0.999], "f4")
    counts = kernels.histogram(values, 1.0)
    assert dict(enumerate(counts[counts > 0])) == {0: 1, 1: 1, 2: 3, 3: 1, 4: 1}
    assert np.flatnonzero(counts).tolist() == [0, 127, 128, 129, 255]


@pytest.mark.parametrize("exponent", [-40, 0, 128])
def test_both_histograms_are_the_same(exponent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(5)
    limit = 2.0**exponent
    values = (random.uniform(-1, 1, 70_001) * limit * (1 - 2.0**-24)).astype(np.float32)
    counts = [kernels.histogram(values, limit, threads=threads) for threads in (1, 3)]
    monkeypatch.setattr(passes, "native", lambda: None)
    counts.append(kernels.histogram(values, limit))
    assert counts[0].sum() == values.size
    for other in counts[1:]:
        np.testing.assert_array_equal(counts[0], other)


BEYOND = [1.0, 1.5, 3e38, np.inf, -1.0, np.nextafter(np.float32(-1), -2), -1.5, -3e38, -np.inf]


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("limit", [2.0**-120, 1.0, 2.0**128])
@pytest.mark.parametrize("count", [1, 7, 70_001])
def test_values_beyond_the_limit_count_in_the_outermost_bins(limit: float, count: int) -> None:
    with np.errstate(over="ignore"):
        for value in np.float32(BEYOND) * np.float32(min(limit, 2.0**127)):
            counts = kernels.histogram(np.full(count, value, np.float32), limit, threads=2)
            place = np.floor(128 * (np.float64(value) / limit))
            expected = int(np.clip(place, -128, 127)) + 128
            assert np.flatnonzero(counts).tolist() == [expected]
            assert counts[expected] == count


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("place", [0, 8, 69_999])
def test_a_histogram_of_nan_is_an_error(place: int) -> None:
    values = np.zeros(70_000, np.float32)
    for bits in (0x7FC00000, 0xFFC00000, 0x7F800001):
        values.view(np.uint32)[place] = bits
        with pytest.raises(ValueError, match="a value is NaN"):
            kernels.histogram(values, 1.0, threads=2)


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize(
    "limit", [0.0, -0.0, -1.0, np.nan, np.inf, -np.inf, 2.0**-121, 5e-324, 1e300]
)
def test_a_histogram_refuses_a_limit_that_bounds_no_bins(limit: float) -> None:
    for values in ([0.0], [1.0], [-np.inf], []):
        with pytest.raises(ValueError, match="the limit must be positive, finite"):
            kernels.histogram(np.float32(values), limit)


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("weighted", [False, True])
def test_the_worst_block_is_the_first_with_the_largest_error(weighted: bool) -> None:
    weights = np.zeros((300, 64), np.float32)
    decoded = weights.copy()
    decoded[7, 33] = decoded[250, 1] = 2.0
    importance = np.ones(64, np.float32)
    importance[:32] = 3.0
    chosen = importance if weighted else None
    found = kernels.worst_block(weights, decoded, chosen, 32, threads=2)
    assert found == ((500, 12.0) if weighted else (15, 4.0))
