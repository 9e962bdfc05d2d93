"""Properties of every plain format, searched or not, for any weights."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from zeropoint.errors import FormatError
from zeropoint.formats import F32, U8, Format, find_format
from zeropoint.formats.names import plain_examples

TEXTBOOK = plain_examples()
SEARCHED = [f"{name}_SEARCH" for name in TEXTBOOK]
ALL = pytest.mark.parametrize("name", TEXTBOOK + SEARCHED)
EACH_RULE = pytest.mark.parametrize("name", TEXTBOOK)
SHAPE = (3, 256)
FEW = settings(max_examples=8, deadline=None)  # each example has hundreds of random weights
SEEDS = st.integers(0, 2**32 - 1)


def sized(name: str) -> Format:
    return find_format(name).for_shape(SHAPE)


def encode(format: Format, weights: F32, importance: F32 | None = None) -> U8:
    if importance is not None:
        importance = importance.reshape(-1, format.block_size)
    return format.encode_blocks(weights.reshape(-1, format.block_size), importance)


def round_trip(format: Format, weights: F32, importance: F32 | None = None) -> F32:
    return format.decode_blocks(encode(format, weights, importance)).reshape(weights.shape)


def gaussian(seed: int) -> F32:
    return np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)


@ALL
def test_names_round_trip_and_bytes_are_counted(name: str) -> None:
    format = sized(name)
    assert format.name == name
    assert find_format(name) == find_format(name)
    assert format == format.for_shape(SHAPE) == sized(name)
    blocks = encode(format, gaussian(0))
    assert blocks.dtype == np.uint8
    assert blocks.shape == (np.prod(SHAPE) // format.block_size, format.block_bytes)
    assert format.bits_per_weight == 8 * blocks.size / np.prod(SHAPE)
    assert format.block_size % format.group_size == 0


@ALL
def test_any_bytes_decode_and_the_parts_say_the_same(name: str) -> None:
    format = sized(name)
    blocks = np.random.default_rng(1).integers(0, 256, (40, format.block_bytes), np.uint8)
    weights = format.decode_blocks(blocks)
    assert weights.shape == (40, format.block_size) and weights.dtype == np.float32
    parts = format.parts(blocks)
    np.testing.assert_array_equal(parts.weights(), weights)
    assert parts.codes.shape == weights.shape
    assert parts.scale.shape == (40, format.block_size // format.group_size)


@EACH_RULE
@FEW
@given(seed=SEEDS)
def test_quantizing_twice_changes_nothing(name: str, seed: int) -> None:
    """A float32 scale may come out a unit in the last place away; the codes stay.

    Not so where a search finds another optimum, and in the asymmetric block whose extremes both
    rounded inwards: what is left is a narrower range.
    """
    format = sized(name)
    once = encode(format, gaussian(seed))
    first = format.parts(once)
    if first.zero_point is not None:
        span = first.codes.max(axis=1) - first.codes.min(axis=1)
        once = once[span == 2 ** int(name[3]) - 1]
        assume(len(once) > 0)
        first = format.parts(once)
    second = format.parts(format.encode_blocks(first.weights()))
    if "BEST" not in name:  # its byte is free where no weight uses it
        np.testing.assert_array_equal(second.codes, first.codes)
    if getattr(format, "scale_bytes", 4) < 4:
        np.testing.assert_array_equal(second.weights(), first.weights())
    np.testing.assert_array_max_ulp(second.scale, first.scale, 2)
    np.testing.assert_array_max_ulp(second.weights(), first.weights(), 4)


@ALL
@FEW
@given(seed=SEEDS, power=st.integers(-3, 3))
def test_a_power_of_two_scales_the_result(name: str, seed: int, power: int) -> None:
    """Around 100, where the scale of no format is near the end of its range."""
    weights = gaussian(seed) * np.float32(100)
    format = sized(name)
    factor = np.float32(2.0**power)
    np.testing.assert_array_equal(
        round_trip(format, weights * factor), round_trip(format, weights) * factor
    )


@ALL
@FEW
@given(seed=SEEDS)
def test_blocks_are_independent(name: str, seed: int) -> None:
    format = sized(name)
    weights = np.stack([gaussian(seed), gaussian(seed + 1) * 100]).reshape(-1, format.block_size)
    importance = np.random.default_rng(seed).exponential(size=weights.shape).astype(np.float32)
    together = format.encode_blocks(weights, importance)
    for place in range(0, len(weights), max(1, len(weights) // 3)):
        alone = format.encode_blocks(weights[[place]], importance[[place]])
        np.testing.assert_array_equal(alone[0], together[place])


@ALL
@FEW
@given(seed=SEEDS)
def test_importance_of_ones_is_no_importance(name: str, seed: int) -> None:
    format, weights = sized(name), gaussian(seed)
    ones = np.ones(SHAPE, np.float32)
    np.testing.assert_array_equal(encode(format, weights), encode(format, weights, ones))


@EACH_RULE
@FEW
@given(seed=SEEDS)
def test_a_search_is_never_worse_than_the_textbook(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.laplace(size=SHAPE).astype(np.float32)
    importance = rng.exponential(size=SHAPE).astype(np.float32)
    textbook, searched = sized(name), sized(f"{name}_SEARCH")
    assert (textbook.block_size, textbook.block_bytes) == (
        searched.block_size,
        searched.block_bytes,
    )
    losses = [
        np.sum(importance * (weights - round_trip(format, weights, importance)) ** 2.0)
        for format in (textbook, searched)
    ]
    assert losses[1] <= losses[0] * (1 + 1e-6)  # both summed in another order than the search's


@EACH_RULE
def test_a_search_finds_something_and_minds_the_importance(name: str) -> None:
    rng = np.random.default_rng(5)
    weights = rng.laplace(size=SHAPE).astype(np.float32)
    importance = np.where(np.abs(weights) < 0.5, 1, 1e-6).astype(np.float32)
    searched = sized(f"{name}_SEARCH")
    with_importance = encode(searched, weights, importance)
    without = encode(searched, weights)
    if not name.startswith(("FP8", "MXINT8")):  # eight bits have little to win
        assert np.any(without != encode(sized(name), weights))
    if name.startswith("MXFP8"):
        return  # a float halved has the same error: the only choice is not to saturate
    assert np.any(with_importance != without)

    def cost(blocks: U8) -> float:
        decoded = searched.decode_blocks(blocks).reshape(SHAPE)
        return float(np.sum(importance * (weights - decoded) ** 2.0))

    assert cost(with_importance) < cost(without)


F16_MAX = 65504.0
EDGES = {
    "zeros": [0.0],
    "negative zeros": [-0.0],
    "one weight": [0.0] * 100 + [1.5] + [0.0] * 155,
    "constant": [0.37],
    "negative constant": [-0.37],
    "two values": [-2.5, 1.0],
    "float16's largest": [F16_MAX, -F16_MAX],
    "scales beyond float16": [1e9, -3e8, 1e5],
    "float32's largest": [3.4028234e38, -3.4028234e38, 1.0],
    "float32's largest alone": [3.4028234e38],
    "1e-7": [1e-7, -5e-8],
    "1e-12": [1e-12, -5e-13],
    "1e-15": [1e-15, -5e-16],
    "float16 subnormal scales": [1e-5, -3e-6],
    "float32 subnormals": [1e-42, -3e-44],
    "the smallest float32": [1.4e-45, 0.0],
    "an outlier of 100": [1.0] * 63 + [100.0],
    "an outlier of 1e4": [1.0, -1.0] * 31 + [0.5, 1e4],
    "an outlier of 1e8": [1.0, -1.0] * 31 + [0.5, -1e8],
    "alternating": [1.0, -1.0],
    "ties": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.0],
    "everything at once": [3e38, 1e-42, 0.0, -0.0, 1.0, -1e-15],
}


@ALL
@pytest.mark.parametrize("importance", [None, 0.0, 1e30, 1e-30])
def test_odd_blocks_are_stored_as_numbers(name: str, importance: float | None) -> None:
    """Never NaN or infinity; and since every format has a 0, no error exceeds the weight itself."""
    weights = np.stack([np.resize(np.array(edge, np.float32), SHAPE) for edge in EDGES.values()])
    costs = None if importance is None else np.full(weights.shape, importance, np.float32)
    decoded = round_trip(sized(name), weights, costs).astype(np.float64)
    allowed = np.abs(weights.astype(np.float64)) * (1 + 2.0**-20) + 2.0**-149
    for edge, ours, theirs, most in zip(EDGES, decoded, weights, allowed, strict=True):
        assert np.all(np.isfinite(ours)), edge
        assert np.all(np.abs(ours - theirs) <= most), edge


@ALL
def test_importance_of_zero_everywhere_is_the_textbook(name: str) -> None:
    """Nothing to choose by: the first choice stays."""
    textbook = sized(name.removesuffix("_SEARCH"))
    weights, zeros = gaussian(2), np.zeros(SHAPE, np.float32)
    np.testing.assert_array_equal(
        encode(sized(name), weights, zeros), encode(textbook, weights, zeros)
    )


@ALL
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_an_error_with_its_index(name: str, bad: float) -> None:
    weights = gaussian(0)
    weights[1, 7] = bad
    with pytest.raises(FormatError, match=f"weight {256 + 7} is "):
        encode(sized(name), weights)


@ALL
@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_importance_must_be_finite_and_not_negative(name: str, bad: float) -> None:
    importance = np.ones(SHAPE, np.float32)
    importance[0, 3] = bad
    with pytest.raises(FormatError, match="importance 3 is"):
        encode(sized(name), gaussian(0), importance)


@ALL
def test_no_blocks_are_no_bytes(name: str) -> None:
    format = sized(name)
    nothing = format.encode_blocks(np.empty((0, format.block_size), np.float32))
    assert nothing.shape == (0, format.block_bytes)
    assert format.decode_blocks(nothing).shape == (0, format.block_size)


@pytest.mark.parametrize("columns", [31, 33, 255, 257, 512])
def test_rows_need_whole_groups_and_nothing_else(columns: int) -> None:
    shape = (2, columns)
    for name in ("INT4_SYM_G32", "MXFP4_OCP", "NVFP4_TENSOR"):
        if columns % 32 == 0:
            assert find_format(name).for_shape(shape)
        else:
            with pytest.raises(FormatError, match=f"has rows of {columns}"):
                find_format(name).for_shape(shape)
    weights = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for share, size in (("ROW", columns), ("TENSOR", 2 * columns), (f"G{columns}", columns)):
        format = find_format(f"INT3_ASYM_{share}").for_shape(shape)
        assert format.block_size == size
        # three bits of 8 codes: half a step is 1/14 of the range, which holds 0
        extent = weights.max() - weights.min()
        assert np.abs(round_trip(format, weights) - weights).max() <= extent / 14 * 1.01


@pytest.mark.parametrize("name", ["INT4_SYM_ROW", "FP8_E4M3_TENSOR", "NVFP4_TENSOR"])
def test_a_format_that_knows_no_shape_says_so(name: str) -> None:
    format = find_format(name)
    message = f"{name} needs the shape of a tensor first"
    with pytest.raises(FormatError, match=message):
        format.encode_blocks(gaussian(0))
    with pytest.raises(FormatError, match=message):
        format.decode_blocks(np.zeros((1, 8), np.uint8))
    with pytest.raises(FormatError, match=message):
        _ = format.bits_per_weight


def test_a_smaller_group_keeps_an_outlier_to_itself() -> None:
    """The larger the group, the more weights lose precision because of one outlier."""
    weights = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    weights[0, 0] = 100
    errors = [
        float(np.mean((round_trip(sized(f"INT4_SYM_{share}"), weights) - weights) ** 2.0))
        for share in ("G16", "G64", "ROW", "TENSOR")
    ]
    assert errors == sorted(errors) and errors[3] > 10 * errors[0]


@pytest.mark.parametrize("name", ["FP8_E5M2_G32", "FP8_E4M3_G32", "INT8_SYM_G32", "INT8_ASYM_G32"])
def test_weights_too_small_for_the_usual_scale_are_not_lost(name: str) -> None:
    """absmax / 57344 of 1e-3 would round to 0 in float16; the smallest scale serves instead.

    Half a step of the smallest scale, 2^-25, is the bound for integers; a float has its own
    exponent and keeps two bits of mantissa, or three.
    """
    largest = 1e-3 if name.startswith("FP8") else 1e-6
    weights = gaussian(0)
    weights *= np.float32(largest / np.abs(weights).max())
    error = np.abs(round_trip(sized(name), weights) - weights)
    bound = np.abs(weights) / 8 if name.startswith("FP8") else 0
    assert np.all(error <= np.maximum(bound, 2.0**-25))


@pytest.mark.parametrize("name", ["INT2_SYM", "INT3_SYM", "INT4_SYM", "INT4_ASYM"])
def test_a_search_is_nearly_as_good_as_five_hundred_scales(name: str) -> None:
    """Coarse, then fine around the best: within 1 % of a dense grid; coarse alone is up to 8 %."""
    weights = np.random.default_rng(3).laplace(size=(64, 128)).astype(np.float32)
    textbook = find_format(f"{name}_G128")
    searched = find_format(f"{name}_G128_SEARCH")
    loss = np.sum((searched.decode_blocks(searched.encode_blocks(weights)) - weights) ** 2, axis=1)
    shrinks = np.linspace(0.1, 1.2, 500, dtype=np.float32)
    dense = [
        np.sum((textbook.meaning(textbook.fit(weights, None, shrink)).weights() - weights) ** 2, 1)
        for shrink in (np.full((64, 1), factor) for factor in shrinks)
    ]
    assert np.mean(loss / np.min(dense, axis=0)) < 1.01
