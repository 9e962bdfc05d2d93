"""The stages of a verb: each has its own progress, and no record is lost."""

import json
import logging
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import zeropoint as zp
from support.tiny_models import write_model
from zeropoint.cli import main
from zeropoint.cli.output import Output, ProgressStyle
from zeropoint.cli.stages import follow
from zeropoint.metrics.divergence.run import MeasureProgress, MeasureRun
from zeropoint.verbs.records import Notice, StageStarted, drain


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    reference = write_model(folder / "a.gguf")
    zp.quantize_checkpoint(reference, folder / "b.gguf", to="Q4_0")
    return reference, folder / "b.gguf"


@dataclass(frozen=True)
class Counted:
    done: int
    detail: str = "half of it"


RECORDS = [
    Notice("line 3 is left out"),
    StageStarted("reading", 2),
    Counted(1),
    Counted(2),
    StageStarted("writing", 1),
    Counted(1),
    "the result",
]


@pytest.mark.parametrize("how", list(ProgressStyle))
def test_all_records_arrive_in_their_order(how: ProgressStyle) -> None:
    assert list(follow(iter(RECORDS), Output(), how)) == RECORDS


def test_each_stage_counts_for_itself(capsys: pytest.CaptureFixture[str]) -> None:
    list(follow(RECORDS, Output(quiet=True), ProgressStyle.json))
    warning, *lines = capsys.readouterr().err.splitlines()
    assert warning == "warning: line 3 is left out"
    told = [json.loads(line) for line in lines]
    assert [(line["step"], line["done"], line["total"]) for line in told] == [
        ("reading", 1, 2), ("reading", 2, 2), ("writing", 1, 1),
    ]  # fmt: skip


def test_the_library_returns_the_result_and_passes_on_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[object] = []
    assert drain(iter(RECORDS), str, seen.append) == "the result"
    assert seen == RECORDS[:-1]
    with caplog.at_level(logging.WARNING):
        drain(_again(), str)
    assert [record.message for record in caplog.records] == ["line 3 is left out"]


def _again() -> Iterator[object]:
    yield from RECORDS


def test_a_pipe_sees_how_much_there_is_to_do_and_then_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zeropoint.cli.progress.FIRST_LINE_SECONDS", 0.05)

    def slowly() -> Iterator[object]:
        yield StageStarted("measuring", 40, "chunks", 3.0)
        time.sleep(0.3)  # the first chunk
        yield Counted(1)
        yield Counted(2)

    list(follow(slowly(), Output(), ProgressStyle.plain))
    first, second = capsys.readouterr().err.splitlines()
    assert first == "measuring: 0 of 40 chunks, about 2 min 0 s left"
    assert re.fullmatch(r"measuring: 1 of 40 chunks, about \d+ s left   half of it", second)


def test_an_interrupt_prints_the_figures_so_far(
    models: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    reference, quant = models
    words = ["measure", str(quant), "--ref", str(reference), "--ctx", "32", "--chunks", "9"]
    text = tmp_path / "words.txt"
    text.write_text("to be or not to be, that is the question\n" * 60)

    def interrupted(run: MeasureRun) -> MeasureProgress:
        if len(run.scores) > 4:
            raise KeyboardInterrupt
        return progress(run)

    progress = MeasureRun._progress
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MeasureRun, "_progress", interrupted)
        assert main([*words, "--text", str(text), "--run", str(tmp_path / "run")]) == 130
    stopped, where, _ = capsys.readouterr().err.splitlines()[-3:]
    figures = r"KL \d\.\d+ nats per token \(\d\.\d+ … \d\.\d+, 95 % interval\)"
    assert re.fullmatch(rf"measuring stopped after 4 of 9 chunks: {figures}", stopped)
    assert where == f"{tmp_path / 'run'} holds the finished work; the same command resumes it"
