"""A valid file is never refused, however large or odd it is."""

import json
import os

import numpy as np
import pytest

from support.malformed import meaning
from support.malformed.build import array, entry, head, header_json, key, padded, tensor, text, u32
from zeropoint.checkpoints import NewTensor, StringArray, create_checkpoint, open_checkpoint
from zeropoint.formats import FORMATS, GGML_TYPES


def opened(folder, data, name="a.gguf"):
    (folder / name).write_bytes(data)
    return open_checkpoint(folder / name)


def test_an_empty_model(tmp_path):  # llama.cpp: HEADER_EMPTY
    for version in (2, 3):
        assert not opened(tmp_path, head(0, 0, version)).tensors


def test_every_type_of_value(tmp_path):  # llama.cpp: KV_SUCCESS
    sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
    keys = [key(f"k{kind}", kind, b"\1" * size) for kind, size in sizes.items()]
    keys += [key(f"a{kind}", 9, array(kind, 3, b"\1" * 3 * size)) for kind, size in sizes.items()]
    keys += [key(f"e{kind}", 9, array(kind, 0)) for kind in (*sizes, 8, 9)]
    keys += [key("s", 8, text("")), key("as", 9, array(8, 2, text("") + text("\0")))]
    deep = array(9, 1, array(9, 2, array(9, 1, array(0, 1, b"\7")) + array(9, 0)))
    keys += [key("deep", 9, deep), key("nan", 6, b"\1\0\x80\x7f"), key("x" * 65_535, 0, b"\0")]
    read = opened(tmp_path, head(0, len(keys)) + b"".join(keys))
    assert len(read.metadata) == len(keys)
    assert read.metadata["k2"] == 257
    assert read.metadata["a3"].tolist() == [257] * 3


def test_a_model_whose_keys_agree_with_its_tensors(tmp_path):
    for changes in ({}, {"llama.block_count": None}, {"tokenizer.ggml.tokens": None}):
        parts = [part for part in meaning.model(changes) if isinstance(part, bytes)]
        assert len(opened(tmp_path, b"".join(parts)).tensors) == 3
    # Other kinds of models have other settings: Mamba has no heads.
    other = {"general.architecture": (8, text("mamba")), "llama.block_count": meaning.number(0)}
    parts = [part for part in meaning.model(other) if isinstance(part, bytes)]
    assert len(opened(tmp_path, b"".join(parts)).tensors) == 3


def test_tensors_of_no_weights(tmp_path):  # llama.cpp: TENSORS_ZERO_DIM
    table = tensor("a", (4, 0)) + tensor("b", (0, 7), 8) + tensor("c", (32, 0, 3), 2)
    read = opened(tmp_path, padded(head(3, 0) + table))
    assert [t.shape for t in read.tensors.values()] == [(0, 4), (7, 0), (3, 0, 32)]
    for name in "abc":
        assert read.read(name).data.size == 0


def test_tensors_and_data(tmp_path):  # llama.cpp: TENSORS_SUCCESS, DATA_SUCCESS
    table = tensor("a", (3, 2)) + tensor("b", (32,), 8, 32) + tensor("c", (), 1, 96)
    data = padded(head(3, 0) + table) + padded(bytes(24)) + padded(bytes(34)) + bytes(2)
    for tail in (0, 1, 30):  # the padding behind the last tensor may be there or not
        assert len(opened(tmp_path, data + bytes(tail)).tensors) == 3


@pytest.mark.parametrize("power", range(21))  # llama.cpp: TENSORS_CUSTOM_ALIGN, DATA_CUSTOM_ALIGN
def test_every_alignment(tmp_path, power):
    alignment = 2**power
    second = -(-4 // alignment) * alignment
    table = (
        key("general.alignment", 4, u32(alignment))
        + tensor("a", (1,))
        + tensor("b", (1,), 0, second)
    )
    data = padded(head(2, 1) + table, alignment) + padded(b"abcd", alignment) + b"efgh"
    read = opened(tmp_path, data)
    assert read.read("b").data.tobytes() == b"efgh"
    target = tmp_path / "copy.gguf"
    with create_checkpoint(target, list(read.tensors.values()), read.metadata) as writer:
        for name in read.tensors:
            writer.write(name, read.read(name))
    assert target.read_bytes() == padded(data, alignment)


def test_a_vocabulary_of_262144_and_520000_merges(tmp_path):
    tokens = [f"▁token{n}" * (n % 5) for n in range(262_144)]
    merges = [f"Ġa{n % 977} b{n}" for n in range(520_000)]
    metadata = {
        "tokenizer.ggml.tokens": StringArray.of(tokens),
        "tokenizer.ggml.merges": StringArray.of(merges),
        "tokenizer.ggml.scores": np.arange(262_144, dtype=np.float32),
    }
    with create_checkpoint(tmp_path / "a.gguf", [], metadata):
        pass
    read = open_checkpoint(tmp_path / "a.gguf").metadata
    assert list(read["tokenizer.ggml.tokens"]) == tokens
    assert list(read["tokenizer.ggml.merges"]) == merges
    np.testing.assert_array_equal(read["tokenizer.ggml.scores"], metadata["tokenizer.ggml.scores"])


@pytest.mark.parametrize("suffix", ["gguf", "safetensors"])
def test_100000_tensors(tmp_path, suffix):
    tensors = [NewTensor(f"blk.{n}.weight", (1,), FORMATS["F32"]) for n in range(100_000)]
    path = tmp_path / f"a.{suffix}"
    writer = create_checkpoint(path, tensors, {})
    data = np.zeros(writer.file_bytes, np.uint8)
    (header,) = (file.header for file in writer.plan.files)
    data[: len(header)] = np.frombuffer(header, np.uint8)
    path.write_bytes(data)  # 100,000 writes would take longer than they tell
    assert len(open_checkpoint(path).tensors) == 100_000


def test_256_experts_and_names_of_63_bytes(tmp_path):
    name = "blk.0." + "ä" * 28 + "x"
    table = tensor(name, (32, 2, 256), 8)
    read = opened(tmp_path, padded(head(1, 0) + table) + bytes(2 * 256 * 34))
    assert read.tensors[name].shape == (256, 2, 32)
    assert read.read_rows(name, 511, 512).data.shape == (1, 34)


@pytest.mark.parametrize(
    "header",
    [
        b"{}",
        b"  \n{ }\t\r\n",
        b'{"__metadata__":{}}',
        b'{"__metadata__":{"a":"\\u00e4\\n\\"\\ud83d\\ude42","b":""}}',
        b'{"a":{"shape":[],"data_offsets":[0,4],"dtype":"F32"}}',
        b'{ "a" : { "dtype" : "F32" , "shape" : [ 1 , 1 ] , "data_offsets" : [ 0 , 4 ] } }',
        b'{"\\u0061":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}}',
        b'{"b":{"dtype":"F16","shape":[1],"data_offsets":[2,4]},"a":{"dtype":"U8","shape":[2],'
        b'"data_offsets":[0,2]}}',
        b'{"e":{"dtype":"F64","shape":[0,9],"data_offsets":[0,0]},'
        b'"a":{"dtype":"F8_E4M3","shape":[2,2],"data_offsets":[0,4]}}',
        b'{"a/../b":{"dtype":"BOOL","shape":[1,1,1,1,1,1,1,4],"data_offsets":[0,4]}}',
    ],
)
def test_odd_but_valid_safetensors(tmp_path, header):
    data = b"" if b"dtype" not in header else b"abcd"
    read = opened(tmp_path, header_json(header) + data, "a.safetensors")
    assert sum(t.nbytes for t in read.tensors.values()) == len(data)


def test_what_an_index_says_about_sizes_is_not_used(tmp_path):
    (tmp_path / "m.safetensors").write_bytes(header_json({"a": entry()}) + bytes(4))
    for total in (0, -1, 10**18, 1.5, "many", None, [{"a": [1, "]"]}]):
        index = {"metadata": {"total_size": total}, "weight_map": {"a": "m.safetensors"}, "x": {}}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        assert list(open_checkpoint(tmp_path).tensors) == ["a"]


def test_a_snapshot_of_the_hubs_cache_leads_to_its_blobs(tmp_path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "0123"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    files = {
        "model.safetensors.index.json": json.dumps({"weight_map": {"a": "m.safetensors"}}).encode(),
        "m.safetensors": header_json({"a": entry()}) + bytes(4),
        "config.json": b'{"model_type": "llama"}',
    }
    for number, (name, data) in enumerate(files.items()):
        (blobs / str(number)).write_bytes(data)
        os.symlink(f"../../blobs/{number}", snapshot / name)
    read = open_checkpoint(snapshot)
    assert (list(read.tensors), read.metadata["model_type"]) == (["a"], "llama")


@pytest.mark.parametrize("number", list(GGML_TYPES))
def test_every_type_of_ggml_is_read(tmp_path, number):
    format = GGML_TYPES[number]
    table = tensor("a", (2 * format.block_size, 3), number)
    data = np.random.default_rng(0).bytes(6 * format.block_bytes)
    read = opened(tmp_path, padded(head(1, 0) + table) + data)
    assert read.read("a").format is format
    assert read.read("a").data.tobytes() == data
    assert read.read_rows("a", 1, 2).data.tobytes() == data[len(data) // 3 : 2 * len(data) // 3]
