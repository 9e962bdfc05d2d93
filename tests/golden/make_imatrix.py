"""Write `imatrix.gguf` with ggml's own writer, called as llama.cpp's `llama-imatrix` calls it.

Run with a Python that has llama-cpp-python (0.3.36 made the file that is checked in):

    python tests/golden/make_imatrix.py [OUTPUT]

Nothing of zeropoint runs. The numbers are those of `contents`, which the test repeats.
"""

import ctypes
import sys
from pathlib import Path

import llama_cpp
import numpy as np

HERE = Path(__file__).resolve().parent
LIBRARIES = Path(llama_cpp.__file__).parent / "lib"


class InitParams(ctypes.Structure):
    """ggml_init_params."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("buffer", ctypes.c_void_p),
        ("no_alloc", ctypes.c_bool),
    )


def contents() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name → sums (matrices, columns) and counts (matrices,): dense, experts, one never asked."""
    random = np.random.default_rng(3)
    return {
        "blk.0.attn_q.weight": (random.random((1, 5)), np.array([1024])),
        "blk.10.ffn_up_exps.weight": (random.random((3, 4)), np.array([700, 0, 324])),
        "blk.2.ffn_down.weight": (np.array([[0.0, 1e-30, 3e38]]), np.array([1024])),
        "output.weight": (random.random((1, 2)), np.array([2])),
    }


def main() -> None:
    """Write the file."""
    ggml = ctypes.CDLL(str(LIBRARIES / "libggml-base.so"))
    for name in ("ggml_init", "gguf_init_empty", "ggml_new_tensor_2d", "ggml_get_data"):
        getattr(ggml, name).restype = ctypes.c_void_p
    context = ctypes.c_void_p(ggml.ggml_init(InitParams(1 << 20, None, False)))
    file = ctypes.c_void_p(ggml.gguf_init_empty())
    ggml.gguf_set_val_str(file, b"general.type", b"imatrix")
    names = (ctypes.c_char_p * 2)(b"first.txt", b"zwei.txt")
    ggml.gguf_set_arr_str(file, b"imatrix.datasets", names, ctypes.c_size_t(2))
    ggml.gguf_set_val_u32(file, b"imatrix.chunk_count", ctypes.c_uint32(2))
    ggml.gguf_set_val_u32(file, b"imatrix.chunk_size", ctypes.c_uint32(512))
    for name, (sums, counts) in sorted(contents().items()):
        for suffix, values in ((".in_sum2", sums), (".counts", counts[:, None])):
            matrices, columns = values.shape
            tensor = ctypes.c_void_p(
                ggml.ggml_new_tensor_2d(
                    context, 0, ctypes.c_int64(columns), ctypes.c_int64(matrices)
                )
            )
            ggml.ggml_set_name(tensor, (name + suffix).encode())
            data = np.ascontiguousarray(values, np.float32)
            ctypes.memmove(ggml.ggml_get_data(tensor), data.ctypes.data, data.nbytes)
            ggml.gguf_add_tensor(file, tensor)
    output = sys.argv[1] if sys.argv[1:] else str(HERE / "imatrix.gguf")
    ggml.gguf_write_to_file(file, output.encode(), ctypes.c_bool(False))


if __name__ == "__main__":
    main()
