"""The Python of the README runs as it stands there, and prints what it says."""

import re
from pathlib import Path

import pytest

from support.tiny_models import write_model
from zeropoint import open_checkpoint

README = (Path(__file__).parents[1] / "README.md").read_text()


def section(heading: str) -> str:
    return README.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_the_snippet_prints_what_the_readme_says_and_writes_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "model.gguf")
    text = section("In Python")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    promised = re.search(r"```\n(\[.*?)```", text, re.DOTALL)
    assert code is not None and promised is not None
    exec(compile(code[1], "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert printed.startswith(promised[1])
    tensors = open_checkpoint(tmp_path / "smaller.gguf").tensors
    formats = {name: info.format.name for name, info in tensors.items()}
    assert "Q4_K" in formats.values() and formats["output.weight"] == "Q6_K"
    lines = printed.removeprefix(promised[1]).splitlines()
    assert [line.split()[:2] for line in lines] == [list(pair) for pair in formats.items()]
    assert (tmp_path / "smaller.gguf").stat().st_size < (tmp_path / "model.gguf").stat().st_size
