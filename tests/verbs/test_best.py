"""`quantize --to best` gives a file within the limit, with its loss, and says what it cannot do."""

from pathlib import Path
from typing import Any

import pytest

import zeropoint as zp
from support.search_runs import write_search_text
from support.tiny_models import write_model
from zeropoint.checkpoints import open_checkpoint
from zeropoint.cli import main
from zeropoint.errors import CheckpointError, InfeasibleBudget, OutputError, RecipeError
from zeropoint.quantizers.proof import read_proof
from zeropoint.results.allocation import BestResult
from zeropoint.verbs.best import BestPlanned
from zeropoint.verbs.options.quantize import QuantizeOptions
from zeropoint.verbs.quantize import quantize_checkpoint_records

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("best")
    write_model(folder / "model.gguf")
    write_search_text(folder / "text.txt")
    return folder


def best(folder: Path, output: Path, **options: Any) -> BestResult:
    settings = {"text": folder / "text.txt", "effort": "quick"} | options
    result = zp.quantize_checkpoint(folder / "model.gguf", output, to="best", **settings)
    assert isinstance(result, BestResult)
    return result


@pytest.mark.parametrize("rounding", ["auto", "feedback"])
def test_the_file_is_within_the_limit_to_the_byte_and_carries_its_loss(
    folder: Path, tmp_path: Path, rounding: str
) -> None:
    output = tmp_path / "best.gguf"
    result = best(folder, output, bits=4.5, rounding=rounding)
    size = output.stat().st_size
    assert size == result.output_bytes == result.search.file_bytes <= result.search.budget_bytes
    assert size > 0.98 * result.search.budget_bytes
    with open_checkpoint(output) as quantized:
        proof = read_proof(quantized)
        formats = {name: quantized.tensors[name].format.name for name in result.search.formats}
        stated = str(quantized.metadata["zeropoint.rounding"])
    assert formats == dict(result.search.formats)
    assert proof.loss is not None and proof.loss.kl.mean == pytest.approx(result.measured.kl.mean)
    assert proof.method["method"].startswith("search, effort quick")
    assert ("feedback" in stated) == (rounding == "feedback")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.gguf", "best.svg"]
    assert result.picture == str(tmp_path / "best.svg") and result.output == (str(output),)
    assert (tmp_path / "best.svg").read_text().startswith("<svg")
    assert len(repr(result)) < 300 and str(size) in repr(result)
    assert result.comparison is not None and "Q4_K_M" in result.comparison.sentence


def test_a_stopped_command_continues_to_the_same_file(folder: Path, tmp_path: Path) -> None:
    whole, output = tmp_path / "whole.gguf", tmp_path / "best.gguf"
    best(folder, whole, bits=4, rounding="feedback")
    options = QuantizeOptions(bits=4, text=folder / "text.txt", effort="quick", rounding="feedback")
    for stop in (5, 60, 140):
        records = quantize_checkpoint_records(folder / "model.gguf", output, "best", options)
        for count, _ in enumerate(records):
            if count == stop:
                break
        records.close()  # type: ignore[attr-defined]
        assert not output.exists()
    best(folder, output, bits=4, rounding="feedback")
    assert output.read_bytes()[-200_000:] == whole.read_bytes()[-200_000:]


def test_the_estimate_names_quick_before_the_work(folder: Path, tmp_path: Path) -> None:
    options = QuantizeOptions(bits=4, text=folder / "text.txt", effort="normal")
    records = quantize_checkpoint_records(
        folder / "model.gguf", tmp_path / "b.gguf", "best", options
    )
    planned = next(iter(records))
    records.close()  # type: ignore[attr-defined]
    assert isinstance(planned, BestPlanned) and planned.feedback
    assert 0 < planned.quick_seconds < planned.seconds


def test_wrong_options_are_errors_before_anything_is_read(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "b.gguf"
    for options, error, message in [
        ({}, OutputError, "needs a limit"),
        ({"bits": 4, "pure": True}, OutputError, "--pure"),
        ({"bits": 4, "budget": "1MB"}, RecipeError, "give one"),
        ({"bits": "4,5"}, RecipeError, "needs one budget"),
        ({"bits": 0.5}, InfeasibleBudget, "smallest"),
    ]:
        with pytest.raises(error, match=message):
            best(folder, output, **options)
        assert not output.exists()
    with pytest.raises(OutputError, match="only be used with --to best"):
        zp.quantize_checkpoint(folder / "model.gguf", output, to="Q4_K", bits=4)
    with pytest.raises(OutputError, match="GGUF file"):
        best(folder, tmp_path / "folder", bits=4)
    output.write_bytes(b"kept")
    with pytest.raises(CheckpointError, match="exists"):
        best(folder, output, bits=4)
    assert output.read_bytes() == b"kept"


def test_a_dry_run_names_the_command_that_finds_the_formats(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(folder / "model.gguf")
    assert main(["quantize", model, "--to", "best", "--bits", "4", "--dry-run"]) == 2
    assert "zeropoint search" in capsys.readouterr().err
