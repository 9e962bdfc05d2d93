"""Codes that are written into blocks come out again, and nothing else changes."""

import numpy as np
import pytest

from zeropoint.errors import FormatError
from zeropoint.formats import FORMATS, find_format
from zeropoint.formats.recode import can_recode, code_set

RECODED = [name for name in FORMATS if can_recode(FORMATS[name])]
NAMES = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL",
         "IQ4_XS", "MXFP4", "NVFP4", "Q2_0", "TQ1_0", "TQ2_0")  # fmt: skip


def encoded(name: str, blocks: int = 40) -> np.ndarray:
    """Return blocks that the format's own encoder wrote."""
    random = np.random.default_rng(len(name))
    format = find_format(name)
    return format.encode_blocks(
        random.standard_normal((blocks, format.block_size)).astype(np.float32)
    )


def test_every_format_with_codes_of_single_weights_can_be_recoded() -> None:
    assert sorted(RECODED) == sorted(NAMES)


@pytest.mark.parametrize("name", RECODED)
def test_storing_the_codes_that_are_there_changes_no_bit(name: str) -> None:
    blocks = encoded(name)
    parts = find_format(name).parts(blocks)
    assert np.array_equal(code_set(find_format(name)).store(blocks, parts.codes), blocks)


@pytest.mark.parametrize("name", RECODED)
def test_any_codes_are_read_back_and_the_scales_stay(name: str) -> None:
    format, codes = find_format(name), code_set(find_format(name))
    blocks = encoded(name)
    before = format.parts(blocks)
    wanted = np.random.default_rng(1).choice(codes.codes, before.codes.shape)
    after = format.parts(codes.store(blocks, wanted))
    assert np.array_equal(after.codes, wanted)
    assert np.array_equal(after.scale, before.scale)
    if before.minimum is not None:
        assert np.array_equal(after.minimum, before.minimum)


@pytest.mark.parametrize("name", RECODED)
def test_each_code_means_its_value(name: str) -> None:
    format, codes = find_format(name), code_set(find_format(name))
    blocks = encoded(name, 1)
    for code, value in zip(codes.codes, codes.values, strict=True):
        parts = format.parts(codes.store(blocks, np.full((1, format.block_size), code)))
        values = parts.codes.astype(np.float32) if parts.values is None else parts.values
        assert (values == value).all()


@pytest.mark.parametrize("name", RECODED)
def test_the_nearest_value_is_no_further_than_any_other(name: str) -> None:
    codes = code_set(find_format(name))
    low, high = codes.values[0], codes.values[-1]
    values = np.random.default_rng(2).uniform(2 * low - 1, 2 * high + 1, 500).astype(np.float32)
    chosen = codes.values[codes.nearest(values)]
    best = np.abs(values[:, None] - codes.values).min(axis=1)
    assert np.array_equal(np.abs(values - chosen), best)


@pytest.mark.parametrize("name", ["IQ2_XXS", "IQ3_S", "IQ1_M", "Q1_0", "F16", "BF16"])
def test_other_formats_are_refused_with_the_names_of_those_that_work(name: str) -> None:
    with pytest.raises(FormatError, match=r"has no codes of single weights.*Q4_K"):
        code_set(find_format(name))
