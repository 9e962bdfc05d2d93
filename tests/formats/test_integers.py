"""Integers: the numbers of a textbook, and the bound that rounding promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeropoint.formats import F32, Format, Parts, find_format

ESSAY = np.array([[-0.89, 0.16, 0.08, -0.13, 0.16, -0.54]], np.float32)
SHARES = ("G6", "ROW", "TENSOR")
BITS = range(2, 9)


def encoded(name: str, weights: F32) -> tuple[Format, Parts, F32]:
    format = find_format(name).for_shape(weights.shape)
    blocks = format.encode_blocks(weights.reshape(-1, format.block_size))
    return format, format.parts(blocks), format.decode_blocks(blocks)


def mean_relative_error(weights: F32, decoded: F32) -> float:
    return float(np.mean(np.abs(decoded - weights) / np.abs(weights)))


@pytest.mark.parametrize("share", ["ROW", "TENSOR"])
def test_the_essays_symmetric_example(share: str) -> None:
    """ngrok's "Quantization from the ground up": scale = absmax / 7, mean error 18 %."""
    _, parts, decoded = encoded(f"INT4_SYM_{share}", ESSAY)
    assert parts.scale[0, 0] == np.float32(0.127142857)
    assert parts.codes.tolist() == [[-7, 1, 1, -1, 1, -4]]
    assert parts.zero_point is None
    assert round(100 * mean_relative_error(ESSAY, decoded), 1) == 18.0


@pytest.mark.parametrize("share", ["ROW", "TENSOR"])
def test_the_essays_asymmetric_example(share: str) -> None:
    """Scale .07, zero point 5, weights -.91 .14 .07 -.14 .14 -.56: mean error 8.5 %."""
    _, parts, decoded = encoded(f"INT4_ASYM_{share}", ESSAY)
    assert parts.scale[0, 0] == np.float32(0.07)
    assert parts.zero_point is not None and parts.zero_point.tolist() == [[5]]
    assert parts.codes.tolist() == [[-8, 7, 6, 3, 7, -3]]
    assert [round(float(w), 6) for w in decoded[0]] == [-0.91, 0.14, 0.07, -0.14, 0.14, -0.56]
    assert round(100 * mean_relative_error(ESSAY, decoded), 1) == 8.5


def test_a_group_stores_its_scale_in_float16_and_rounds_it_before_the_codes() -> None:
    format, parts, _ = encoded("INT8_SYM_G6", ESSAY)
    scale = np.float32(np.float16(0.89 / 127))
    assert format.block_bytes == 2 + 6
    assert parts.scale[0, 0] == scale
    np.testing.assert_array_equal(parts.codes, np.rint(ESSAY / scale))


def test_the_bytes_are_scale_zero_point_and_packed_codes() -> None:
    format = find_format("INT4_ASYM_G6")
    block = format.encode_blocks(ESSAY)[0]
    assert format.block_bytes == len(block) == 2 + 1 + 3
    assert block[:2].tobytes() == np.float16(0.07).tobytes()
    assert block[2] == 5
    assert block[3:].tolist() == [0x78, 0x36, 0xD7]  # -8 7 6 3 7 -3, two's complement, low first


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("share", SHARES)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), offset=st.floats(-3, 3))
def test_symmetric_errors_are_at_most_half_a_step(
    bits: int, share: str, seed: int, offset: float
) -> None:
    """Half a step inside the range; a scale rounded down puts the largest weight just outside."""
    weights = random_weights(seed, offset)
    _, parts, decoded = encoded(f"INT{bits}_SYM_{share}", weights)
    weights = weights.reshape(decoded.shape)
    highest = 2 ** (bits - 1) - 1
    assert np.abs(parts.codes).max() <= highest
    outside = np.maximum(np.abs(weights) - highest * parts.scale, 0)
    allowed = np.maximum(parts.scale / 2, outside) + 2.0**-22 * np.abs(weights).max()
    assert np.all(np.abs(decoded - weights) <= allowed)
    # float16 keeps 11 bits, so the range ends at most this far below the largest weight
    assert np.all(outside <= 2.0**-11 * np.abs(weights).max(axis=1, keepdims=True) * 1.001)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("share", SHARES)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), offset=st.floats(-3, 3))
def test_asymmetric_errors_are_at_most_half_a_step(
    bits: int, share: str, seed: int, offset: float
) -> None:
    """The rounded zero point moves the range by up to half a step, and that is the bound."""
    weights = random_weights(seed, offset)
    _, parts, decoded = encoded(f"INT{bits}_ASYM_{share}", weights)
    weights = weights.reshape(decoded.shape)
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    assert parts.zero_point is not None
    assert lowest <= parts.zero_point.min() and parts.zero_point.max() <= highest
    assert lowest <= parts.codes.min() and parts.codes.max() <= highest
    extent = weights.max(axis=1, keepdims=True) - weights.min(axis=1, keepdims=True)
    extent = np.maximum(extent, np.abs(weights).max(axis=1, keepdims=True))
    # half a step, and what a float16 scale rounded down leaves uncovered of the whole extent
    assert np.all(np.abs(decoded - weights) <= parts.scale / 2 + 2.0**-10.9 * extent)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("kind", ["SYM", "ASYM"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), offset=st.floats(-3, 3))
def test_zero_is_stored_exactly(bits: int, kind: str, seed: int, offset: float) -> None:
    weights = random_weights(seed, offset)
    weights[:, ::5] = 0
    _, parts, decoded = encoded(f"INT{bits}_{kind}_ROW", weights)
    assert np.all(decoded[:, ::5] == 0)
    if parts.zero_point is not None:
        assert np.all(parts.codes[:, ::5] == parts.zero_point)


def test_asymmetric_uses_the_whole_range_of_codes_for_one_sided_weights() -> None:
    """All weights positive: symmetric wastes the negative half, asymmetric halves the step."""
    weights = np.linspace(0, 1, 96, dtype=np.float32).reshape(1, -1)
    _, symmetric, _ = encoded("INT4_SYM_ROW", weights)
    _, asymmetric, _ = encoded("INT4_ASYM_ROW", weights)
    assert (symmetric.codes.min(), symmetric.codes.max()) == (0, 7)
    assert (asymmetric.codes.min(), asymmetric.codes.max()) == (-8, 7)
    assert asymmetric.zero_point is not None and asymmetric.zero_point.tolist() == [[-8]]
    assert asymmetric.scale[0, 0] == np.float32(1 / 15)


def random_weights(seed: int, offset: float) -> F32:
    return (np.random.default_rng(seed).normal(size=(3, 24)) + offset).astype(np.float32)


def test_ties_go_to_the_even_multiple_of_the_scale_wherever_zero_lies() -> None:
    """Scale 1, zero point −3: ½ becomes 0 and 1½ becomes 2, although their codes are odd."""
    weights = np.array([[-5.0, 10.0, 0.5, 1.5, 2.5, -0.5]], np.float32)
    _, parts, decoded = encoded("INT4_ASYM_ROW", weights)
    assert parts.zero_point is not None and parts.zero_point.tolist() == [[-3]]
    assert parts.scale.tolist() == [[1.0]]
    assert decoded.tolist() == [[-5.0, 10.0, 0.0, 2.0, 2.0, 0.0]]
