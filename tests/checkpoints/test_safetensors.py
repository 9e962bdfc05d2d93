"""safetensors: the library is the judge of what we write, and wrote what we read."""

import json
import struct

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy as judge

from zeropoint.checkpoints import NewTensor, create_checkpoint, open_checkpoint
from zeropoint.checkpoints.dtypes import DTYPES
from zeropoint.errors import CheckpointError, FormatError
from zeropoint.formats import FORMATS

KNOWN = {  # what the library's numpy side can make
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "int16": "I16", "uint16": "U16",
    "float16": "F16", "int32": "I32", "uint32": "U32", "float32": "F32", "float64": "F64",
    "int64": "I64", "uint64": "U64", "complex64": "C64", "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0",
}  # fmt: skip


def numpy_type(name):
    return np.dtype(getattr(ml_dtypes, name, None) or name)


def arrays(seed=0):
    random = np.random.default_rng(seed)
    made = {}
    for index, name in enumerate(KNOWN):
        dtype = numpy_type(name)
        data = random.integers(0, 2 if name == "bool" else 255, (3, index + 1, dtype.itemsize))
        made[f"model.{name}"] = data.astype(np.uint8).view(dtype).reshape(3, index + 1)
    made["scalar"] = np.array(1.5, np.float32)
    made["empty"] = np.zeros((0, 4), np.float16)
    return made


def copy(source, target, **options):
    with (
        open_checkpoint(source) as read,
        create_checkpoint(target, list(read.tensors.values()), read.metadata, **options) as writer,
    ):
        for name in read.tensors:
            writer.write(name, read.read(name))
    return target


def test_a_file_of_the_library_is_read_and_written_back_byte_for_byte(tmp_path):
    path = tmp_path / "theirs.safetensors"
    judge.save_file(arrays(), path, metadata={"format": "pt"})
    with open_checkpoint(path) as read:
        assert dict(read.metadata) == {"format": "pt"}
        for name, array in arrays().items():
            assert read.tensors[name].shape == array.shape
            assert read.read(name).data.tobytes() == array.tobytes()
            if array.dtype.name in KNOWN:
                assert read.tensors[name].format.name == KNOWN[array.dtype.name]
    assert copy(path, tmp_path / "ours.safetensors").read_bytes() == path.read_bytes()


def test_the_library_reads_what_we_write_in_any_order(tmp_path):
    made = arrays()
    tensors = [
        NewTensor(name, array.shape, DTYPES[KNOWN[array.dtype.name]])
        for name, array in made.items()
    ]
    path = tmp_path / "a.safetensors"
    with create_checkpoint(path, tensors, {"b": "1", "a": 'ü\n"'}) as writer:
        for name, array in made.items():
            writer.write(name, np.frombuffer(array.tobytes(), np.uint8))
    theirs = dict(safetensors.deserialize(path.read_bytes()))
    assert theirs.keys() == made.keys()
    for name, array in made.items():
        assert theirs[name]["data"] == array.tobytes()
        assert theirs[name]["shape"] == list(array.shape)
        assert theirs[name]["dtype"] == KNOWN[array.dtype.name]


@pytest.mark.parametrize("name", [n for n in KNOWN if n not in ("complex64", "float8_e8m0fnu")])
def test_plain_types_decode_to_their_numbers(name):
    dtype = numpy_type(name)
    data = np.random.default_rng(1).integers(0, 256, (4096, dtype.itemsize), dtype=np.uint8)
    if name == "bool":
        data &= 1
    decoded = DTYPES[KNOWN[name]].decode_blocks(data)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(decoded, data.view(dtype).astype(np.float32))


def test_types_that_are_only_carried_say_so():
    for name in ("C64", "F4", "F8_E8M0"):
        with pytest.raises(FormatError, match=name):
            DTYPES[name].decode_blocks(np.zeros((1, DTYPES[name].block_bytes), np.uint8))
    with pytest.raises(FormatError, match="U8"):
        DTYPES["U8"].encode_blocks(np.zeros((1, 1), np.float32))


def test_types_of_less_than_a_byte_are_carried(tmp_path):
    header = json.dumps(
        {
            "a": {"dtype": "F4", "shape": [3, 2], "data_offsets": [0, 3]},
            "b": {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [3, 6]},
        }
    ).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"abcdef")
    with open_checkpoint(tmp_path / "a.safetensors") as read:
        assert [t.nbytes for t in read.tensors.values()] == [3, 3]
        assert read.read_rows("a", 1, 3).data.tobytes() == b"bc"


def test_shards_and_their_index_are_a_folder_that_opens(tmp_path):
    whole = tmp_path / "whole.safetensors"
    judge.save_file(arrays(), whole)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama", "eps": 1e-6, "x": [1, null]}')
    with open_checkpoint(whole) as read:
        tensors = list(read.tensors.values())
        target = folder / "model.safetensors"
        with create_checkpoint(target, tensors, {}, max_shard_bytes=600) as writer:
            for tensor in tensors:
                writer.write(tensor.name, read.read(tensor.name))
    assert len(writer.files) > 3
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in tensors)
    for path in (folder, folder / "model.safetensors.index.json"):
        with open_checkpoint(path) as read:
            assert dict(read.metadata) == {"model_type": "llama", "eps": 1e-6, "x": [1, None]}
            assert sorted(read.tensors) == sorted(t.name for t in tensors)
            for name, array in arrays().items():
                assert read.read(name).data.tobytes() == array.tobytes()
                assert index["weight_map"][name] == read.tensors[name].file.name


def test_a_folder_opens_by_what_is_in_it(tmp_path):
    with pytest.raises(CheckpointError, match="has no GGUF file"):
        open_checkpoint(tmp_path)
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(CheckpointError, match="pickles can run code"):
        open_checkpoint(tmp_path)
    judge.save_file(arrays(), tmp_path / "weights.safetensors")
    assert len(open_checkpoint(tmp_path).tensors) == len(arrays())
    tensors = [NewTensor("a", (2,), FORMATS["F32"]), NewTensor("b", (2,), FORMATS["F32"])]
    with create_checkpoint(tmp_path / "m.gguf", tensors, {}, max_shard_bytes=1) as writer:
        for tensor in tensors:
            writer.write(tensor.name, np.zeros(8, np.uint8))
    opened = open_checkpoint(tmp_path)
    assert (opened.kind, len(opened.files), opened.path) == ("gguf", 2, tmp_path)
    (tmp_path / "other.gguf").touch()
    with pytest.raises(CheckpointError, match="several models"):
        open_checkpoint(tmp_path)
    judge.save_file(arrays(), tmp_path / "model.safetensors")
    assert open_checkpoint(tmp_path).kind == "safetensors"


def test_files_without_a_telling_name_open_by_their_content(tmp_path):
    judge.save_file(arrays(), tmp_path / "0af3")
    assert open_checkpoint(tmp_path / "0af3").kind == "safetensors"
    with create_checkpoint(tmp_path / "a.gguf", [], {}):
        pass
    (tmp_path / "a.gguf").rename(tmp_path / "0af4")
    assert open_checkpoint(tmp_path / "0af4").kind == "gguf"
    (tmp_path / "x.bin").write_bytes(b"\x80\x02junk")
    with pytest.raises(CheckpointError, match="pickles"):
        open_checkpoint(tmp_path / "x.bin")


@pytest.mark.parametrize(
    ("tensors", "metadata", "reason"),
    [
        ([NewTensor("a", (256,), FORMATS["Q4_K"])], {}, "no type Q4_K"),
        ([NewTensor("__metadata__", (1,), FORMATS["F32"])], {}, "no name"),
        ([], {"a": 1}, "must be strings"),
        ([NewTensor("a", (1,), FORMATS["F32"])] * 2, {}, "two tensors"),
    ],
)
def test_what_safetensors_cannot_say_is_refused(tmp_path, tensors, metadata, reason):
    with pytest.raises(CheckpointError, match=reason):
        create_checkpoint(tmp_path / "a.safetensors", tensors, metadata)
