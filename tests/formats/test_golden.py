"""Decoding judged by ggml itself: golden blocks in every run, the library where it is installed."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from support import ggml_peer
from zeropoint.formats import FORMATS, GGML_TYPES, StorageFormat

GOLDEN = np.load(Path(__file__).parent.parent / "golden" / "decode.npz")
NAMES = sorted({key.split("/")[0] for key in GOLDEN})
DECODED = [format for format in GGML_TYPES.values() if format.name in NAMES]


def assert_same_bits(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
    """Any NaN equals any other: conversions may quiet a signalling one."""
    same = (ours.view(np.uint32) == theirs.view(np.uint32)) | (np.isnan(ours) & np.isnan(theirs))
    assert same.all(), np.argwhere(~same)[:3]


def test_every_type_that_ggml_decodes_has_golden_blocks() -> None:
    assert set(GGML_TYPES[k].name for k in GGML_TYPES) - set(NAMES) == {
        *("F32", "F64", "I8", "I16", "I32", "I64")
    }


@pytest.mark.parametrize("name", NAMES)
def test_decode_equals_ggmls_golden_blocks(name: str) -> None:
    ours = FORMATS[name].decode_blocks(GOLDEN[f"{name}/blocks"])
    assert_same_bits(ours, GOLDEN[f"{name}/weights"])


@pytest.mark.peer
@pytest.mark.skipif(ggml_peer.library_path() is None, reason="llama.cpp is not installed")
@pytest.mark.parametrize("format", DECODED, ids=lambda f: f.name)
def test_decode_equals_ggml_on_any_bytes(format: StorageFormat) -> None:
    rng = np.random.default_rng(31 + format.ggml_type)
    blocks = rng.integers(0, 256, (2000, format.block_bytes), np.uint8)
    theirs = ggml_peer.decode(format.ggml_type, blocks, format.block_size)
    assert_same_bits(format.decode_blocks(blocks), theirs)
