"""ggml through ctypes: its decoders and encoders, as judges.

The library is the one of an installed llama-cpp-python, or the folder that ZEROPOINT_PEER names.
"""

import ctypes
import importlib.util
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]


class TypeTraits(ctypes.Structure):
    """ggml.h, struct ggml_type_traits (2026-10)."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("block_size", ctypes.c_int64),
        ("block_size_interleave", ctypes.c_int64),
        ("block_bytes", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)),
        ("from_float", ctypes.c_void_p),
    )


def library_path() -> Path | None:
    """Return where libggml-base is, or None without llama.cpp."""
    folder = os.environ.get("ZEROPOINT_PEER")
    if folder is None:
        spec = importlib.util.find_spec("llama_cpp")
        if spec is None or spec.origin is None:
            return None
        folder = str(Path(spec.origin).parent / "lib")
    return next(Path(folder).glob("libggml-base.*"), None)


@cache
def library() -> Any:
    """Return the loaded library."""
    path = library_path()
    if path is None:
        raise RuntimeError("llama.cpp is not installed: make test-peer installs it")
    ggml = ctypes.CDLL(str(path))
    ggml.ggml_get_type_traits.restype = ctypes.POINTER(TypeTraits)
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    pointer, count = ctypes.c_void_p, ctypes.c_int64
    ggml.ggml_quantize_chunk.argtypes = [
        *(ctypes.c_int, pointer, pointer, count, count, count, pointer)
    ]
    ggml.ggml_quantize_init.argtypes = [ctypes.c_int]
    return ggml


def decode(kind: int, blocks: U8, block_size: int) -> F32:
    """Decode (n, block_bytes) with ggml's to_float of type number `kind`: (n, block_size)."""
    traits = library().ggml_get_type_traits(kind).contents
    assert (traits.block_size, traits.block_bytes) == (block_size, blocks.shape[1])
    weights = np.empty((len(blocks), block_size), np.float32)
    blocks = np.ascontiguousarray(blocks)
    traits.to_float(blocks.ctypes.data, weights.ctypes.data, weights.size)
    return weights


def encode(kind: int, weights: F32, importance: F32 | None, shape: tuple[int, int]) -> U8:
    """Encode (rows, columns) with ggml_quantize_chunk: (rows · columns / size, bytes)."""
    block_size, block_bytes = shape
    rows, columns = weights.shape
    blocks = np.zeros((rows * columns // block_size, block_bytes), np.uint8)
    library().ggml_quantize_init(kind)
    given = None if importance is None else importance.ctypes.data
    library().ggml_quantize_chunk(
        kind, weights.ctypes.data, blocks.ctypes.data, 0, rows, columns, given
    )
    return blocks
