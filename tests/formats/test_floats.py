"""Small floats against ml_dtypes and torch, all codes and every way to round."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropoint.errors import FormatError
from zeropoint.formats import F32
from zeropoint.formats.floats import (
    BFLOAT16,
    E2M1,
    E2M3,
    E3M2,
    E4M3,
    E5M2,
    FLOAT16,
    FLOAT32,
    FLOAT_TYPES,
    SMALL_FLOATS,
    FloatType,
)
from zeropoint.formats.microscaling import decode_e8m0

JUDGES = {
    E4M3: ml_dtypes.float8_e4m3fn,
    E5M2: ml_dtypes.float8_e5m2,
    E2M3: ml_dtypes.float6_e2m3fn,
    E3M2: ml_dtypes.float6_e3m2fn,
    E2M1: ml_dtypes.float4_e2m1fn,
    FLOAT16: np.float16,
    BFLOAT16: ml_dtypes.bfloat16,
}
SMALL = pytest.mark.parametrize("type", SMALL_FLOATS.values(), ids=lambda t: t.name)
JUDGED = pytest.mark.parametrize("type", JUDGES, ids=lambda t: t.name)
ALL = pytest.mark.parametrize("type", FLOAT_TYPES.values(), ids=lambda t: t.name)


def judged_codes(type: FloatType, values: F32) -> np.ndarray:
    with np.errstate(over="ignore"):  # to infinity, where ours saturates
        return values.astype(JUDGES[type]).view(np.uint16 if type.bits == 16 else np.uint8)


def difficult_values(type: FloatType) -> F32:
    """Every value, every middle between neighbours, and the float32 right beside each of them."""
    finite = type.decode(np.arange(type.max_code + 1))
    middles = (finite[1:] + finite[:-1]) / 2
    beyond = [type.max * 1.03, type.max * 4]
    largest = float(np.finfo(np.float32).max)
    centre = np.minimum(np.concatenate([finite, middles, beyond]), largest).astype(np.float32)
    below, above = np.nextafter(centre, np.float32(0)), np.nextafter(centre, np.float32(largest))
    values = np.concatenate([below, centre, above])
    return np.concatenate([values, -values])


@JUDGED
def test_all_codes_mean_what_ml_dtypes_says(type: FloatType) -> None:
    codes = np.arange(2**type.bits, dtype=np.uint16 if type.bits == 16 else np.uint8)
    theirs = codes.view(JUDGES[type]).astype(np.float32)
    ours = type.decode(codes).astype(np.float32)
    np.testing.assert_array_equal(ours, theirs)
    numbers = ~np.isnan(ours)
    np.testing.assert_array_equal(np.signbit(ours)[numbers], np.signbit(theirs)[numbers])


@JUDGED
def test_rounding_is_ml_dtypes_bit_for_bit_up_to_saturation(type: FloatType) -> None:
    """Beyond the largest value ours saturates, where fp8 and the wider give NaN or infinity."""
    values = difficult_values(type)
    theirs = judged_codes(type, values)
    saturates = ~np.isfinite(theirs.view(JUDGES[type]).astype(np.float32))
    ours = type.encode(values)
    np.testing.assert_array_equal(ours[~saturates], theirs[~saturates])
    assert np.all(ours[saturates] & (2 ** (type.bits - 1) - 1) == type.max_code)
    assert np.all(np.abs(values[saturates]) > type.max)


@SMALL
def test_every_float16_rounds_as_in_ml_dtypes(type: FloatType) -> None:
    values = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
    values = values[np.abs(values) <= type.max]
    np.testing.assert_array_equal(type.encode(values), judged_codes(type, values))


@pytest.mark.parametrize(("type", "name"), [(E4M3, "float8_e4m3fn"), (E5M2, "float8_e5m2")])
def test_fp8_is_torchs_bit_for_bit(type: FloatType, name: str) -> None:
    torch = pytest.importorskip("torch")
    values = difficult_values(type)
    values = values[np.abs(values) <= type.max]
    random = np.random.default_rng(3).normal(size=20_000).astype(np.float32)
    for x in (values, random):
        theirs = torch.from_numpy(x).to(getattr(torch, name)).view(torch.uint8).numpy()
        np.testing.assert_array_equal(type.encode(x), theirs)
    codes = np.arange(256, dtype=np.uint8)
    decoded = torch.from_numpy(codes).view(getattr(torch, name)).to(torch.float32).numpy()
    np.testing.assert_array_equal(type.table, decoded)


@given(value=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_float32_is_itself(value: float) -> None:
    x = np.array([value], np.float32)
    assert FLOAT32.encode(x) == x.view(np.uint32)
    assert FLOAT32.decode(x.view(np.uint32)).astype(np.float32).view(np.uint32) == x.view(np.uint32)


@ALL
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_rounding_goes_to_the_nearest_value(type: FloatType, value: float) -> None:
    """From float64, where no judge is at hand: no neighbour is nearer."""
    code = int(type.encode(np.array([value]))[0])
    magnitude = code & (2 ** (type.bits - 1) - 1)
    others = [other for other in (magnitude - 1, magnitude + 1) if 0 <= other <= type.max_code]
    distance = abs(type.decode(np.array([magnitude]))[0] - abs(value))
    nearest = np.abs(type.decode(np.array(others)) - abs(value)).min()
    assert distance <= nearest
    if distance == nearest and abs(value) < type.max:
        assert magnitude % 2 == 0


@ALL
def test_infinity_saturates_and_nan_is_an_error(type: FloatType) -> None:
    both = np.array([np.inf, -np.inf], np.float32)
    assert type.decode(type.encode(both)).tolist() == [type.max, -type.max]
    with pytest.raises(FormatError, match="NaN has no nearest value"):
        type.encode(np.array([1, np.nan], np.float32))


@JUDGED
def test_the_derived_facts_are_ml_dtypes_finfo(type: FloatType) -> None:
    theirs = ml_dtypes.finfo(JUDGES[type])
    assert type.max == float(theirs.max)
    assert type.smallest_normal == float(theirs.smallest_normal)
    assert type.smallest == float(theirs.smallest_subnormal)
    assert type.step_at_one == float(theirs.eps)
    assert type.bits == theirs.bits


def test_e8m0_is_ml_dtypes() -> None:
    codes = np.arange(256, dtype=np.uint8)
    theirs = codes.view(ml_dtypes.float8_e8m0fnu).astype(np.float32)
    np.testing.assert_array_equal(decode_e8m0(codes), theirs)


def test_large_arrays_are_encoded_in_pieces_that_join() -> None:
    values = np.random.default_rng(0).normal(size=(3, 500_001)).astype(np.float32)
    np.testing.assert_array_equal(E2M1.encode(values), judged_codes(E2M1, values))
