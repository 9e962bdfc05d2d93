"""`tasks` on the command line: flips, what is contained and told, and runs that go on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import zeropoint
from support.tiny_models import write_model
from zeropoint.cli import main
from zeropoint.models import load_model
from zeropoint.results.runs import read_run
from zeropoint.results.tasks import TasksResult

LINES = [
    {"id": "france", "prompt": "the capital is", "choices": ["an inn", "the rain"], "answer": 0},
    {"id": "words", "prompt": "the rain in", "answer": "spain"},
    {"id": "digits", "prompt": "say a digit", "regex": "[0-9]"},
    {"id": "greedy", "prompt": "the", "answer": "x", "by": "likelihood"},
]
CODE = {"id": "code", "prompt": "def f(x):\n", "tests": "assert f(1) == 1"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    return [
        str(write_model(folder / "a.gguf", columns=128)),
        str(write_model(folder / "b.gguf", columns=128, format="Q8_0")),
    ]


def write(path: Path, *lines: object) -> str:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n")
    return str(path)


def test_before_and_after_are_told_with_flips(
    models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "t.jsonl", *LINES, "{bad")
    words = ["tasks", *models, "--tasks", file, "-n", "8", "--threads", "1"]
    assert main([*words, "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert "line 5 is left out" in captured.err
    assert found["bad_lines"][0]["line"] == 5
    assert [one["tasks"] for one in found["models"]] == [4, 4]
    beside = found["models"][0]["beside_first"]
    assert (beside["lost"], beside["won"], beside["p"]) == ([], [], 1.0)
    assert found["models"][1]["by_kind"]["exact"]["tasks"] == 2
    assert main(words) == 0
    said = capsys.readouterr().out
    for told in ("Lost", "Won", "Tokens per answer", "McNemar", "Right by kind"):
        assert told in said


def test_code_needs_a_word_of_its_own(
    models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tasks", models[0], "-n", "8", "--threads", "1", "--json"]
    assert main([*words, "--tasks", write(tmp_path / "only.jsonl", CODE)]) == 2
    assert "--allow-code" in capsys.readouterr().err
    both = write(tmp_path / "both.jsonl", CODE, *LINES)
    assert main([*words, "--tasks", both]) == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == ["code"]
    assert main([*words, "--tasks", both, "--allow-code"]) == 0
    found = json.loads(capsys.readouterr().out)["models"][0]
    assert found["by_kind"]["code"] == {
        "tasks": 1,
        "right": 0,
        "accuracy": found["by_kind"]["code"]["accuracy"],
    }


def test_a_run_goes_on_after_a_kill(models: list[str], tmp_path: Path) -> None:
    """A resumed run keeps its answers, and its result equals that of an uninterrupted run."""
    file = write(tmp_path / "t.jsonl", *({**LINES[1], "id": f"t{n}"} for n in range(30)))
    words = [sys.executable, "-m", "zeropoint", "tasks", models[0], "--tasks", file, "-n", "40"]
    words += ["--no-chat", "--batch-size", "1", "--threads", "1", "--json", "-q"]
    kept = tmp_path / "run" / "answers-0.json"
    process = subprocess.Popen([*words, "--run", str(tmp_path / "run")], stdout=subprocess.DEVNULL)
    while not kept.exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = json.loads(kept.read_text())
    again, whole = (
        subprocess.run(
            [*words, "--run", str(tmp_path / name)], capture_output=True, text=True, env=os.environ
        )
        for name in ("run", "whole")
    )
    assert again.returncode == whole.returncode == 0
    assert json.loads(again.stdout) == json.loads(whole.stdout)
    after = json.loads(kept.read_text())
    assert after[: len(before)] == before
    assert sorted(a["task"] for a in after) == sorted(f"t{n}" for n in range(30))


def test_the_harness_is_an_extra(
    models: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("zeropoint.verbs.lm_eval.find_spec", lambda _name: None)
    assert main(["tasks", models[0], "--lm-eval", "mine"]) == 2
    assert "zeropoint[lm-eval]" in capsys.readouterr().err
    assert main(["tasks", models[0]]) == 2
    assert "--tasks FILE or --lm-eval" in capsys.readouterr().err
    words = ["tasks", models[0], "--lm-eval", "mine", "--report", "page.html"]
    assert main(words) == 2  # before any work, and not after it
    assert "a report does not show" in capsys.readouterr().err


def test_the_function_returns_what_the_command_prints(
    models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "t.jsonl", *LINES, "{bad")
    assert main(["tasks", *models, "--tasks", file, "-n", "8", "--threads", "1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    records: list[object] = []
    result = zeropoint.tasks(models, file, tokens=8, threads=1, progress=records.append)
    assert result.to_json().items() <= printed.items()
    assert [type(record).__name__ for record in records if not hasattr(record, "done")] == [
        "Notice", "ModelStarted", "StageStarted", "ModelStarted", "StageStarted",
    ]  # fmt: skip
    loaded = load_model(zeropoint.open_checkpoint(models[0]), threads=1)
    alone = zeropoint.tasks(loaded, file, tokens=8, run=tmp_path / "run")
    assert alone.models[0] == result.models[0]
    assert read_run(tmp_path / "run").result_as(TasksResult) == alone
