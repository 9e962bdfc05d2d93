"""The words around a measurement: tables, the sentence, what --json of `demo` carries."""

import json
from pathlib import Path

import pytest

from support.tiny_models import write_model
from zeropoint.cli import main


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "tiny.gguf", format="F16")


def test_demo_ends_with_the_measured_loss(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["demo", str(model), "--to", "Q8_0", "--keep", str(tmp_path / "out"), "--threads", "1"]
    assert main([*words, "--chunks", "5"]) == 0
    said = capsys.readouterr().out
    assert "Verdict" in said and "KL mean" in said
    for domain in ("prose", "code", "dialogue", "science", "languages"):
        assert f"\n{domain}" in said
    assert said.index("Verdict") < said.index("Texts after 'The capital of France is'")
    assert f"== {model}\n" in said
    assert main([*words, "--chunks", "5", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    loss, both = result["loss"], result["generated"]
    assert 0 < loss["kl"]["mean"] < 0.1 and loss["tokens"] == 5 * 127
    assert both["model"] == str(model) and both["vs"]["model"].endswith("tiny-Q8_0.gguf")
    assert len(both["tokens"]) == both["generated_tokens"] > 0
    assert main([*words, "--chunks", "0", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert "loss" not in again
    for side in (again["generated"], again["generated"]["vs"]):  # the same words every time
        other = both if side is again["generated"] else both["vs"]
        assert side["tokens"] == other["tokens"]


def test_measure_reads_the_kinds_that_are_named(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The context of the tiny model is 512 tokens, so that a long document is cut there."""
    words = ["measure", str(model), "--as", "INT8_SYM_G32", "--ctx", "64", "--threads", "1"]
    words += ["--text", "builtin:dialogue,long/select", "--text", "builtin:code", "--chunks", "3"]
    words += ["--run", str(tmp_path / "run"), "--reference-cache", str(tmp_path / "cache")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "built in: dialogue-select, code, long-select" in " ".join(said.split())
    assert "2 chunks of 64 tokens" in said
    assert "1 long document of up to 512 tokens, scored at the end" in " ".join(said.split())
    assert main([*words, "--json"]) == 0  # resumes: all chunks are in the run folder
    result = json.loads(capsys.readouterr().out)
    tokens = {name: group["tokens"] for name, group in result["by_domain"].items()}
    assert tokens == {"dialogue-select": 31, "code": 31, "long-select": 255}
    assert result["text"]["built_in"] is True
    assert main([*words[:-4], "--text", "builtin:prose/train"]) == 2
    assert "the parts calibrate, select, evaluate" in capsys.readouterr().err


def test_measure_prints_a_table_a_verdict_and_the_method(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "words.txt"
    text.write_text("the rain in spain 42 " * 100)
    words = ["measure", str(model), "--as", "INT8_SYM_G32", "--text", str(text), "--ctx", "32"]
    assert main([*words, "--chunks", "9", "--threads", "1"]) == 0
    said = capsys.readouterr().out
    for told in ("KL(reference ‖ quant)", "second half scored", "corpus", "Floor", "Verdict",
                 "scored tokens per second", "INT8_SYM_G32", "Position", "bfloat16"):  # fmt: skip
        assert told in said
    assert "\x1b" not in said
