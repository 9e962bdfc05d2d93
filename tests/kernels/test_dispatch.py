"""Guarantees of the dispatcher that hold for every kernel."""

import signal
from dataclasses import dataclass

import numpy as np
import pytest

from zeropoint import kernels
from zeropoint.errors import FormatError
from zeropoint.formats import F32, FORMATS, U8, StorageFormat
from zeropoint.formats.parts import Parts
from zeropoint.kernels import dispatch


def random_pair(rows: int, columns: int, seed: int = 3) -> tuple[F32, F32, F32]:
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(rows, columns)).astype(np.float32)
    decoded = weights + rng.normal(size=weights.shape).astype(np.float32) * np.float32(1e-3)
    return weights, decoded, rng.exponential(size=columns).astype(np.float32)


@pytest.mark.parametrize("columns", [1, 7, 8, 33, 640])
@pytest.mark.parametrize("weighted", [False, True])
def test_weighted_error_has_the_same_bits_for_any_threads_and_in_numpy(
    columns: int, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, decoded, importance = random_pair(531, columns)
    chosen = importance if weighted else None
    errors = [kernels.weighted_error(weights, decoded, chosen, threads=t) for t in (1, 2, 3)]
    monkeypatch.setattr(dispatch, "native", lambda: None)
    errors.append(kernels.weighted_error(weights, decoded, chosen))
    assert len(set(errors)) == 1
    exact = (importance if weighted else 1) * (weights.astype(np.float64) - decoded) ** 2
    # Rounding of n additions in float64: n · 2^-53, relative, as every term is positive.
    assert abs(errors[0] - exact.sum()) <= exact.sum() * weights.size * 2.0**-53


def test_weighted_error_of_nothing_is_zero() -> None:
    empty = np.empty((0, 32), np.float32)
    assert kernels.weighted_error(empty, empty) == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("index", [0, 100, 639])
def test_encode_names_the_first_weight_that_is_not_finite(bad: float, index: int) -> None:
    weights = np.ones((10, 64), np.float32)
    weights.flat[index] = bad
    weights.flat[639] = bad
    where = rf"weight {index} \(row {index // 64}, column {index % 64}\)"
    with pytest.raises(FormatError, match=where):
        kernels.encode(FORMATS["Q8_0"], weights)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0, -1e-40])
def test_encode_names_the_column_whose_importance_is_out_of_its_domain(bad: float) -> None:
    importance = np.ones(64, np.float32)
    importance[40] = bad
    with pytest.raises(FormatError, match="importance of column 40"):
        kernels.encode(FORMATS["Q8_0"], np.ones((2, 64), np.float32), importance)


def test_encode_refuses_what_does_not_fit() -> None:
    with pytest.raises(FormatError, match="rows of 33"):
        kernels.encode(FORMATS["Q8_0"], np.ones((2, 33), np.float32))
    with pytest.raises(FormatError, match="32 columns"):
        kernels.encode(FORMATS["Q8_0"], np.ones((2, 32), np.float32), np.ones(64, np.float32))
    with pytest.raises(FormatError, match="rows, columns"):
        kernels.encode(FORMATS["Q8_0"], np.ones(32, np.float32))


@pytest.mark.parametrize("columns", [1, 7, 8, 40, 641])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_power_of_weights_is_their_error_against_zeros(columns: int, weighted: bool) -> None:
    random = np.random.default_rng(columns)
    weights = random.standard_normal((9, columns)).astype(np.float32)
    importance = random.random(columns).astype(np.float32) if weighted else None
    power = kernels.weighted_error(weights, None, importance, threads=2)
    assert power == kernels.weighted_error(weights, np.zeros_like(weights), importance)
    exact = (weights.astype(np.float64) ** 2 * (1 if importance is None else importance)).sum()
    # columns · rows sums of positive terms, each rounded once: 2⁻⁵³ for each of them
    assert abs(power - exact) <= exact * weights.size * 2.0**-52


@pytest.mark.parametrize("columns", [31, 33, 255, 257])
def test_rows_that_are_no_whole_blocks_are_refused_by_every_format(columns: int) -> None:
    weights = np.ones((2, columns), np.float32)
    for format in FORMATS.values():
        if columns % format.block_size:
            with pytest.raises(FormatError, match=f"rows of {columns}"):
                kernels.encode(format, weights)


def test_no_weights_are_no_blocks() -> None:
    for format in FORMATS.values():
        empty = np.empty((0, format.block_size), np.float32)
        assert (
            kernels.decode(format, np.empty((0, format.block_bytes), np.uint8)).shape == empty.shape
        )
        assert kernels.encode(format, empty).shape == (0, format.block_bytes)
        assert format.encode_blocks(empty).shape == (0, format.block_bytes)


def test_float64_beyond_float32_is_refused_like_infinity() -> None:
    with pytest.raises(FormatError, match=r"weight 3 \(row 0, column 3\) is inf"):
        kernels.encode(FORMATS["Q4_0"], np.where(np.arange(32) == 3, 1e300, 1.0)[None])


def test_what_cannot_be_encoded_says_so() -> None:
    @dataclass(frozen=True, kw_only=True)
    class ReadOnlyFormat(StorageFormat):
        def parts(self, blocks: U8) -> Parts:
            raise NotImplementedError

    format = ReadOnlyFormat(name="NEW", block_size=32, block_bytes=4, group_size=32, ggml_type=99)
    with pytest.raises(FormatError, match="NEW can be decoded but not encoded"):
        kernels.encode(format, np.ones((1, 32), np.float32))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_extension_is_loaded_arrives_afterwards(number: int) -> None:
    """A handler that raises inside nanobind would abort the process."""
    before = signal.signal(number, signal.default_int_handler)
    reached = False
    try:
        with pytest.raises(KeyboardInterrupt), dispatch.signals_delayed():
            signal.raise_signal(number)
            reached = True
        assert reached
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
