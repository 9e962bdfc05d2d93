"""All differences between other readers and ours are listed here."""

import ctypes

import numpy as np
import pytest
import safetensors

from support import ggml_peer
from support.malformed import GGUF_CASES, SAFETENSORS_CASES
from zeropoint.checkpoints import NewTensor, StringArray, create_checkpoint, open_checkpoint
from zeropoint.checkpoints import values as v
from zeropoint.errors import CheckpointError
from zeropoint.formats import FORMATS

# Inputs that the safetensors library accepts and zeropoint refuses.
LIBRARY_TAKES = {
    "name: a NUL, escaped",
    "name: empty",
    "name: a terminal's escape",
    "twice: tensor",  # of the same bytes: the second one wins
    "entry with a fourth field",
}
# Inputs that llama.cpp (2026-10-01) accepts and zeropoint refuses; one case makes llama.cpp abort.
LLAMA_TAKES = {
    "bool 2",
    "bool 255 in an array",
    "key: a NUL",
    "key: not ASCII",
    "key: a line end",
    "key: an escape",
    "key: not UTF-8",
    "key of 65,536 bytes",
    "alignment 2097152",
    "alignment 2147483648",
    "tensor name: empty",
    "tensor name: a NUL",
    "tensor name: an escape",
    "tensor name: up",
    "tensor name: root",
    "tensor name: right to left",
    "name that is not UTF-8",
    "a character cut by the border of two strings",
    "product wraps: Q4_0 as in #27200",
    "product wraps: empty but for numpy",
    "1 bytes behind the end",
    "1000000 bytes behind the end",
    "bytes without a tensor",
    "not zero without a tensor",
    "type 9",  # Q8_1 and Q8_K: of activations, in no file
    "type 15",
}
LLAMA_ABORTS = "2e31 columns"


def library_opens(path):
    try:
        with safetensors.safe_open(path, "np") as file:
            return sorted(file.keys())
    except safetensors.SafetensorError:
        return None


def we_open(path):
    try:
        with open_checkpoint(path) as read:
            return sorted(read.tensors)
    except CheckpointError:
        return None


def turned(path, header):
    """Write the file with each bit of its header turned, one after the other."""
    data = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for bit in range(8 * header):
            at = bit // 8
            file.seek(at)
            file.write(bytes([data[at] ^ 1 << bit % 8]))
            yield bit
            file.seek(at)
            file.write(data[at : at + 1])


def small(path):
    tensors = [NewTensor("ab", (2, 32), FORMATS["F32"]), NewTensor("c", (5,), FORMATS["F16"])]
    metadata = {"format": "pt"}
    if path.suffix == ".gguf":
        tensors[0] = NewTensor("ab", (2, 32), FORMATS["Q8_0"])
        numbers = np.arange(3, dtype=np.int16)
        metadata = {"u": v.UInt32(1), "s": StringArray.of(["a", "ä"]), "n": numbers, "b": True}
    with create_checkpoint(path, tensors, metadata) as writer:
        for tensor, span in zip(tensors, writer.plan.files[0].spans, strict=True):
            writer.write(tensor.name, np.ones(span.nbytes, np.uint8))
    return len(writer.plan.files[0].header)


def test_the_safetensors_library_takes_nothing_else_that_we_refuse(tmp_path):
    takes = {case.name for case in SAFETENSORS_CASES if library_opens(case.make(tmp_path))}
    assert takes == LIBRARY_TAKES


def test_we_take_nothing_that_the_safetensors_library_refuses(tmp_path):
    path = tmp_path / "a.safetensors"
    refused = 0
    for bit in turned(path, small(path)):
        ours, theirs = we_open(path), library_opens(path)
        refused += ours is None
        assert ours is None or ours == theirs, bit
        # It takes names that do not print; apart from that, what it takes we take.
        assert ours or not theirs or not "".join(theirs).isprintable(), bit
    assert refused


@pytest.fixture
def llama_opens():
    library = ctypes.CDLL(str(ggml_peer.library_path()))

    class Parameters(ctypes.Structure):
        _fields_ = (("no_alloc", ctypes.c_bool), ("context", ctypes.c_void_p))

    library.gguf_init_from_file.restype = ctypes.c_void_p
    library.gguf_init_from_file.argtypes = (ctypes.c_char_p, Parameters)
    library.gguf_free.argtypes = (ctypes.c_void_p,)

    def opens(path):
        found = library.gguf_init_from_file(str(path).encode(), Parameters(True, None))
        library.gguf_free(found)
        return found is not None

    return opens


@pytest.mark.peer
def test_llama_cpp_takes_nothing_else_that_we_refuse(tmp_path, llama_opens):
    # It looks at headers only here: data that is short or padding that is not zero it cannot see.
    cases = [
        case
        for case in GGUF_CASES
        if case.name != LLAMA_ABORTS
        and not any(word in case.name for word in ("data", "padding", "larger than the file"))
    ]
    takes = {case.name for case in cases if llama_opens(case.make(tmp_path))}
    assert {name for name in takes if "not UTF-8" not in name} <= LLAMA_TAKES
    assert takes >= {"product wraps: Q4_0 as in #27200"}  # it shows what its name says


@pytest.mark.peer
def test_we_take_nothing_that_llama_cpp_refuses(tmp_path, llama_opens):
    path = tmp_path / "a.gguf"
    header = small(path)
    assert llama_opens(path)
    for bit in turned(path, header):
        assert we_open(path) is None or llama_opens(path), bit
