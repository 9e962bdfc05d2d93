"""`zeropoint.report` as a function: the page of the command."""

import json
from pathlib import Path
from typing import Any

import pytest

import zeropoint as zp
from support.tiny_models import write_model
from zeropoint.cli import main
from zeropoint.errors import CheckpointError, OutputError, ZeropointError
from zeropoint.verbs.report import ExampleUsed


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="module")
def run(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    zp.quantize_checkpoint(tiny, folder / "out.gguf", to="Q8_0", run=folder / "quantized")
    return folder / "quantized"


def test_the_page_and_the_result_are_those_of_the_command(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    assert main(["report", str(run), "-o", str(page), "--json", "-q"]) == 0
    printed = json.loads(capsys.readouterr().out)
    text = page.read_bytes()
    result = zp.report(run, page)
    assert page.read_bytes() == text
    for key in ("schema", "zeropoint"):
        printed.pop(key)
    assert json.loads(json.dumps(result.to_json())) == printed
    assert result.bytes == len(text)


def test_a_walk_reads_the_model_and_names_what_comes_from_the_example(
    tiny: Path, run: Path, tmp_path: Path
) -> None:
    records: list[Any] = []
    page = tmp_path / "walk.html"
    result = zp.report([tiny, run], page, walk=True, threads=1, progress=records.append)
    assert result.runs == (str(tiny), str(run)) and page.stat().st_size == result.bytes
    example = next(record for record in records if isinstance(record, ExampleUsed))
    assert "ladder" in example.parts


def test_errors_say_what_would_work(tiny: Path, run: Path, tmp_path: Path) -> None:
    other = tmp_path / "notes.html"
    other.write_text("mine")
    with pytest.raises(ZeropointError):
        zp.report(run, other)
    assert other.read_text() == "mine"
    with pytest.raises(CheckpointError):
        zp.report(tmp_path / "nothing", tmp_path / "page.html")
    with pytest.raises(OutputError, match="cannot show 3 models"):
        zp.report([tiny, tiny, tiny], tmp_path / "walk.html", walk=True)
