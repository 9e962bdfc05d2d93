"""Verbs that are given no count choose one by time, report it, and resume with it."""

import json
from pathlib import Path
from typing import Any

import pytest

import zeropoint as zp
from support.tiny_models import write_model
from zeropoint.cli import main
from zeropoint.metrics.divergence.run import MeasureProgress
from zeropoint.results.chosen_count import ChosenCount, stored_count
from zeropoint.results.divergence import MeasureResult
from zeropoint.verbs import default_count
from zeropoint.verbs.default_count import COUNTS, FirstTimed, choose_count
from zeropoint.verbs.drift_choice import CHAIN_COUNTS
from zeropoint.verbs.measure import measure_records
from zeropoint.verbs.options.measure import MeasureOptions

ALL_CHUNKS = 40  # of the text below, and more; 32 is the largest count below all of them


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    reference = write_model(folder / "a.gguf")
    zp.quantize_checkpoint(reference, folder / "b.gguf", to="Q4_0")
    return reference, folder / "b.gguf"


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "words.txt"
    path.write_text("to be or not to be, that is the question\n" * 60)
    return path


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time at all is allowed, so that every count is the smallest one."""
    monkeypatch.setattr(default_count, "DEFAULT_SECONDS", 0.0)
    monkeypatch.setattr("zeropoint.verbs.drift_choice.DEFAULT_SECONDS", 0.0)


@pytest.mark.parametrize("seconds", [0.01, 0.3, 1.0, 2.0, 5.0, 100.0])
@pytest.mark.parametrize("minimum", [8, 32])
def test_the_count_is_the_largest_that_takes_two_minutes(seconds: float, minimum: int) -> None:
    count = choose_count(seconds, 484, minimum=minimum)
    assert count in (*COUNTS, 484) and count >= minimum
    assert count * seconds <= 120 or count == minimum
    larger = next((other for other in (*COUNTS, 484) if other > count), None)
    assert larger is None or larger * seconds > 120


@pytest.mark.usefixtures("slow")
def test_a_stopped_measurement_resumes_with_its_count(
    models: tuple[Path, Path], text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, quant = models
    options = MeasureOptions(text=[text], context=16, threads=1, run=tmp_path / "run")
    records = measure_records(quant, reference, options)
    seen = [next(records) for _ in range(2)]
    assert isinstance(seen[1], FirstTimed) and seen[1].available > ALL_CHUNKS
    while not isinstance(next(records), MeasureProgress):
        pass
    records.close()
    chosen = stored_count(tmp_path / "run", "chunks")
    assert chosen == ChosenCount("chunks", 8, seen[1].available)
    monkeypatch.setattr(default_count, "DEFAULT_SECONDS", 1e9)  # would now choose all of them
    *again, result = measure_records(quant, reference, options)
    assert isinstance(result, MeasureResult) and (result.chunks, result.complete) == (8, True)
    assert result.chosen_count == chosen and not any(isinstance(one, FirstTimed) for one in again)
    explicit = zp.measure(quant, reference, text=[text], context=16, chunks=8, threads=1)
    assert explicit.kl == result.kl and explicit.chosen_count is None


@pytest.mark.usefixtures("slow")
def test_every_verb_reports_the_count_that_it_chose(
    models: tuple[Path, Path], text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.dumps({"prompt": f"{number} is", "answer": "2"}) for number in range(12)]
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text("\n".join(lines))
    reference, quant = map(str, models)
    long = tmp_path / "long.txt"  # of which 12 windows can be cut
    long.write_text("to be or not to be, that is the question\n" * 700)

    def told(*words: object) -> dict[str, Any]:
        assert main([*map(str, words), "--json", "-q", "--threads", "1"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    texts = ("--text", text, "--ctx", 16)
    measured = told("measure", quant, "--ref", reference, *texts)
    assert (measured["chosen_count"]["count"], measured["chunks"]) == (8, 8)
    compared = told("compare", quant, quant, "--ref", reference, *texts)
    assert compared["chosen_count"]["count"] == compared["results"][1]["chunks"] == 8
    across = told("compare", quant, reference, "--text", long)
    assert across["chosen_count"]["unit"] == "windows"
    assert across["results"][0]["text"]["windows"] == across["chosen_count"]["count"] == 8
    ladder = told("ladder", reference, "--levels", "8", *texts)
    assert ladder["chosen_count"]["count"] == ladder["levels"][0]["chunks"] == 8
    answered = told("tasks", quant, "--tasks", tasks, "-n", 2)
    assert (answered["chosen_count"], answered["tasks"]) == (
        {"unit": "tasks", "count": 8, "available": 12}, 8
    )  # fmt: skip
    drift = told("drift", quant, "--ref", reference, "-n", 2, "--decoding", "greedy")
    assert (drift["chosen_prompts"]["count"], drift["prompts"]) == (8, 8)
    assert drift["chosen_chains"] == {"unit": "chains", "count": 0, "available": CHAIN_COUNTS[0]}
    assert "chains" not in drift
    output = tmp_path / "i.gguf"
    calibrated = told("calibrate", reference, "-o", output, *texts)
    assert calibrated["chosen_count"]["count"] == calibrated["chunks"] == 32


@pytest.mark.usefixtures("slow")
def test_runs_of_drift_and_tasks_resume_with_their_counts(
    models: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts, tasks = tmp_path / "prompts.txt", tmp_path / "tasks.jsonl"
    long = "to be or not to be " * 200  # more than the context: left out before the count applies
    prompts.write_text("\n".join([long, *(f"number {number}" for number in range(12))]))
    tasks.write_text("\n".join(json.dumps({"prompt": f"{n} +", "answer": "2"}) for n in range(12)))
    reference, quant = models

    def run() -> tuple[object, object]:
        options: dict[str, Any] = {"tokens": 2, "threads": 1}
        return (
            zp.drift(quant, reference, prompts=prompts, run=tmp_path / "drift", **options),
            zp.tasks([reference, quant], tasks, run=tmp_path / "tasks", **options),
        )

    first = run()
    monkeypatch.setattr(default_count, "DEFAULT_SECONDS", 1e9)
    monkeypatch.setattr("zeropoint.verbs.drift_choice.DEFAULT_SECONDS", 1e9)
    assert run() == first
    assert first[0].prompts == first[1].tasks == 8  # type: ignore[attr-defined]


@pytest.mark.usefixtures("slow")
def test_a_width_of_the_interval_is_reached_whatever_the_time(
    models: tuple[Path, Path], text: Path
) -> None:
    options: dict[str, Any] = {"text": [text], "context": 16, "threads": 1}
    result = zp.measure(models[1], models[0], until=1e-9, **options)
    assert result.chunks > ALL_CHUNKS and result.chosen_count is None


def test_all_chunks_are_measured_if_that_is_said(models: tuple[Path, Path], text: Path) -> None:
    reference, quant = models
    options: dict[str, Any] = {"text": [text], "context": 16, "threads": 1}
    result = zp.measure(quant, reference, chunks="all", **options)
    assert result.chunks > ALL_CHUNKS and result.chosen_count is None
    by_time = zp.measure(quant, reference, **options)  # a tiny model is fast enough for all
    assert by_time.kl == result.kl and by_time.chosen_count is not None
    with pytest.raises(zp.MeasurementError, match=r"chunks \(--chunks\) must be a number or 'all'"):
        zp.measure(quant, reference, chunks="many", **options)  # type: ignore[arg-type]
    words = ["measure", str(quant), "--ref", str(reference), "--chunks", "many"]
    assert main(words) == 2
