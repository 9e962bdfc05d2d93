"""llama.cpp's own kernels multiply with what our encoders write, as its decoder says they should.

A scale may be negative, a code may be one that ggml's encoder never writes: whoever reads the file
must not mind. The activations are integers, so that rounding them to 8 bits changes nothing.
"""

import ctypes
from typing import Any

import numpy as np
import pytest

from support import ggml_peer
from support.block_classes import BLOCKS
from zeropoint import kernels
from zeropoint.formats import GGML_TYPES, StorageFormat

ENCODED = [
    format
    for format in GGML_TYPES.values()
    if kernels.has_encoder(format.name) and format.block_size > 1
]


class CpuTraits(ctypes.Structure):
    """ggml-cpu.h, struct ggml_type_traits_cpu (2026-10)."""

    _fields_ = (
        ("from_float", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)),
        (
            "vec_dot",
            ctypes.CFUNCTYPE(
                *(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p),
                *(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int),
            ),
        ),
        ("vec_dot_type", ctypes.c_int),
        ("nrows", ctypes.c_int64),
    )


def cpu_library() -> Any:
    path = ggml_peer.library_path()
    assert path is not None
    ggml_peer.library()
    library = ctypes.CDLL(str(next(path.parent.glob("libggml-cpu.*"))))
    library.ggml_get_type_traits_cpu.restype = ctypes.POINTER(CpuTraits)
    library.ggml_cpu_init()
    return library


@pytest.mark.peer
@pytest.mark.skipif(ggml_peer.library_path() is None, reason="llama.cpp is not installed")
@pytest.mark.parametrize("format", ENCODED, ids=lambda f: f.name)
@pytest.mark.parametrize("kind", ["normal", "heavy tail", "offset", "two values", "outlier 1e2"])
def test_llama_cpps_dot_product_agrees_with_the_decoded_blocks(
    format: StorageFormat, kind: str
) -> None:
    library = cpu_library()
    traits = library.ggml_get_type_traits_cpu(format.ggml_type).contents
    rng = np.random.default_rng(format.ggml_type)
    columns = 1024
    weights = np.stack([sign * BLOCKS[kind](rng, columns) for sign in (1, -1, 1, -1)])
    blocks = kernels.encode(format, weights.astype(np.float32))
    decoded = format.decode_blocks(blocks).reshape(weights.shape).astype(np.float64)
    activations = rng.integers(-126, 127, columns).astype(np.float32)
    activations[::32] = 127
    rounded = np.empty(4 * columns, np.uint8)
    other = library.ggml_get_type_traits_cpu(traits.vec_dot_type).contents
    other.from_float(activations.ctypes.data, rounded.ctypes.data, columns)
    result = np.empty(1, np.float32)
    for row, stored in zip(decoded, blocks.reshape(4, -1), strict=True):
        stored = np.ascontiguousarray(stored)
        traits.vec_dot(
            columns, result.ctypes.data, 0, stored.ctypes.data, 0, rounded.ctypes.data, 0, 1
        )
        expected = row @ activations
        # float32 sums of blocks; Q8_1 keeps its own sums in float16.
        bound = np.abs(row * activations).sum() * (columns * 2.0**-24 + 2.0**-10)
        assert abs(float(result[0]) - expected) <= bound
