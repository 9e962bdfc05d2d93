"""`run`, `measure` and `bench` given what cannot be run: one clear sentence, and exit code 2."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from support import hf_folders
from support.tiny_models import write_model
from zeropoint.checkpoints import (
    Checkpoint,
    NewTensor,
    StringArray,
    create_checkpoint,
    open_checkpoint,
)
from zeropoint.cli import main

Make = Callable[[Path], Path]


def rewritten(
    folder: Path, *, drop: str = "", keys: dict[str, object] | None = None, architecture: str = ""
) -> Path:
    """A tiny file without a tensor, or with other keys (None: without)."""
    source = open_checkpoint(write_model(folder / "whole.gguf", columns=64))
    facts = dict(source.metadata) | (keys or {})
    if architecture:
        facts["general.architecture"] = architecture
    facts = {key: value for key, value in facts.items() if value is not None}
    return copied(source, folder / "broken.gguf", facts, drop)


def copied(source: Checkpoint, path: Path, facts: dict[str, object], drop: str) -> Path:
    infos = [info for name, info in source.tensors.items() if name != drop]
    entries = [NewTensor(info.name, info.shape, info.format) for info in infos]
    with create_checkpoint(path, entries, facts) as writer:
        for info in infos:
            writer.write(info.name, source.read(info.name))
    return path


def cut(folder: Path) -> Path:
    path = write_model(folder / "cut.gguf", columns=64)
    path.write_bytes(path.read_bytes()[:-100])
    return path


def folder_without(name: str) -> Make:
    def make(folder: Path) -> Path:
        made = hf_folders.make_folder("qwen2", folder / "model")
        (made / name).unlink()
        return made

    return make


def folder_with(file: str, **changes: object) -> Make:
    def make(folder: Path) -> Path:
        made = hf_folders.make_folder("qwen2", folder / "model")
        found = json.loads((made / file).read_text("utf-8"))
        (made / file).write_text(json.dumps(found | changes), "utf-8")
        return made

    return make


def empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


BAD: dict[str, tuple[Make, str]] = {
    "no such file": (lambda folder: folder / "none.gguf", "there is no such file"),
    "an empty folder": (empty, "no GGUF file"),
    "a file that is cut short": (cut, "data"),
    "another file": (lambda folder: shutil.copy(__file__, folder / "x.gguf"), "magic"),
    "an unknown architecture": (
        lambda folder: rewritten(folder, architecture="mamba"), "'mamba' is not supported"),
    "no architecture": (
        lambda folder: rewritten(folder, keys={"general.architecture": None}),
        "general.architecture: this key is missing",
    ),
    "a missing matrix": (
        lambda folder: rewritten(folder, drop="blk.1.ffn_up.weight"), "blk.1.ffn_up.weight"),
    "a missing norm": (
        lambda folder: rewritten(folder, drop="output_norm.weight"), "output_norm.weight"),
    "a missing embedding": (
        lambda folder: rewritten(folder, drop="token_embd.weight"), "token_embd.weight"),
    "another vocabulary": (
        lambda folder: rewritten(
            folder, keys={"tokenizer.ggml.tokens": StringArray.of(["a", "b"])}), "2 tokens"),
    "no vocabulary": (
        lambda folder: rewritten(folder, keys={"tokenizer.ggml.model": None}), "tokenizer None"),
    "scores for another vocabulary": (
        lambda folder: rewritten(
            folder, keys={"tokenizer.ggml.scores": np.zeros(3, np.float32)}), "scores"),
    "no width": (lambda folder: rewritten(folder, keys={"llama.embedding_length": None}),
                 "llama.embedding_length: this key is missing"),
    "heads that do not fit": (
        lambda folder: rewritten(folder, keys={"llama.attention.head_count": 3}), "has shape"),
    "a folder without a config": (folder_without("config.json"), "config.json"),
    "a folder without a tokenizer": (folder_without("tokenizer.json"), "tokenizer.json"),
    "a folder without weights": (folder_without("model.safetensors"), "model.safetensors"),
    "a folder of another family": (folder_with("config.json", model_type="mamba"), "mamba"),
    "a folder that says other shapes": (
        folder_with("config.json", intermediate_size=100), "ffn_"),
    "a folder with more layers": (
        folder_with("config.json", num_hidden_layers=5, layer_types=None), "blk.4"),
    "a folder with another vocabulary": (
        folder_with("config.json", vocab_size=500), "vocab"),
}  # fmt: skip


def words_of(verb: str, model: Path, folder: Path) -> list[str]:
    good, text = folder / "good.gguf", folder / "text.txt"
    if not good.exists():
        write_model(good, columns=64)
        text.write_text("the cat and the hat in the rain " * 40)
    return {
        "run": ["run", str(model), "-p", "the cat", "-n", "2"],
        "measure": ["measure", str(model), "--ref", str(good), "--text", str(text), "--ctx", "16"],
        "bench": ["bench", str(model), "-p", "8", "-n", "2"],
    }[verb]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    found: dict[str, Path] = {}

    def get(case: str) -> Path:
        if case not in found:
            found[case] = Path(BAD[case][0](tmp_path_factory.mktemp("bad")))
        return found[case]

    return get


NO_TOKENIZER = ("no vocabulary", "scores for another vocabulary")  # which is nothing to `bench`


@pytest.mark.parametrize(
    ("case", "verb"),
    [
        (case, verb)
        for case in BAD
        for verb in ("run", "measure", "bench")
        if verb != "bench" or case not in NO_TOKENIZER
    ],
)
def test_a_bad_model_is_one_sentence(
    case: str, verb: str, made: Callable[[str], Path], tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model, says = made(case), BAD[case][1]
    code = main(words_of(verb, model, tmp_path))
    said = capfd.readouterr()
    assert code == 2, said.err
    errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and says in errors[0] and len(errors[0]) < 300, said.err
    assert said.err.splitlines()[-1] == errors[0] and "Traceback" not in said.err


@pytest.mark.parametrize(
    ("verb", "more"),
    [("run", ["--ctx", "513"]), ("measure", ["--ctx", "513"]), ("bench", ["-p", "600"])],
)
def test_a_context_longer_than_the_models_is_one_sentence(
    verb: str, more: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "model.gguf", columns=64)
    assert main([*words_of(verb, model, tmp_path), *more]) == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and "512" in error and more[-1] in error
