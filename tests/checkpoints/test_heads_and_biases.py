"""Tensors and settings without a place: tied output matrices, biases, keys that a class lacks."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

import transformers
from safetensors.numpy import load_file, save_file

from support.config_cases import LIMIT, logits, make_model, ours, write_folder
from support.config_values import BASES, base
from zeropoint.checkpoints import open_checkpoint, open_model
from zeropoint.checkpoints.huggingface import as_gguf
from zeropoint.checkpoints.settings.config_to_gguf import read_configuration
from zeropoint.errors import CheckpointError, UnsupportedModel
from zeropoint.formats import FORMATS
from zeropoint.quantizers.export import export_folder


def head_of(folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    path = folder / "model.safetensors"
    return path, load_file(path)


@pytest.mark.parametrize("family", BASES)
@pytest.mark.parametrize("said", [True, False, None])
def test_an_output_matrix_is_kept_only_if_it_differs(
    family: str, said: bool | None, tmp_path: Path
) -> None:
    """Whatever tie_word_embeddings says, and whatever the family's default is."""
    config = base(family) | {"tie_word_embeddings": False}
    folder = write_folder(tmp_path / "model", make_model(config), config)
    told = {key: value for key, value in config.items() if key != "tie_word_embeddings"}
    told |= {} if said is None else {"tie_word_embeddings": said}
    (folder / "config.json").write_text(json.dumps(told))
    view = as_gguf(open_checkpoint(folder))
    assert "output.weight" in view.tensors
    if said:  # transformers keeps it, too
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype="float32", attn_implementation="eager"
        ).eval()
        model.config._experts_implementation = "eager"
        assert np.abs(ours(view) - logits(model)).max() < LIMIT
    path, tensors = head_of(folder)
    embedding = next(name for name in tensors if ".embed" in name)
    tensors["lm_head.weight"] = tensors[embedding].copy()
    save_file(tensors, path, {"format": "pt"})
    assert "output.weight" not in as_gguf(open_checkpoint(folder)).tensors
    tensors["lm_head.weight"][-1, -1] += 1
    save_file(tensors, path, {"format": "pt"})
    assert "output.weight" in as_gguf(open_checkpoint(folder)).tensors


def test_a_missing_output_matrix_needs_tied_embeddings(tmp_path: Path) -> None:
    config = base("qwen2") | {"tie_word_embeddings": False}
    folder = write_folder(tmp_path / "model", make_model(config), config)
    path, tensors = head_of(folder)
    head = tensors.pop("lm_head.weight")
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match="tie_word_embeddings"):
        as_gguf(open_checkpoint(folder))
    del tensors["model.embed_tokens.weight"]
    save_file(tensors | {"lm_head.weight": head}, path, {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    view = as_gguf(open_checkpoint(folder))  # one of two tied matrices is enough
    assert "output.weight" not in view.tensors and "token_embd.weight" in view.tensors


@pytest.mark.parametrize(
    ("family", "key"),
    [("llama", "attention_bias"), ("llama", "mlp_bias"), ("qwen3", "attention_bias")],
)
def test_a_bias_that_transformers_would_drop_is_refused(
    family: str, key: str, tmp_path: Path
) -> None:
    config = base(family) | {key: True}
    folder = write_folder(tmp_path / "model", make_model(config), config)
    as_gguf(open_checkpoint(folder))
    (folder / "config.json").write_text(json.dumps(config | {key: False}))
    with pytest.raises(CheckpointError, match=key):
        as_gguf(open_checkpoint(folder))


def test_biases_of_interleaved_heads_survive_the_way_there_and_back(tmp_path: Path) -> None:
    config = base("llama") | {"attention_bias": True}
    model = make_model(config)
    folder = write_folder(tmp_path / "model", model, config)
    with open_model(folder) as source:
        assert np.abs(ours(source) - logits(model)).max() < LIMIT
        list(export_folder(source, tmp_path / "back", FORMATS["F32"], threads=1))
    before, after = head_of(folder)[1], head_of(tmp_path / "back")[1]
    assert before.keys() == after.keys()
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)


def test_what_a_class_of_transformers_lacks_is_refused_in_an_export(tmp_path: Path) -> None:
    config = base("llama") | {"attention_bias": True, "mlp_bias": False}
    folder = write_folder(tmp_path / "model", make_model(config), config)
    with open_model(folder) as source:
        source.metadata = {**source.metadata, "llama.attention.sliding_window": 7}
        with pytest.raises(UnsupportedModel, match="no bias for attn_k"):  # Mistral has none
            list(export_folder(source, tmp_path / "back", FORMATS["F32"], threads=1))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("logit_scale", 2.0),
        ("attention.scale", 0.3),
        ("attention.temperature_scale", 0.1),
        ("hidden_activation", "gelu"),
        ("final_logit_softcapping", 30.0),
        ("rope.scaling.type", "magic"),
        ("something_new", 1),
    ],
)
def test_a_setting_that_transformers_lacks_is_refused_in_an_export(
    key: str, value: object, tmp_path: Path
) -> None:
    config = base("llama")
    folder = write_folder(tmp_path / "model", make_model(config), config)
    with open_model(folder) as source:
        source.metadata = {**source.metadata, f"llama.{key}": value}
        with pytest.raises(UnsupportedModel, match=rf"llama\.{key}"):
            list(export_folder(source, tmp_path / "back", FORMATS["F32"], threads=1))
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("key", ["num_hidden_layers", "head_dim"])
def test_sizes_that_no_model_has_are_refused_at_once(key: str) -> None:
    with pytest.raises(CheckpointError, match=key):
        read_configuration(Path("config.json"), base("mistral") | {key: 2**31 - 1})
