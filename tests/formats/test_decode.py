"""Every format decodes any bytes to the values of the reference library."""

import warnings

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from zeropoint.formats import FORMATS, GGML_TYPES, U8, StorageFormat

ALL = pytest.mark.parametrize("format", GGML_TYPES.values(), ids=lambda f: f.name)
# gguf decodes no plain integers, no float64, and (0.19) not the newest two: see test_golden.py.
JUDGED = [
    format
    for format in GGML_TYPES.values()
    if format.name not in {"F64", "I8", "I16", "I32", "I64", "Q1_0", "Q2_0"}
]
EVERY_JUDGED = pytest.mark.parametrize("format", JUDGED, ids=lambda f: f.name)


def gguf_decode(format: StorageFormat, blocks: U8) -> NDArray[np.float32]:
    kind = gguf.GGMLQuantizationType[format.name]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the judge warns about bytes that mean no number
        return gguf.dequantize(blocks, kind).astype(np.float32, copy=False)


def assert_same_bits(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
    """Any NaN equals any other: conversions may quiet a signalling one."""
    same = (ours.view(np.uint32) == theirs.view(np.uint32)) | (np.isnan(ours) & np.isnan(theirs))
    assert same.all(), np.argwhere(~same)[:3]


@EVERY_JUDGED
@given(seed=st.integers(0, 2**32 - 1))
def test_decode_equals_gguf_on_any_bytes(format: StorageFormat, seed: int) -> None:
    blocks = np.random.default_rng(seed).integers(0, 256, (7, format.block_bytes), np.uint8)
    assert_same_bits(format.decode_blocks(blocks), gguf_decode(format, blocks))


@EVERY_JUDGED
def test_decode_equals_gguf_for_every_value_of_every_byte(format: StorageFormat) -> None:
    """One byte at a time over a fixed block, so that no field of the layout is untouched."""
    base = np.random.default_rng(5).integers(0, 256, format.block_bytes, np.uint8)
    blocks = np.tile(base, (256 * format.block_bytes, 1))
    for place in range(format.block_bytes):
        blocks[256 * place : 256 * (place + 1), place] = np.arange(256)
    assert_same_bits(format.decode_blocks(blocks), gguf_decode(format, blocks))


@ALL
def test_number_and_sizes_are_those_of_gguf(format: StorageFormat) -> None:
    if format.name == "Q2_0":
        pytest.skip("gguf 0.19 does not know it")
    kind = gguf.GGMLQuantizationType[format.name]
    assert format.ggml_type == kind.value
    assert (format.block_size, format.block_bytes) == gguf.GGML_QUANT_SIZES[kind]


@ALL
def test_parts_say_what_decode_says(format: StorageFormat) -> None:
    blocks = np.random.default_rng(9).integers(0, 256, (50, format.block_bytes), np.uint8)
    parts = format.parts(blocks)
    assert parts.codes.shape == (50, format.block_size)
    assert parts.scale.shape == (50, format.block_size // format.group_size)
    assert_same_bits(parts.weights(), format.decode_blocks(blocks))


@ALL
def test_no_blocks_decode_to_no_weights(format: StorageFormat) -> None:
    empty = np.empty((0, format.block_bytes), np.uint8)
    assert format.decode_blocks(empty).shape == (0, format.block_size)


@pytest.mark.parametrize("name", ["I8", "I16", "I32", "I64", "F64"])
def test_plain_numbers_are_rounded_to_nearest(name: str) -> None:
    format = FORMATS[name]
    kind = {"I8": "i1", "I16": "i2", "I32": "i4", "I64": "i8", "F64": "f8"}[name]
    values = np.array([0, 1, -1, 127, -128], kind)
    if name == "F64":
        values = np.array([0.1, -1e300, 1 + 2.0**-24, 1 + 3 * 2.0**-24, np.nan])
    elif name in {"I32", "I64"}:
        values = np.array([2**24 + 1, 2**24 + 3, -(2**31), 2**31 - 1], kind)
    blocks = values.view(np.uint8).reshape(len(values), -1)
    with np.errstate(over="ignore"):
        expected = values.astype(np.float32)
    np.testing.assert_array_equal(format.decode_blocks(blocks)[:, 0], expected)


def test_the_grids_have_as_many_points_as_codes() -> None:
    sizes = {"IQ1_S": 2048, "IQ2_XXS": 256, "IQ2_XS": 512, "IQ2_S": 1024}
    sizes |= {"IQ3_XXS": 256, "IQ3_S": 512}
    from zeropoint.formats.grids import GRIDS

    assert {name: len(grid.points()) for name, grid in GRIDS.items()} == sizes
