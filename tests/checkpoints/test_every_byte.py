"""Files cut at every byte, and with every single bit of their headers turned."""

import os
import time

import numpy as np
import pytest

from zeropoint.checkpoints import NewTensor, StringArray, create_checkpoint, open_checkpoint
from zeropoint.checkpoints import values as v
from zeropoint.errors import CheckpointError
from zeropoint.formats import FORMATS

METADATA = {
    "general.architecture": "llama",
    "general.alignment": v.UInt32(32),
    "llama.block_count": v.UInt32(1),
    "llama.rope": v.Float32(1e4),
    "llama.wide": v.UInt64(7),
    "tokenizer.ggml.add_bos": True,
    "tokenizer.ggml.tokens": StringArray.of(["<s>", "ä", "", "hello"]),
    "tokenizer.ggml.scores": np.arange(4, dtype=np.float32),
    "tokenizer.ggml.flags": np.array([True, False]),
    "nested": [np.arange(2, dtype=np.int16), StringArray.of(["x"])],
}
TENSORS = [
    NewTensor("token_embd.weight", (4, 32), FORMATS["Q8_0"]),
    NewTensor("blk.0.attn_q.weight", (2, 64), FORMATS["Q4_0"]),
    NewTensor("output_norm.weight", (5,), FORMATS["F32"]),
]
PLAIN = [
    NewTensor("model.embed_tokens.weight", (4, 8), FORMATS["BF16"]),
    NewTensor("model.norm.weight", (5,), FORMATS["F32"]),
    NewTensor("ä", (), FORMATS["F16"]),
]


@pytest.fixture(params=["gguf", "safetensors"])
def small(request, tmp_path):
    """A valid file of each kind, its path and how many bytes of it are header."""
    path = tmp_path / f"small.{request.param}"
    tensors = TENSORS if request.param == "gguf" else PLAIN
    metadata = METADATA if request.param == "gguf" else {"format": "pt", "a": "b"}
    with create_checkpoint(path, tensors, metadata) as writer:
        for tensor in tensors:
            size = int(np.prod(tensor.shape)) // tensor.format.block_size
            writer.write(tensor.name, np.full(size * tensor.format.block_bytes, 7, np.uint8))
    return path, len(writer.plan.files[0].header)


def use(path):
    """Open a file and touch all that it says."""
    with open_checkpoint(path) as read:
        for value in read.metadata.values():
            repr(value)
            list(value) if isinstance(value, StringArray) else None
        for name, tensor in read.tensors.items():
            assert read.read(name).data.nbytes == tensor.nbytes


def test_the_small_files_are_valid(small):
    use(small[0])


def test_a_file_cut_at_any_byte_is_refused(small):
    path, _ = small
    size = path.stat().st_size
    # The bytes after the last tensor are padding, which a file may lack.
    end = max(t.offset + t.nbytes for t in open_checkpoint(path).tensors.values())
    accepted = []
    for cut in range(size - 1, -1, -1):
        os.truncate(path, cut)
        try:
            use(path)
            accepted.append(cut)
        except CheckpointError as error:
            assert error.offset is not None and 0 <= error.offset <= cut, cut
    assert accepted == list(range(size - 1, end - 1, -1))


def test_any_single_bit_turned_in_a_header_is_read_or_refused(small):
    path, header = small
    data = bytearray(path.read_bytes())
    refused = 0
    slowest = 0.0
    with path.open("r+b", buffering=0) as file:
        for bit in range(8 * header):
            at = bit // 8
            file.seek(at)
            file.write(bytes([data[at] ^ 1 << bit % 8]))
            began = time.perf_counter()
            try:
                use(path)
            except CheckpointError as error:
                refused += 1
                assert len(str(error)) <= 290 and str(error).isprintable()
            slowest = max(slowest, time.perf_counter() - began)
            file.seek(at)
            file.write(data[at : at + 1])
    assert slowest < 2
    assert refused > 3 * header  # most turns break something; the rest are other names and numbers
    assert path.read_bytes() == data


def test_random_bytes_in_a_header_are_read_or_refused(small):
    path, header = small
    good = path.read_bytes()
    random = np.random.default_rng(0)
    with path.open("r+b", buffering=0) as file:
        for _ in range(1000):
            data = bytearray(good[:header])
            for _ in range(random.integers(1, 8)):
                at = int(random.integers(0, header - 8))
                length = int(random.integers(1, 9))
                data[at : at + length] = random.bytes(length)
            file.seek(0)
            file.write(data)
            try:
                use(path)
            except CheckpointError as error:
                assert len(str(error)) <= 290 and str(error).isprintable()
