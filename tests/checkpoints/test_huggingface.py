"""A Hugging Face folder read as the GGUF file it would become."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from support import hf_folders
from zeropoint.checkpoints import open_checkpoint
from zeropoint.checkpoints.huggingface import as_gguf, interleaved_rows
from zeropoint.errors import CheckpointError, UnsupportedModel

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("folders")
    return {name: hf_folders.make_folder(name, root / name) for name in hf_folders.FAMILIES}


def decoded(checkpoint: object, name: str) -> np.ndarray:
    tensor = checkpoint.read(name)
    return tensor.format.decode_blocks(tensor.data).reshape(tensor.shape)


@pytest.mark.parametrize("name", hf_folders.FAMILIES)
def test_every_weight_of_a_folder_is_in_its_view_once(name: str, folders: dict[str, Path]) -> None:
    """Whatever is renamed, stacked or parted: the numbers are the same (norms + 1, −e^decay)."""
    folder = open_checkpoint(folders[name])
    view = as_gguf(folder)
    shifted = name.startswith(("gemma2", "gemma3", "qwen35", "qwen3next"))
    ours, theirs = [], []
    for tensor in view.tensors:
        if not tensor.startswith("rope_"):
            numbers = decoded(view, tensor).ravel()
            if tensor.endswith(".ssm_a"):
                numbers = np.log(-numbers)
            one = shifted and "norm" in tensor and "ssm_norm" not in tensor
            ours.append(numbers - (1.0 if one else 0.0))
    for tensor in folder.tensors:
        theirs.append(decoded(folder, tensor).ravel())
    ours, theirs = np.sort(np.concatenate(ours)), np.sort(np.concatenate(theirs))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=3e-7)  # (x + 1) − 1 in float32


@pytest.mark.parametrize("name", hf_folders.FAMILIES)
def test_slabs_are_the_rows_of_the_whole(name: str, folders: dict[str, Path]) -> None:
    view = as_gguf(open_checkpoint(folders[name]))
    for tensor, info in view.tensors.items():
        whole = view.read(tensor).data.reshape(info.rows, -1)
        cuts = sorted({0, info.rows // 3, info.rows // 2 + 1 if info.rows > 2 else 1, info.rows})
        slabs = [view.read_rows(tensor, a, b).data for a, b in itertools.pairwise(cuts)]
        np.testing.assert_array_equal(np.concatenate(slabs).reshape(info.rows, -1), whole)


def test_interleaving_turns_halves_into_pairs() -> None:
    """Element i and element i + size/2 of a head become neighbours, heads keep their places."""
    order = interleaved_rows(12, 2)
    assert order.tolist() == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]


def test_llama3_factors_are_those_that_transformers_divides_by(folders: dict[str, Path]) -> None:
    from transformers import AutoConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    config = AutoConfig.from_pretrained(folders["llama3"])
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 1.0 / 10000.0 ** (np.arange(0, 16, 2) / 16)
    factors = decoded(as_gguf(open_checkpoint(folders["llama3"])), "rope_freqs.weight")
    np.testing.assert_allclose(plain / factors, scaled.numpy(), rtol=1e-6)


def changed(folder: Path, target: Path, **changes: object) -> Path:
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text()) | changes
    (target / "config.json").write_text(json.dumps(config))
    return target


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"model_type": "mamba"}, UnsupportedModel, "mamba"),
        ({"hidden_act": "gelu"}, CheckpointError, "hidden_act"),
        ({"num_attention_heads": "four"}, CheckpointError, "num_attention_heads"),
        ({"num_attention_heads": 0}, CheckpointError, "num_attention_heads"),
        ({"rms_norm_eps": None}, CheckpointError, "rms_norm_eps"),
        ({"rope_parameters": {"rope_type": "magic"}}, CheckpointError, "magic"),
        ({"rope_parameters": {"rope_theta": -1.0}}, CheckpointError, "rope_theta"),
        ({"num_key_value_heads": 7}, UnsupportedModel, "7 heads"),
    ],
)
def test_a_config_that_cannot_be_followed_is_one_sentence(
    tmp_path: Path, folders: dict[str, Path], changes: dict[str, object], error: type, words: str
) -> None:
    folder = changed(folders["llama2"], tmp_path / "changed", **changes)
    with pytest.raises(error, match=words):
        as_gguf(open_checkpoint(folder))


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"model": 3}', '{"model": {"type": "WordLevel"}}']
)
def test_a_tokenizer_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, folders: dict[str, Path], content: str
) -> None:
    folder = changed(folders["qwen2"], tmp_path / "changed")
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises((CheckpointError, UnsupportedModel), match=r"tokenizer\.json"):
        as_gguf(open_checkpoint(folder))


def test_an_unknown_way_of_cutting_text_is_refused_and_not_guessed(
    tmp_path: Path, folders: dict[str, Path]
) -> None:
    folder = changed(folders["qwen2"], tmp_path / "changed")
    path = folder / "tokenizer.json"
    path.write_text(path.read_text("utf-8").replace(r"\\p{N}|", r"\\p{N}{7}|"), "utf-8")
    with pytest.raises(UnsupportedModel, match="pre_tokenizer"):
        as_gguf(open_checkpoint(folder))
