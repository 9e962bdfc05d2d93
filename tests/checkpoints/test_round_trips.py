"""Write → read → write gives the same file, and other readers see the same content."""

import hashlib
from pathlib import Path

import gguf
import numpy as np
import pytest

from zeropoint.checkpoints import NewTensor, StringArray, create_checkpoint, open_checkpoint
from zeropoint.checkpoints import values as v
from zeropoint.errors import CheckpointError
from zeropoint.formats import FORMATS

ALL_VALUES = {
    "general.architecture": "llama",
    "a.u8": v.UInt8(255),
    "a.i8": v.Int8(-128),
    "a.u16": v.UInt16(65535),
    "a.i16": v.Int16(-32768),
    "a.u32": v.UInt32(2**32 - 1),
    "a.i32": v.Int32(-(2**31)),
    "a.f32": v.Float32(np.float32(0.1)),
    "a.bool": True,
    "a.string": "ä \x00 🙂",
    "a.u64": v.UInt64(2**64 - 1),
    "a.i64": v.Int64(-(2**63)),
    "a.f64": v.Float64(0.1),
    "a.u8s": np.arange(5, dtype=np.uint8),
    "a.f64s": np.array([np.nan, np.inf, -0.0]),
    "a.bools": np.array([True, False, True]),
    "a.none": np.empty(0, np.int16),
    "a.strings": StringArray.of(["", "é", "x" * 300, "", "y" * 70_000, "z"]),
    "a.nested": [StringArray.of(["a"]), np.arange(2, dtype=np.int64), [np.zeros(1, np.float32)]],
}
TENSORS = [
    NewTensor("token_embd.weight", (5, 64), FORMATS["Q8_0"]),
    NewTensor("scalar", (), FORMATS["F32"]),
    NewTensor("nothing", (3, 0), FORMATS["F32"]),
    NewTensor("blk.0.norm", (7,), FORMATS["F32"]),
    NewTensor("blk.0.experts", (2, 3, 4, 256), FORMATS["Q4_K"]),
]


def blocks(tensors, seed=0):
    random = np.random.default_rng(seed)
    for tensor in tensors:
        count = int(np.prod(tensor.shape)) // tensor.format.block_size
        yield tensor, random.integers(0, 256, (count, tensor.format.block_bytes), dtype=np.uint8)


def write(path, metadata=ALL_VALUES, tensors=TENSORS, **options):
    with create_checkpoint(path, tensors, metadata, **options) as writer:
        for tensor, data in blocks(tensors):
            writer.write(tensor.name, data)
    return path


def copy(source, target, **options):
    with (
        open_checkpoint(source) as read,
        create_checkpoint(target, list(read.tensors.values()), read.metadata, **options) as writer,
    ):
        for name in read.tensors:
            writer.write(name, read.read(name))
    return target


def test_write_read_write_gives_the_same_bytes(tmp_path):
    first = write(tmp_path / "a.gguf")
    second = copy(first, tmp_path / "b.gguf")
    assert first.read_bytes() == second.read_bytes()


def test_every_tensor_comes_back_as_it_was_written(tmp_path):
    with open_checkpoint(write(tmp_path / "a.gguf")) as read:
        assert list(read.tensors) == [tensor.name for tensor in TENSORS]
        for tensor, data in blocks(TENSORS):
            back = read.read(tensor.name)
            assert (back.format, back.shape) == (tensor.format, tensor.shape)
            np.testing.assert_array_equal(back.data, data)
            np.testing.assert_array_equal(read.map(tensor.name).data, data)
        assert read.file_bytes == read.path.stat().st_size


def test_row_slabs_are_the_rows_of_the_whole(tmp_path):
    with open_checkpoint(write(tmp_path / "a.gguf")) as read:
        for name, tensor in read.tensors.items():
            whole = read.read(name).data
            for start in range(tensor.rows):
                slab = read.read_rows(name, start, tensor.rows)
                assert slab.shape == (tensor.rows - start, tensor.columns)
                per_row = len(whole) // tensor.rows
                np.testing.assert_array_equal(slab.data, whole[start * per_row :])
        with pytest.raises(IndexError):
            read.read_rows("scalar", 0, 2)


def test_slabs_and_wholes_write_the_same_file(tmp_path):
    whole = write(tmp_path / "a.gguf").read_bytes()
    with create_checkpoint(tmp_path / "b.gguf", TENSORS, ALL_VALUES) as writer:
        for tensor, data in blocks(TENSORS):
            for start in range(0, max(len(data), 1), 2):
                writer.write(tensor.name, data[start : start + 2])
    assert (tmp_path / "b.gguf").read_bytes() == whole


@pytest.mark.parametrize("most", [1, 700, 3000, 5000])
def test_shards_hold_what_the_whole_holds(tmp_path, most):
    whole = write(tmp_path / "a.gguf")
    with create_checkpoint(
        tmp_path / "s.gguf", TENSORS, ALL_VALUES, max_shard_bytes=most
    ) as writer:
        for tensor, data in blocks(TENSORS):
            writer.write(tensor.name, data)
    assert len(writer.files) > 1
    assert sorted(tmp_path.glob("*s*")) == sorted(writer.files)
    for shard in writer.files:  # any of them opens the set
        joined = copy(shard, tmp_path / "joined.gguf")
        assert joined.read_bytes() == whole.read_bytes()


def test_a_split_that_fits_is_one_plain_file(tmp_path):
    path = write(tmp_path / "a.gguf", max_shard_bytes=10**9)
    assert path.read_bytes() == write(tmp_path / "b.gguf").read_bytes()


def test_gguf_py_reads_what_we_write(tmp_path):
    simple = {k: value for k, value in ALL_VALUES.items() if k != "a.nested"}
    theirs = gguf.GGUFReader(write(tmp_path / "a.gguf", simple))
    for key, value in simple.items():
        found = theirs.fields[key].contents()
        np.testing.assert_array_equal(np.array(found), np.array(value))
    for tensor, data in blocks(TENSORS):
        found = next(t for t in theirs.tensors if t.name == tensor.name)
        assert list(reversed(found.shape.tolist())) == list(tensor.shape)
        assert found.tensor_type.name == tensor.format.name
        assert found.data.tobytes() == data.tobytes()


def test_a_file_of_gguf_py_is_read_and_written_back_byte_for_byte(tmp_path):
    path = tmp_path / "theirs.gguf"
    theirs = gguf.GGUFWriter(path, "llama")
    theirs.add_uint32("llama.block_count", 2)
    theirs.add_array("tokenizer.ggml.tokens", ["a", "bc", "ä"])
    theirs.add_array("tokenizer.ggml.scores", [0.5, -1.5])
    theirs.add_bool("tokenizer.ggml.add_bos_token", False)
    random = np.random.default_rng(0)
    for name, shape in (("a", (3, 5)), ("b", (2, 3, 4)), ("c", (1,))):
        theirs.add_tensor(name, random.normal(size=shape).astype(np.float32))
    theirs.write_header_to_file()
    theirs.write_kv_data_to_file()
    theirs.write_tensors_to_file()
    theirs.close()
    assert copy(path, tmp_path / "ours.gguf").read_bytes() == path.read_bytes()


def test_values_without_a_type_take_what_llama_cpp_expects():
    for value, kind in (
        (3, "u32"), (-3, "i32"), (2**40, "u64"), (-(2**40), "i64"), (0.5, "f32"), (True, "bool"),
        ("x", "str"), (np.float64(0.5), "f64"), (np.int16(3), "i16"), (["a"], "array"),
    ):  # fmt: skip
        assert v.TYPE_NAMES[v.encode_value(value)[0]] == kind


@pytest.mark.parametrize("value", [[], [1, "a"], {}, None, np.zeros((2, 2)), np.zeros(1, "c8")])
def test_what_gguf_cannot_store_is_refused_by_key(tmp_path, value):
    with pytest.raises(CheckpointError, match=r"a\.gguf: 'general\.x': "):
        create_checkpoint(tmp_path / "a.gguf", [], {"general.x": value})


def test_the_same_input_gives_the_same_file(tmp_path):
    digests = {
        hashlib.sha256(write(tmp_path / n).read_bytes()).digest() for n in ("a.gguf", "b.gguf")
    }
    assert len(digests) == 1


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    target = write(tmp_path / "real" / "a.gguf")
    link = tmp_path / "link.gguf"
    link.symlink_to(target)
    write(link, {"general.architecture": "other"})
    assert link.is_symlink()
    assert open_checkpoint(target).metadata["general.architecture"] == "other"


def test_the_mode_is_what_the_umask_leaves(tmp_path):
    (tmp_path / "plain").touch()
    path = write(tmp_path / "a.gguf")
    assert path.stat().st_mode == Path(tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("limit", [None, 900])
def test_metadata_of_the_same_length_can_be_known_last(tmp_path, limit):
    def metadata(word):
        return {"general.architecture": "llama", "general.hash": word}

    late = tmp_path / "late.gguf"
    with create_checkpoint(late, TENSORS, metadata("0000"), max_shard_bytes=limit) as writer:
        for tensor, data in blocks(TENSORS):
            writer.write(tensor.name, data)
        with pytest.raises(ValueError, match="has another length"):
            writer.restate(metadata("longer" * 100))
        writer.restate(metadata("beef"))
    assert len(writer.files) == (1 if limit is None else 2)
    early = tmp_path / "early.gguf"
    write(early, metadata("beef"), max_shard_bytes=limit)
    for file in writer.files:
        again = file.with_name(file.name.replace("late", "early"))
        assert file.read_bytes() == again.read_bytes()


def test_a_link_of_any_name_is_replaced_through_it(tmp_path):
    target = tmp_path / "blob"
    target.write_bytes(b"old")
    (tmp_path / "a.gguf").symlink_to(target)
    with create_checkpoint(tmp_path / "a.gguf", [], {"general.name": "x"}) as writer:
        writer.restate({"general.name": "y"})
    assert open_checkpoint(target).metadata["general.name"] == "y"
    assert {path.name for path in tmp_path.iterdir()} == {"blob", "a.gguf"}
