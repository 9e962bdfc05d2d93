"""Several targets in one command, and what `quantize` prints."""

import json
from pathlib import Path

import pytest

from support.tiny_models import write_model
from zeropoint.cli import main


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny.gguf")


def quantize(*words: object) -> int:
    return main(["quantize", *map(str, words), "-q", "--progress", "none"])


def test_several_targets_write_the_files_that_single_ones_write(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quantize(tiny, tmp_path / "m-{type}.gguf", "--to", "q8_0, Q4_0", "--json") == 0
    results = json.loads(capsys.readouterr().out)["results"]
    names = [Path(result["output"][0]).name for result in results]
    assert names == ["m-Q8_0.gguf", "m-Q4_0.gguf"]
    for target, name in zip(("Q8_0", "Q4_0"), names, strict=True):
        assert quantize(tiny, tmp_path / "one.gguf", "--to", target, "--overwrite") == 0
        assert (tmp_path / name).read_bytes() == (tmp_path / "one.gguf").read_bytes()
    capsys.readouterr()
    assert quantize(tiny, tmp_path / "m-{type}.gguf", "--to", "Q6_K,Q8_0") == 2
    assert "m-Q8_0.gguf exists" in capsys.readouterr().err
    assert not (tmp_path / "m-Q6_K.gguf").exists()  # all outputs are checked before the first


@pytest.mark.parametrize(
    ("name", "to", "message"),
    [
        ("m.gguf", "Q8_0,Q4_0", "2 targets need {type} in the name, such as"),
        ("m-{type}.gguf", "Q8_0,q8_0", "repeated target"),
        ("m-{type}.gguf", "Q8_0,", "empty"),
    ],
)
def test_targets_and_the_name_have_to_fit(
    name: str, to: str, message: str, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quantize(tiny, tmp_path / name, "--to", to) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_dry_run_folds_the_layers_and_json_does_not(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quantize(tiny, "--to", "Q4_K_M", "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "bits per weight" in lines[0]
    assert sum("ffn_up.weight" in line and "{0" in line for line in lines) == 1
    assert quantize(tiny, "--to", "Q4_K_M", "--dry-run", "--json") == 0
    tensors = json.loads(capsys.readouterr().out)["tensors"]
    assert len(tensors) > len([line for line in lines if ".weight " in line])


def test_quiet_prints_one_line_and_a_copy_is_called_one(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "a.gguf", tmp_path / "b.gguf"
    assert quantize(tiny, first, "--to", "Q8_0") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(str(first)) and line.endswith("bits per weight")
    words = ["quantize", str(first), "--to", "Q8_0", "--requantize"]
    assert main([*words, "--dry-run"]) == 0
    assert "Nothing to do" in capsys.readouterr().out
    assert main([words[0], words[1], str(second), *words[2:], "--progress", "none"]) == 0
    assert "this file is a copy" in capsys.readouterr().out
