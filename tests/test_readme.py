"""The Python of the README runs as it stands there, and prints what it says."""

import re
from pathlib import Path

import pytest

from support.tiny_models import write_model
from zeropoint import inspect, measure

README = (Path(__file__).parents[1] / "README.md").read_text()


def section(heading: str) -> str:
    return README.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_the_snippet_prints_what_the_readme_says_and_writes_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "model-BF16.gguf", format="BF16")
    text = section("In Python")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    promised = re.search(r"```\n(\[.*?)```", text, re.DOTALL)
    assert code is not None and promised is not None
    exec(compile(code[1], "README.md", "exec"), {})
    size, loss, *rest = capsys.readouterr().out.splitlines()
    assert rest == promised[1].splitlines()
    small = inspect("small.gguf")
    formats = {tensor.name: tensor.format for tensor in small.tensors}
    assert "Q4_K" in formats.values() and formats["output.weight"] == "Q6_K"
    assert (tmp_path / "small.gguf").stat().st_size < (tmp_path / "model-BF16.gguf").stat().st_size
    measured = measure("small.gguf", ref="model-BF16.gguf", chunks=8)
    assert size == f"{small.bits_per_weight:.2f} bits per weight {measured.verdict.word}"
    assert loss.startswith(f"KL {measured.kl.mean:.4f} ({measured.kl.low:.4f} … ")
    assert measured.kl.mean > 0
