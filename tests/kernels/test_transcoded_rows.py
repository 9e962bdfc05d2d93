"""Decoding and encoding in one pass gives what the separate steps give, bit for bit."""

import numpy as np
import pytest

from zeropoint import kernels
from zeropoint.errors import FormatError
from zeropoint.formats import F32, FORMATS, Format, QuantizedTensor
from zeropoint.kernels import transcoded_rows
from zeropoint.kernels.transcoded_rows import TranscodedRows, transcode_in_steps

TARGETS = [FORMATS[name] for name in FORMATS if kernels.has_encoder(name)]
COLUMNS = 768  # three of the largest blocks


def stored(format: str, weights: F32) -> QuantizedTensor:
    """Return (rows, columns) weights in a format."""
    blocks = kernels.encode(FORMATS[format], weights)
    return QuantizedTensor(FORMATS[format], weights.shape, blocks)


def random_rows(rows: int, columns: int = COLUMNS) -> F32:
    rng = np.random.default_rng(rows)
    return (rng.standard_t(4, (rows, columns)) * 0.02).astype(np.float32)


def assert_equal(one: TranscodedRows, other: TranscodedRows) -> None:
    np.testing.assert_array_equal(one.blocks, other.blocks)
    assert (one.error, one.power) == (other.error, other.power)


@pytest.mark.parametrize("target", TARGETS, ids=lambda format: format.name)
@pytest.mark.parametrize("weighted", [False, True])
def test_one_pass_gives_what_the_steps_give(target: Format, weighted: bool) -> None:
    importance = np.random.default_rng(1).exponential(size=COLUMNS).astype(np.float32)
    for source, rows in (("BF16", 101), ("F32", 1), ("Q8_0", 8)):
        given = stored(source, random_rows(rows)), target, importance if weighted else None
        steps = transcode_in_steps(*given)
        for threads in (1, 3):
            assert_equal(kernels.transcode(*given, threads=threads), steps)


@pytest.mark.parametrize("columns", [1, 7, 8, 21])
def test_rows_of_any_length_have_the_same_errors(columns: int) -> None:
    importance = np.arange(columns, dtype=np.float32)
    for given in (None, importance):
        rows = stored("F32", random_rows(5, columns))
        found = kernels.transcode(rows, FORMATS["F16"], given, threads=2)
        assert_equal(found, transcode_in_steps(rows, FORMATS["F16"], given))
        assert found.error > 0 or columns == 1


def test_rows_beyond_one_task_have_the_same_errors() -> None:
    rows = stored("BF16", random_rows(300, 1024))
    for threads in (1, 2):
        found = kernels.transcode(rows, FORMATS["Q8_0"], threads=threads)
        assert_equal(found, transcode_in_steps(rows, FORMATS["Q8_0"]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_named(bad: float) -> None:
    weights = random_rows(200, 1024)
    weights[150, 3] = bad
    rows = QuantizedTensor(FORMATS["F32"], weights.shape, weights.view(np.uint8).reshape(-1, 4))
    with pytest.raises(FormatError, match=r"row 150, column 3"):
        kernels.transcode(rows, FORMATS["Q4_K"], threads=2)


def test_a_weight_beyond_the_format_is_named() -> None:
    weights = random_rows(2)
    weights[1, 5] = 1e6
    with pytest.raises(FormatError, match=r"row 1, column 5.*magnitudes below"):
        kernels.transcode(stored("F32", weights), FORMATS["F16"])


def test_importance_of_another_length_is_refused() -> None:
    with pytest.raises(FormatError, match="the weights have 768 columns"):
        kernels.transcode(stored("F32", random_rows(1)), FORMATS["Q4_K"], np.ones(5, np.float32))


def test_no_rows_have_no_blocks() -> None:
    found = kernels.transcode(stored("F32", random_rows(0)), FORMATS["Q4_K"])
    assert (found.blocks.shape, found.error, found.power) == ((0, 144), 0.0, 0.0)


def test_without_the_extension_the_steps_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = stored("BF16", random_rows(2))
    expected = kernels.transcode(rows, FORMATS["Q4_K"])
    monkeypatch.setattr(transcoded_rows, "native", lambda: None)
    assert_equal(kernels.transcode(rows, FORMATS["Q4_K"]), expected)
