"""Models of an architecture without a family: what still works, and what the other verbs say."""

import json
from pathlib import Path

import pytest

from support import hf_folders
from support.tiny_models import write_model
from zeropoint.checkpoints import NewTensor, create_checkpoint, open_checkpoint
from zeropoint.checkpoints.families import FAMILIES
from zeropoint.checkpoints.families.nearest import GUIDE, unsupported
from zeropoint.cli import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def unknown(tmp_path: Path) -> Path:
    """A file with the tensors of a known family under an unknown name."""
    path = tmp_path / "unknown.gguf"
    with open_checkpoint(write_model(tmp_path / "known.gguf", "llama", experts=4)) as source:
        facts = {
            key.replace("llama.", "qwen9moe."): value for key, value in source.metadata.items()
        } | {"general.architecture": "qwen9moe"}
        entries = [NewTensor(t.name, t.shape, t.format) for t in source.tensors.values()]
        with create_checkpoint(path, entries, facts) as writer:
            for name in source.tensors:
                writer.write(name, source.read(name))
    return path


@pytest.fixture
def unknown_folder(tmp_path: Path) -> Path:
    folder = hf_folders.make_folder("qwen2", tmp_path / "folder")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "qwen9"}))
    return folder


def test_inspect_and_quantize_work(unknown, tmp_path, capsys):
    assert main(["inspect", str(unknown)]) == 0
    assert main(["quantize", str(unknown), str(tmp_path / "q.gguf"), "--to", "Q8_0"]) == 0
    with open_checkpoint(tmp_path / "q.gguf") as quantized:
        assert quantized.metadata["general.architecture"] == "qwen9moe"
        assert quantized.tensors["blk.0.ffn_up_exps.weight"].format.name == "Q8_0"
    assert main(["plan", str(unknown), "--device", "rtx3090"]) == 0
    capsys.readouterr()


@pytest.mark.parametrize("verb", ["run", "measure", "calibrate", "bench", "drift"])
def test_a_verb_that_runs_the_model_names_what_is_nearest(verb, unknown, tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text("words " * 400)
    arguments = {
        "run": [str(unknown), "--prompt", "Hello"],
        "measure": [str(unknown), "--ref", str(tmp_path / "known.gguf"), "--text", str(text)],
        "calibrate": [str(unknown), "-o", str(tmp_path / "i.gguf"), "--text", str(text)],
        "bench": [str(unknown)],
        "drift": [str(unknown), "--ref", str(tmp_path / "known.gguf")],
    }[verb]
    assert main([verb, *arguments]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "architecture 'qwen9moe' is not supported" in said
    assert "nearest by its name is qwen3moe and by its tensors is" in said
    assert said.endswith(f"to add it, see {GUIDE}") and len(said) < 300


def test_a_folder_of_an_unknown_type_is_answered_alike(unknown_folder, tmp_path, capsys):
    assert main(["inspect", str(unknown_folder)]) == 0
    assert main(["quantize", str(unknown_folder), str(tmp_path / "q.gguf"), "--to", "Q8_0"]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "model_type 'qwen9' is not supported" in said and "by its name is qwen" in said
    assert "by its tensors is " in said and said.endswith(GUIDE)


def test_the_guide_exists():
    assert (ROOT / GUIDE).is_file()


@pytest.mark.parametrize(
    ("tensors", "count"),
    [
        (["blk.0.ffn_norm.weight", "blk.0.attn_sub_norm.weight", "blk.0.ffn_sub_norm.weight"], 3),
        (["blk.3.post_ffw_norm.weight", "blk.3.attn_q_norm.weight", "blk.3.other.weight"], 2),
        (["model.layers.0.mlp.experts.7.up_proj.weight", "model.layers.0.self_attn.q_norm.weight"],
         2),
    ],
)  # fmt: skip
def test_the_nearest_family_by_tensors_has_most_of_them(tensors, count):
    said = unsupported("architecture xyz", tensors)
    assert f"({count} of {len(tensors)} kinds)" in said
    nearest = said.partition("by its tensors is ")[2].split()[0]
    roles = {*FAMILIES[nearest].roles, *FAMILIES[nearest].roles.values()}
    found = {name.split(".", 2)[2].removesuffix(".weight") for name in tensors[:1]}
    assert found <= roles or "mlp.experts.*.up_proj" in roles


@pytest.mark.parametrize("tensors", [[], ["v.patch_embd.weight"], ["blk.0.something.weight"]])
def test_an_architecture_that_is_like_none_is_said_to_be_so(tensors):
    said = unsupported("architecture xyz", tensors)
    assert said == (
        "architecture 'xyz' is not supported; no supported family is near it; "
        f"to add it, see {GUIDE}"
    )


def test_a_hostile_name_is_printed_short_and_escaped():
    said = unsupported("architecture \x1b[2J" + "x" * 100_000, ["blk.0.attn_q.weight"])
    assert "\x1b" not in said and len(said) < 250
