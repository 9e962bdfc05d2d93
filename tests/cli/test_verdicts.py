"""The verdict comes first: what was found, why, and what it means for the answers of a model."""

import json
from pathlib import Path

import pytest

import zeropoint as zp
from support.tiny_models import write_model
from zeropoint.cli import main
from zeropoint.cli.views.measure import UNKNOWN_CONSEQUENCE
from zeropoint.metrics.divergence.verdict import verdict, verdict_reason
from zeropoint.metrics.statistics import ConfidenceInterval as Interval

SURE = Interval(1.0, 0.99, 1.0)  # top-1
SAME = Interval(1.0, 1.0, 1.01)  # perplexity ratio


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    reference = write_model(folder / "a.gguf")
    zp.quantize_checkpoint(reference, folder / "b.gguf", to="Q2_K_S", text=["builtin:prose"])
    return [str(reference), str(folder / "b.gguf")]


def lines_of(capsys: pytest.CaptureFixture[str], *words: object) -> list[str]:
    assert main([*map(str, words), "--threads", "1"]) == 0
    return capsys.readouterr().out.splitlines()


def test_measure_begins_with_the_verdict_and_says_what_is_unknown(
    models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "words.txt"
    text.write_text("to be or not to be, that is the question\n" * 60)
    words = ("--ref", models[0], "--text", text, "--ctx", 32, "--chunks", 4)
    lines = lines_of(capsys, "measure", models[1], *words)
    starts = [line.split(" ")[0] for line in lines]
    assert starts.index("Verdict") < next(at for at, line in enumerate(lines) if "KL mean" in line)
    at = starts.index("Verdict")
    assert lines[at + 1].strip().startswith("Reason: ")
    assert lines[at + 2].strip() == UNKNOWN_CONSEQUENCE
    compared = lines_of(capsys, "compare", models[1], *words)
    first = next(line for line in compared if line.startswith(("Verdict", "Quant ")))
    assert first.startswith("Verdict      b.gguf: ")


def test_tasks_begin_with_the_consequence(
    models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tasks.jsonl"
    tasks = [{"prompt": f"{number} +", "answer": str(number)} for number in range(6)]
    file.write_text("\n".join(map(json.dumps, tasks)))
    lines = lines_of(capsys, "tasks", *models, "--tasks", file, "-n", 4)
    result = zp.tasks(models, file, tokens=4, threads=1)
    baseline, quant = result.models
    assert baseline.beside_first.changed.mean == 0 and baseline.beside_first.consequence == ""
    flips = quant.beside_first
    assert flips.changed.mean >= flips.lost_share.mean
    verdict_line = next(line for line in lines if line.strip())
    assert verdict_line.startswith("Verdict      b.gguf: NO SIGNIFICANT DIFFERENCE (p ")
    assert verdict_line.endswith(flips.consequence)
    assert flips.consequence.startswith("Of 100 answers like these, ")


@pytest.mark.parametrize(
    ("kl", "top1", "ratio", "reason"),
    [
        (Interval(0.0, 0.0, 0.0), SURE, SAME, "exactly the same"),
        (Interval(0.0004, 0.0003, 0.0005), SURE, SAME, "within the noise floor of 0.001"),
        (Interval(0.1, float("nan"), float("nan")), SURE, SAME, "one chunk"),
        (Interval(1.5, 0.1, 3.6), Interval(0.4, 0.3, 0.45), SAME, "45.0% of positions"),
        (Interval(1.5, 0.1, 3.6), SURE, Interval(3.0, 2.5, 4.0), "at least 2.5 times"),
        (Interval(0.1, 0.05, 0.2), Interval(0.85, 0.8, 0.89), SAME, "limit is 90%"),
        (Interval(0.1, 0.05, 0.2), SURE, Interval(1.08, 1.06, 1.1), "limit is 1.05"),
        (Interval(0.01, 0.005, 0.02), SURE, SAME, "begins at 0.005, above the noise floor"),
        (Interval(0.002, 0.0005, 0.005), SURE, SAME, "contains the noise floor"),
        (Interval(0.02, 0.0005, 0.05), SURE, SAME, "more than 10 times it"),
    ],
)
def test_the_reason_is_that_of_the_rule_that_decided(
    kl: Interval, top1: Interval, ratio: Interval, reason: str
) -> None:
    assert reason in verdict_reason(kl, 0.001, top1, ratio)
    word = verdict(kl, 0.001, top1, ratio)
    limits = {"45.0%": "BROKEN", "2.5 times": "BROKEN", "90%": "NOTICEABLE", "1.05": "NOTICEABLE"}
    expected = [name for mark, name in limits.items() if mark in reason]
    assert not expected or word == expected[0]
