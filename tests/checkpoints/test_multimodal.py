"""Multimodal models: the language model is used, and projectors are copied."""

import json
from pathlib import Path

import numpy as np
import pytest

from support import hf_folders
from support.file_kinds import KINDS
from support.tiny_models import write_model
from zeropoint.checkpoints import NewTensor, create_checkpoint, open_checkpoint, open_model
from zeropoint.checkpoints.modalities import is_image_or_audio
from zeropoint.cli import main
from zeropoint.formats import FORMATS


def with_image_encoder(path: Path) -> Path:
    """A language model in one file with an image encoder, as Ollama stores them."""
    with open_checkpoint(write_model(path.with_name("text.gguf"))) as source:
        more = [
            NewTensor("v.blk.0.attn_q.weight", (32, 32), FORMATS["F16"]),
            NewTensor("mm.0.weight", (64, 32), FORMATS["F16"]),
        ]
        entries = [NewTensor(t.name, t.shape, t.format) for t in source.tensors.values()]
        with create_checkpoint(path, [*entries, *more], dict(source.metadata)) as writer:
            for name in source.tensors:
                writer.write(name, source.read(name))
            for tensor in more:
                writer.write(tensor.name, np.zeros(2 * np.prod(tensor.shape), np.uint8))
    return path


def test_the_language_model_of_a_file_is_used_and_this_is_said(tmp_path, capsys):
    path = with_image_encoder(tmp_path / "both.gguf")
    assert main(["run", str(path), "--prompt", "a", "-n", "2", "--no-chat"]) == 0
    said = capsys.readouterr().err
    assert (
        "both.gguf: its language model is used, without the 2 tensors for images and audio" in said
    )
    assert main(["run", str(tmp_path / "text.gguf"), "--prompt", "a", "-n", "2", "--no-chat"]) == 0
    assert "images and audio" not in capsys.readouterr().err


def test_quantize_keeps_the_image_encoder_of_a_file(tmp_path):
    path = with_image_encoder(tmp_path / "both.gguf")
    assert main(["quantize", str(path), str(tmp_path / "q.gguf"), "--to", "Q8_0"]) == 0
    with open_checkpoint(tmp_path / "q.gguf") as found:
        assert {"v.blk.0.attn_q.weight", "mm.0.weight"} <= found.tensors.keys()


def test_the_language_model_of_a_folder_is_used_and_this_is_said(tmp_path, caplog):
    import torch
    from safetensors.torch import load_file, save_file

    folder = hf_folders.make_folder("gemma3", tmp_path / "folder")
    text = {
        f"language_model.{name}": value
        for name, value in load_file(folder / "model.safetensors").items()
    }
    images = {
        "vision_tower.vision_model.embeddings.patch_embedding.weight": torch.zeros(8, 3, 2, 2),
        "multi_modal_projector.mm_input_projection_weight": torch.zeros(8, 64),
    }
    save_file({**text, **images}, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    outer = {"model_type": "gemma3", "text_config": config, "vision_config": {"hidden_size": 8}}
    (folder / "config.json").write_text(json.dumps(outer))
    with open_model(folder) as model:
        assert not any(map(is_image_or_audio, model.tensors))
    (said,) = [r.getMessage() for r in caplog.records if "language model" in r.getMessage()]
    assert said.endswith("its language model is used, without the 2 tensors for images and audio")


@pytest.mark.parametrize("kind", ["projector", "older projector"])
def test_a_projector_is_copied_and_this_is_said(kind, tmp_path, capsys):
    path, output = KINDS[kind].make(tmp_path), tmp_path / "copy.gguf"
    assert main(["quantize", str(path), str(output), "--to", "Q4_K_M"]) == 0
    assert "so its tensors are copied as they are" in capsys.readouterr().err
    with open_checkpoint(path) as original, open_checkpoint(output) as copy:
        (name,) = original.tensors
        assert copy.tensors[name].format == original.tensors[name].format
        assert (copy.read(name).data == original.read(name).data).all()
        assert copy.metadata.get("general.architecture") == "clip"


@pytest.mark.parametrize("verb", ["run", "bench"])
def test_a_projector_is_refused_by_a_verb_that_runs_it(verb, tmp_path, capsys):
    path = KINDS["projector"].make(tmp_path)
    more = ["--prompt", "a"] if verb == "run" else []
    assert main([verb, str(path), *more]) == 2
    said = capsys.readouterr().err.strip()
    assert "projector of images or sound (mmproj), not a language model" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "is_other"),
    [
        ("v.blk.0.attn_q.weight", True), ("a.conv1d.1.weight", True),
        ("mm.input_norm.weight", True),
        ("model.visual.blocks.0.attn.qkv.weight", True),
        ("model.vision_tower.encoder.layers.0.self_attn.q_proj.linear.weight", True),
        ("model.embed_audio.embedding_projection.weight", True),
        ("vision_model.model.layers.3.mlp.fc1.weight", True),
        ("blk.0.attn_v.weight", False), ("model.layers.0.self_attn.v_proj.weight", False),
        ("language_model.model.embed_tokens.weight", False), ("output.weight", False),
    ],
)  # fmt: skip
def test_parts_for_images_and_audio_are_known_by_their_names(name, is_other):
    assert is_image_or_audio(name) == is_other
