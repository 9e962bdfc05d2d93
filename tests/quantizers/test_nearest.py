"""One array to blocks and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropoint.errors import FormatError
from zeropoint.formats import find_format
from zeropoint.quantizers import dequantize, quantize

RNG = np.random.default_rng(3)


def random(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def test_a_tensor_keeps_its_shape_and_has_the_bytes_of_its_blocks() -> None:
    weights = random(5, 64)
    tensor = quantize(weights, "INT8_SYM_G32", threads=1)
    assert tensor.format == find_format("INT8_SYM_G32")
    assert tensor.shape == (5, 64)
    assert tensor.data.shape == (10, 34)
    assert dequantize(tensor).shape == (5, 64)


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 4))
def test_the_error_is_at_most_half_a_step(seed: int, rows: int) -> None:
    """The step is the scale: max |w| / 127 of a block, rounded to float16 (2⁻¹¹)."""
    weights = np.random.default_rng(seed).standard_normal((rows, 32)).astype(np.float32)
    back = dequantize(quantize(weights, "INT8_SYM_G32", threads=1))
    step = np.abs(weights).max(axis=1, keepdims=True) / 127 * (1 + 2.0**-11)
    # half a step of rounding; a scale rounded down leaves the largest weight short of 127 steps
    assert np.all(np.abs(weights - back) <= step / 2 + 127 * step * 2.0**-11)


def test_threads_change_nothing() -> None:
    weights = random(300, 320)
    one = quantize(weights, "INT8_SYM_G32", threads=1)
    for threads in (2, 3, None):
        np.testing.assert_array_equal(
            quantize(weights, "INT8_SYM_G32", threads=threads).data, one.data
        )


def test_blocks_may_span_a_row_or_a_tensor() -> None:
    weights = random(3, 40)
    per_tensor = quantize(weights, "INT8_SYM_TENSOR", threads=1)
    assert per_tensor.shape == (3, 40)
    assert per_tensor.data.shape[0] == 1
    step = np.abs(weights).max() / 127
    assert np.abs(dequantize(per_tensor) - weights).max() <= step * 0.5001
    assert find_format("INT8_SYM_TENSOR").for_shape((3, 40)).block_size == 120


def test_each_expert_has_its_own_importance() -> None:
    weights = random(2, 4, 64)
    costs = np.abs(random(2, 64))
    both = quantize(weights, "INT8_SYM_G32", costs, threads=1)
    for expert in range(2):
        alone = quantize(weights[expert], "INT8_SYM_G32", costs[expert], threads=1)
        np.testing.assert_array_equal(both.data[expert * 8 : expert * 8 + 8], alone.data)


@pytest.mark.parametrize("shape", [(4,), (3, 64), (2, 32)])
def test_an_importance_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(FormatError, match="importance"):
        quantize(random(4, 64), "INT8_SYM_G32", np.ones(shape, np.float32))


def test_a_weight_that_is_not_finite_is_named() -> None:
    weights = random(4, 64)
    weights[2, 5] = np.nan
    with pytest.raises(FormatError, match="row 2, column 5"):
        quantize(weights, "INT8_SYM_G32")


def test_rows_that_are_no_whole_blocks_are_refused() -> None:
    with pytest.raises(FormatError, match="blocks of 32"):
        quantize(random(4, 33), "INT8_SYM_G32")
