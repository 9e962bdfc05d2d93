"""Input that is odd in the same way for many verbs: numbers, names, closed streams."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from support.tiny_models import write_model
from zeropoint.checkpoints import NewTensor, StringArray, create_checkpoint, open_checkpoint
from zeropoint.cli import app, main
from zeropoint.formats import FORMATS

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
NAME = os.fsdecode(b"z\xff")  # a name that is not UTF-8, as Linux permits
TEXT = "the rain in spain 42 return x [ 0 ] + 1 ; " * 60
ARGUMENTS = {  # one word for each positional argument, so that parsing reaches the options
    "inspect": 1, "explain": 1, "plan": 1, "quantize": 2, "calibrate": 1, "measure": 1,
    "compare": 2, "drift": 1, "tasks": 1, "ladder": 1, "report": 1, "studio": 1, "run": 1,
    "bench": 1, "search": 1, "serve": 1, "train": 1, "heal": 2,
}  # fmt: skip
REQUIRED = {"calibrate": ["-o", "x.gguf"], "quantize": ["--to", "Q8_0"],
            "search": ["-o", "x.recipe"], "heal": ["--ref", "x.gguf"]}  # fmt: skip


def numeric_options() -> Iterator[tuple[str, str, bool]]:
    """Yield verb, option and whether it takes fractions, for every number of every verb."""
    for verb, command in COMMANDS.items():
        for parameter in command.params:
            kind = parameter.type_descriptor.annotation
            if kind in (int, float):
                yield verb, parameter.opts[-1], kind is float


def test_every_verb_has_numbers_that_are_checked() -> None:
    found = list(numeric_options())
    assert len(found) > 40 and len({verb for verb, _, _ in found}) > 10


@pytest.mark.parametrize(("verb", "option", "fractions"), list(numeric_options()))
def test_a_number_that_no_machine_integer_holds_is_refused(
    verb: str, option: str, fractions: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    words = [verb, *["nofile"] * ARGUMENTS.get(verb, 0), *REQUIRED.get(verb, [])]
    wrong = ["inf", "-inf", "nan", "1e999"] if fractions else ["9" * 23, "-" + "9" * 23, "1e3"]
    for number in wrong:
        assert main([*words, f"{option}={number}"]) == 2
        told = capsys.readouterr().err
        assert option in told and told.startswith("error: Invalid value"), told
        assert told.count("\n") == 1


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_a_closed_stream_changes_no_exit_status(closed: str, tmp_path: Path) -> None:
    model = write_model(tmp_path / "tiny.gguf")
    for words, status in ((["inspect", model, "--json"], 0), (["inspect", "nofile"], 2)):
        line = " ".join(map(str, [sys.executable, "-m", "zeropoint", *words, closed]))
        assert subprocess.run(["bash", "-c", line], capture_output=True).returncode == status


def test_a_name_that_is_not_utf_8_works_in_every_verb(tmp_path: Path) -> None:
    model, quant, text = (tmp_path / f"{NAME}{end}" for end in (".gguf", "-q.gguf", ".txt"))
    write_model(model)
    text.write_text(TEXT)
    cut = ["--text", text, "--ctx", "64", "--chunks", "2", "--progress", "none"]
    run, folder, imatrix = (
        tmp_path / f"{NAME}-run",
        tmp_path / f"{NAME}f",
        tmp_path / f"{NAME}i.gguf",
    )
    for words in (
        ["inspect", model, "--json"],
        ["quantize", model, quant, "--to", "Q8_0", "--json"],
        ["measure", quant, "--ref", model, "--run", run, "--report", tmp_path / "m.html", *cut],
        ["calibrate", model, "-o", imatrix, *cut],
        ["quantize", model, tmp_path / "i.gguf", "--to", "Q8_0", "--imatrix", imatrix],
        ["report", run, "-o", tmp_path / f"{NAME}.html"],
        ["run", model, "-p", "the", "-n", "2"],
        ["plan", model, "--memory", "1GiB"],
        ["quantize", model, folder, "--to", "F32"],
        ["quantize", folder, tmp_path / "back.gguf", "--to", "Q8_0"],
    ):
        assert main([*map(str, words), "-q"]) == 0, words
    with open_checkpoint(quant) as written:
        assert written.metadata["zeropoint.source.file"] == "z\\udcff.gguf"


def test_tensors_without_weights_are_written_once(tmp_path: Path) -> None:
    shapes = {"blk.0.ffn_up.weight": (128, 0), "blk.0.ffn_down.weight": (0, 64),
              "blk.0.ffn_up_exps.weight": (2, 0, 64), "blk.0.ffn_norm.weight": (64,)}  # fmt: skip
    source = tmp_path / "empty.gguf"
    write_f32(source, shapes)
    output = tmp_path / "out.gguf"
    assert main(["quantize", str(source), str(output), "--to", "Q8_0"]) == 0
    with open_checkpoint(output) as written:
        assert {name: info.shape for name, info in written.tensors.items()} == shapes


def write_f32(path: Path, shapes: dict[str, tuple[int, ...]], **keys: object) -> None:
    """Write a llama file of zeros."""
    new = [NewTensor(name, shape, FORMATS["F32"]) for name, shape in shapes.items()]
    facts = {"general.architecture": "llama", "llama.attention.head_count": 2}
    with create_checkpoint(path, new, {**facts, **keys}) as writer:
        for name, shape in shapes.items():
            writer.write(name, np.zeros(4 * int(np.prod(shape)), np.uint8))


EMBEDDING = {"token_embd.weight": (8, 64)}


@pytest.mark.parametrize(
    ("shapes", "told"),
    [
        ({"output_norm.weight": (64,)}, "token_embd.weight is missing"),
        ({"token_embd.weight": (64,)}, "token_embd.weight"),
        ({"blk.0.ffn_gate_exps.weight": (64, 64), **EMBEDDING}, "3 axes"),
    ],
)
def test_a_model_that_no_folder_can_hold_is_refused_by_name(
    shapes: dict[str, tuple[int, ...]], told: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    source, output = tmp_path / "m.gguf", tmp_path / "folder"
    write_f32(source, shapes)
    assert main(["quantize", str(source), str(output), "--to", "BF16"]) == 2
    assert told in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize(
    ("key", "theirs"),
    [
        ("feed_forward_length", "intermediate_size"),
        ("context_length", "max_position_embeddings"),
        ("rope.freq_base", "rope_theta"),
    ],
)
def test_a_key_that_config_json_has_no_place_for_is_refused_by_name(
    key: str, theirs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "odd.gguf"
    with open_checkpoint(write_model(tmp_path / "tiny.gguf", "qwen2")) as model:
        new = [NewTensor(info.name, info.shape, info.format) for info in model.tensors.values()]
        facts = {**model.metadata, f"qwen2.{key}": [np.array([1, 2]), np.array([3, 4])]}
        with create_checkpoint(odd, new, facts) as writer:
            for info in model.tensors.values():
                writer.write(info.name, model.read(info.name))
    assert main(["quantize", str(odd), str(tmp_path / "folder"), "--to", "BF16"]) == 2
    told = capsys.readouterr().err
    assert key in told or theirs in told


@pytest.mark.parametrize("heads", [7, 64, 1000])
def test_heads_that_cannot_share_the_rows_are_refused_by_the_tensors_name(
    heads: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shapes = {**EMBEDDING, "blk.0.attn_q.weight": (64, 64)}
    keys = {"llama.attention.head_count": heads, "llama.attention.key_length": 16,
            "llama.attention.value_length": 16}  # fmt: skip
    write_f32(tmp_path / "m.gguf", shapes, **keys)
    assert main(["quantize", str(tmp_path / "m.gguf"), str(tmp_path / "f"), "--to", "F32"]) == 2
    assert "blk.0.attn_q.weight" in capsys.readouterr().err


def test_an_array_where_llama_cpp_has_a_number_is_no_bug(tmp_path: Path) -> None:
    keys = {"qwen2": "rope.scaling.yarn_beta_fast", "gemma3": "attention.scale",
            "qwen3moe": "expert_weights_norm"}  # fmt: skip
    for architecture, key in keys.items():
        odd = tmp_path / f"{architecture}.gguf"
        facts = {
            "general.architecture": architecture,
            f"{architecture}.{key}": np.array([1.0, 2.0]),
        }
        write_f32(odd, EMBEDDING, **facts)
        words = [
            "quantize",
            str(odd),
            str(tmp_path / "o.gguf"),
            "--to",
            "Q8_0",
            "--overwrite",
            "-q",
        ]
        assert main(words) in (0, 2)


@pytest.mark.parametrize("value", [np.array([1, 2], np.uint32), StringArray.of(["imatrix"]), 7])
@pytest.mark.parametrize("key", ["general.type", "split.count", "split.no", "general.name"])
def test_metadata_of_another_type_is_no_bug(
    key: str, value: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, odd = write_model(tmp_path / "m.gguf"), tmp_path / "odd.gguf"
    write_f32(odd, EMBEDDING, **{key: value})
    for words in (
        ["inspect", odd],
        ["quantize", odd, tmp_path / "o.gguf", "--to", "Q8_0", "--dry-run"],
        ["quantize", model, tmp_path / "o.gguf", "--to", "Q8_0", "--imatrix", odd],
        ["run", odd, "-p", "the"],
        ["plan", odd, "--memory", "1GiB"],
    ):
        assert main([*map(str, words)]) in (0, 2), capsys.readouterr().err


def test_half_a_character_in_a_folder_is_refused_at_its_byte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama", "a": "\\\\ud800 é \\ud800x"}')
    new = [NewTensor("model.embed_tokens.weight", (8, 64), FORMATS["F32"])]
    with create_checkpoint(tmp_path / "model.safetensors", new, {}) as writer:
        writer.write(new[0].name, np.zeros(4 * 8 * 64, np.uint8))
    assert main(["inspect", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "byte 41" in told and "surrogate" in told
