"""The stages of a verb: each has its own progress, and no record is lost."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from zeropoint.cli.output import Output, ProgressStyle
from zeropoint.cli.stages import follow
from zeropoint.verbs.records import Notice, StageStarted, drain


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
