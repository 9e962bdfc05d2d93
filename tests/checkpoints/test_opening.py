"""Which of a folder's files are opened: transformers' order, and shards that need no index."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from support import hf_folders
from support.malformed.meaning import SOUND, model
from zeropoint.checkpoints import Checkpoint, NewTensor, create_checkpoint, open_checkpoint
from zeropoint.errors import CheckpointError
from zeropoint.formats import FORMATS

INDEX = "model.safetensors.index.json"


def write(path: Path, *names: str, value: int = 0) -> None:
    """Write a file with tensors of these names."""
    entries = [NewTensor(name, (4,), FORMATS["F32"]) for name in names]
    with create_checkpoint(path, entries, {}) as writer:
        for name in names:
            writer.write(name, np.full(16, value, np.uint8))


def write_index(folder: Path, **places: str) -> None:
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))


def names(opened: Checkpoint) -> list[str]:
    return [path.name for path in opened.files]


def test_a_complete_file_is_opened_beside_a_stale_index(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", "a")
    write_index(tmp_path, a="model-00001-of-00003.safetensors")
    assert names(open_checkpoint(tmp_path)) == ["model.safetensors"]


def test_transformers_opens_the_same_file_of_both(tmp_path: Path) -> None:
    import torch
    import transformers
    from safetensors.torch import load_file, save_file

    folder = hf_folders.make_folder("qwen2", tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    other = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
    save_file(other, folder / "model-00001-of-00001.safetensors", {"format": "pt"})
    write_index(folder, **dict.fromkeys(tensors, "model-00001-of-00001.safetensors"))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).state_dict()
    name = "model.layers.0.mlp.up_proj.weight"
    ours = open_checkpoint(folder).read(name).data.view("<f4")
    assert np.array_equal(theirs[name].float().numpy().reshape(-1), ours.reshape(-1))


def test_the_file_that_the_config_names_comes_first(tmp_path: Path) -> None:
    for name in ("model.safetensors", "other.safetensors"):
        write(tmp_path / name, "a")
    (tmp_path / "config.json").write_text('{"transformers_weights": "other.safetensors"}')
    assert names(open_checkpoint(tmp_path)) == ["other.safetensors"]
    (tmp_path / "config.json").write_text('{"transformers_weights": "../other.safetensors"}')
    assert names(open_checkpoint(tmp_path)) == ["model.safetensors"]


def test_shards_without_an_index_are_opened_as_one_model(tmp_path: Path) -> None:
    for number, name in enumerate("abc", 1):
        write(tmp_path / f"model-{number:05}-of-00003.safetensors", name, value=number)
    opened = open_checkpoint(tmp_path)
    assert list(opened.tensors) == ["a", "b", "c"] and len(opened.files) == 3
    assert opened.read("b").data.reshape(-1)[0] == 2
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks model-00002-of-00003\.safetensors"):
        open_checkpoint(tmp_path)


def test_a_tensor_in_two_shards_without_an_index_is_refused(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path / f"model-{number:05}-of-00002.safetensors", "a")
    with pytest.raises(CheckpointError, match="'a' is also in model-00001-of-00002"):
        open_checkpoint(tmp_path)


def test_an_index_of_absent_files_says_whether_it_is_stale(tmp_path: Path) -> None:
    write_index(tmp_path, a="x-00001-of-00002.safetensors", b="x-00002-of-00002.safetensors")
    with pytest.raises(CheckpointError, match=r"2 of the 2 .* missing\); the download is"):
        open_checkpoint(tmp_path)
    write(tmp_path / "x-00001-of-00002.safetensors", "a")
    with pytest.raises(CheckpointError, match=r"x-00002-of-00002.* \(1 of the 2 .* the download"):
        open_checkpoint(tmp_path)
    (tmp_path / "x-00001-of-00002.safetensors").rename(tmp_path / "whole.safetensors")
    with pytest.raises(CheckpointError, match="the index is stale: delete it"):
        open_checkpoint(tmp_path)
    (tmp_path / INDEX).unlink()
    assert names(open_checkpoint(tmp_path)) == ["whole.safetensors"]


def test_a_folder_with_a_model_and_an_adapter_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", "a")
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    assert names(open_checkpoint(tmp_path)) == ["model.safetensors"]  # a leftover of merging
    write(tmp_path / "adapter_model.safetensors", "b")
    with pytest.raises(CheckpointError, match="has a model and an adapter"):
        open_checkpoint(tmp_path)


def test_a_link_to_a_gguf_outside_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside.gguf").write_bytes(b"GGUF")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "m.gguf").symlink_to(tmp_path / "outside.gguf")
    with pytest.raises(CheckpointError, match="leads out of the folder"):
        open_checkpoint(tmp_path / "folder")


def test_null_metadata_is_no_metadata_as_for_the_library(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    text = b'{"__metadata__":null,"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    text += b" " * (-len(text) % 8)
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    assert list(load_file(path)) == ["a"]
    opened = open_checkpoint(path)
    assert list(opened.tensors) == ["a"] and not opened.metadata
    path.write_bytes(path.read_bytes().replace(b"null", b"nulL"))
    with pytest.raises(CheckpointError, match="byte"):
        open_checkpoint(path)


def test_an_embedding_with_three_axes_names_the_byte_of_its_entry(tmp_path: Path) -> None:
    parts = [part for part in model({}) if isinstance(part, bytes)]
    data = b"".join(parts)
    entry = data.index(struct.pack("<Q", 17) + b"token_embd.weight")
    after = entry + 8 + 17
    shape = data[after + 4 : after + 20]
    wide = data[:after] + struct.pack("<I", 3) + shape + struct.pack("<Q", 1) + data[after + 20 :]
    path = tmp_path / "x.gguf"
    # Eight bytes more in the table: the padding before the data is made anew.
    end = data.index(b"blk.1.attn_norm.weight") + 22 + 4 + 16 + 4 + 8 + 8
    start = -(-end // 32) * 32
    old = -(-(end - 8) // 32) * 32
    path.write_bytes(wide[:end] + bytes(start - end) + data[old:])
    with pytest.raises(CheckpointError, match="has 3 axes, not 2") as caught:
        open_checkpoint(path)
    assert caught.value.offset == entry and "llama.block_count" in SOUND


def test_a_shard_without_a_number_names_the_byte_of_the_key_that_makes_it_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x-00001-of-00002.gguf"
    with create_checkpoint(path, [NewTensor("a", (1,), FORMATS["F32"])], {"spliX.count": 2}) as w:
        w.write("a", np.zeros(4, np.uint8))
    data = path.read_bytes().replace(b"spliX.count", b"split.count")
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"has no split\.no") as caught:
        open_checkpoint(path)
    assert caught.value.offset == data.index(struct.pack("<Q", 11) + b"split.count")
