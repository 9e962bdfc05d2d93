"""The records behind `explain`: bits, neighbours, blocks, names as people spell them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeropoint.errors import FormatError
from zeropoint.formats import FORMATS, find_format
from zeropoint.formats.describe import describe
from zeropoint.formats.explain import (
    counterpart,
    explain_block,
    explain_value,
    explain_weight,
    find_float,
    find_for_block,
    parse_weights,
)
from zeropoint.formats.floats import FLOAT_TYPES, FloatType
from zeropoint.formats.names import plain_examples

ESSAY = [-0.89, 0.16, 0.08, -0.13, 0.16, -0.54]
TYPES = pytest.mark.parametrize("type", FLOAT_TYPES.values(), ids=lambda t: t.name)


@TYPES
@settings(max_examples=30, deadline=None)
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_bits_and_formula_make_the_stored_value(type: FloatType, value: float) -> None:
    told = explain_value(value, type)
    bits = told.sign_bit + told.exponent_bits + told.mantissa_bits
    assert (len(bits), int(bits, 2)) == (type.bits, told.code)
    python = told.formula.replace("^", "**").replace("·", "*").replace("−", "-")
    assert eval(python) == told.stored
    assert told.error == told.stored - value
    assert told.saturated == (abs(value) > type.max)


@TYPES
@settings(max_examples=30, deadline=None)
@given(value=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_neighbours_are_what_lies_next_to_the_stored_value(type: FloatType, value: float) -> None:
    told = explain_value(value, type)
    if told.above is not None:
        assert told.above > told.stored
        middle = told.stored + (told.above - told.stored) / 2
        assert explain_value(middle, type).stored in (told.stored, told.above)
    else:
        assert told.stored == type.max
    if told.below is not None:
        assert told.below < told.stored
        assert explain_value(told.below, type).above == told.stored
    else:
        assert told.stored == -type.max


def test_the_essays_block_step_by_step() -> None:
    block = explain_block(ESSAY, find_for_block("q4-symmetric"))
    assert explain_weight(block, 0.16) == (
        "scale  = max |w| / 7 = 0.127143",
        "code   = round(0.16 / scale) = round(1.2584) = 1",
        "weight = 0.127143 · 1 = 0.127143",
    )
    assert block.mean_relative_error == pytest.approx(0.18, abs=5e-4)
    assert block.unused == "code −8 is never used: one of 16"
    other = explain_block(ESSAY, find_for_block("q4-asymmetric"))
    assert explain_weight(other, -0.54) == (
        "scale  = (max w − min w) / 15 = 0.07",
        "code   = round(-0.54 / scale) + 5 = round(-7.7143) + 5 = -3",
        "weight = 0.07 · (-3 − 5) = -0.56",
    )
    assert other.mean_relative_error == pytest.approx(0.085, abs=5e-4)


@pytest.mark.parametrize("name", [*FORMATS, *plain_examples()])
def test_a_block_of_any_format_can_be_explained(name: str) -> None:
    """Formats that cannot be written say so; the parts of all others add up to their size."""
    format = find_format(name)
    weights = [3.0, -7.0, 0.0, 5.0] if name.startswith("I") and "_" not in name else ESSAY
    if not describe(format).writable:
        with pytest.raises(FormatError, match=f"{name} can be decoded but not encoded"):
            explain_block(weights, format)
        return
    block = explain_block(weights, format)
    assert [w.weight for w in block.weights] == weights
    for place, weight in enumerate(block.weights):
        group = next(g for g in block.groups if g.first <= place <= g.last)
        value = weight.value - (group.zero_point or 0)
        expected = np.float32(group.scale) * np.float32(value) + np.float32(group.minimum or 0)
        assert weight.stored == expected
        assert weight.error == weight.stored - weight.weight
        assert len(explain_weight(block, weight.weight)) == 3
    mean = np.mean([abs(w.error / w.weight) for w in block.weights if w.weight])
    assert block.mean_relative_error == pytest.approx(mean)
    assert block.bytes == (len(weights) + block.padding) * (
        format.for_shape((len(weights) + block.padding,)).bits_per_weight / 8
    )


def test_padding_does_not_change_what_is_stored() -> None:
    """Six weights in a group of 32 have the scale of the six."""
    for name in ("INT4_SYM_G32", "INT4_ASYM_G32_SEARCH", "FP4_E2M1_M0_BEST_G32_SEARCH"):
        padded = explain_block(ESSAY, find_format(name))
        alone = explain_block(ESSAY, find_format(name.replace("G32", "G6")))
        assert padded.padding == 26 and alone.padding == 0
        assert padded.weights == alone.weights


def test_a_block_of_zeros_has_no_relative_error() -> None:
    block = explain_block([0.0, 0.0], find_for_block("int4"))
    assert block.mean_relative_error is None and block.mean_squared_error == 0
    assert explain_weight(block, 0.0)[1] == "code   = round(0 / scale) = round(0) = 0"


@pytest.mark.parametrize("text", ["1,2,x", "0.1;two", "--"])
def test_a_block_that_is_no_numbers_says_which(text: str) -> None:
    with pytest.raises(FormatError, match="numbers separated by commas"):
        parse_weights(text)


@pytest.mark.parametrize("weights", [[], [1.0, float("nan")], [float("inf")], [1e39]])
def test_weights_that_cannot_be_explained_are_errors(weights: list[float]) -> None:
    with pytest.raises(FormatError, match="block"):
        explain_block(weights, find_for_block("int4"))


def test_a_weight_that_is_not_in_the_block_is_an_error() -> None:
    with pytest.raises(FormatError, match=r"0\.2 is not among the 6 weights"):
        explain_weight(explain_block(ESSAY, find_for_block("int4")), 0.2)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        *[("float32", "F32"), ("FP32", "F32"), ("half", "F16"), ("bf16", "BF16"), ("e5m2", None)],
        *[("fp8", "FP8_E4M3"), ("fp6-e3m2", "FP6_E3M2"), ("E2M1", "FP4_E2M1"), ("int8", None)],
    ],
)
def test_floats_go_by_the_names_that_people_use(typed: str, name: str | None) -> None:
    found = find_float(typed)
    assert (found.name if found else None) == (name or {"e5m2": "FP8_E5M2"}.get(typed))


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        *[("q4-symmetric", "INT4_SYM_TENSOR"), ("Q8_0", "Q8_0"), ("iq4_nl", "IQ4_NL")],
        *[("int3 asym", "INT3_ASYM_TENSOR"), ("int4", "INT4_SYM_TENSOR"), ("nf4", "NF4_TENSOR")],
        *[("fp8", "FP8_E4M3_TENSOR"), ("mxfp6", "MXFP6_E2M3"), ("e2m1", "FP4_E2M1_TENSOR")],
        *[("fp4_e2m1_m0_2.5", "FP4_E2M1_M0_2.5_TENSOR"), ("int4_sym_g32", "INT4_SYM_G32")],
    ],
)
def test_formats_go_by_the_names_that_people_use(typed: str, name: str) -> None:
    assert find_for_block(typed).name == name


def test_counterparts_come_back() -> None:
    for name in ("INT4_SYM_G32", "INT8_ASYM_ROW_SEARCH"):
        other = counterpart(name)
        assert other is not None and other != name and counterpart(other) == name


@pytest.mark.parametrize("name", [*FORMATS, *plain_examples()])
def test_a_description_says_what_the_format_is(name: str) -> None:
    format = find_format(name)
    about = describe(format)
    assert about.name == name and about.summary.endswith(".")
    assert about.equation and "\n" not in about.equation + about.layout + about.summary
    if format.block_size:
        assert about.bits_per_weight == format.bits_per_weight
    assert (about.ggml_type is not None) == (name in FORMATS)


@pytest.mark.parametrize("name", [*FORMATS, *plain_examples()])
def test_the_layout_reaches_the_last_byte_of_the_block(name: str) -> None:
    format = find_format(name)
    if format.block_size > 1 and "groups" not in vars(format):
        drawn = describe(format).layout
        last = format.block_bytes - 1
        each_group = "for each group" in drawn  # IQ2_XXS: 2 bytes, then 8 for each of 8 groups
        assert each_group or f"-{last} " in drawn
