"""`zeropoint.calibrate` as a function: the file and the figures of the command."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import zeropoint as zp
from support.tiny_models import write_model
from zeropoint.calibration import read_imatrix
from zeropoint.calibration.run import ChunkRead
from zeropoint.cli import main
from zeropoint.errors import OutputError
from zeropoint.results.calibrate import CalibrateResult
from zeropoint.verbs.calibrate import MomentsStarted, calibrate_records, partial_path
from zeropoint.verbs.options.calibrate import CalibrateOptions


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "words.txt"
    path.write_text("to be or not to be, that is the question\n" * 60)
    return path


def test_the_file_and_the_result_are_those_of_the_command(
    tiny: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "tiny.imatrix.gguf"
    words = ["--text", str(text), "--ctx", "16", "--chunks", "3", "--json", "--quiet"]
    assert main(["calibrate", str(tiny), "-o", str(output), *words]) == 0
    printed = json.loads(capsys.readouterr().out)
    for key in ("schema", "zeropoint"):
        printed.pop(key)
    written = output.read_bytes()
    model = zp.load_model(tiny)
    result = zp.calibrate(model, output, text=[text], context=16, chunks=3, overwrite=True)
    assert output.read_bytes() == written
    assert json.loads(json.dumps(result.to_json())) == printed
    assert CalibrateResult.from_json(printed, "x").to_json() == result.to_json()
    assert (result.tokens, result.tensors) == (48, len(read_imatrix(output).statistics))
    assert result.matrices == len(result.coverage) == len(result.rows())  # 48 rows are few


def test_the_file_is_what_quantize_checkpoint_takes(tiny: Path, text: Path, tmp_path: Path) -> None:
    importance = tmp_path / "tiny.imatrix.gguf"
    zp.calibrate(tiny, importance, text=text, context=16, chunks=2)
    result = zp.quantize_checkpoint(tiny, tmp_path / "o.gguf", to="Q4_0", imatrix=importance)
    assert result.tensors is not None and any(tensor.weighted for tensor in result.tensors)


def test_progress_is_reported_and_second_moments_are_announced(
    tiny: Path, text: Path, tmp_path: Path
) -> None:
    records: list[Any] = []
    folder = tmp_path / "moments"
    result = zp.calibrate(
        tiny,
        tmp_path / "i.gguf",
        text=[str(text)],
        context=16,
        chunks=2,
        second_moments=folder,
        progress=records.append,
    )
    assert result.second_moments == str(folder)
    moments, stage, *chunks = records
    assert isinstance(moments, MomentsStarted) and moments.folder == folder
    files = sum(file.stat().st_size for file in folder.glob("*.npy"))
    assert 0 < files - moments.nbytes < 200 * len(list(folder.glob("*.npy")))  # numpy's headers
    assert [chunk.done for chunk in chunks] == [1, stage.total] == [1, 2]


def records_of(tiny: Path, text: Path, output: Path) -> Iterator[Any]:
    options = CalibrateOptions(text=[text], context=16)
    records = calibrate_records(tiny, output, options)
    while not isinstance(next(records), ChunkRead):
        pass
    return records


def test_an_interrupt_writes_what_was_read(tiny: Path, text: Path, tmp_path: Path) -> None:
    output = tmp_path / "i.gguf"
    with pytest.raises(KeyboardInterrupt):
        records_of(tiny, text, output).throw(KeyboardInterrupt())  # type: ignore[attr-defined]
    kept = read_imatrix(partial_path(output))
    assert not output.exists() and kept.chunks == 1 < (kept.planned or 0)


def test_a_run_that_is_closed_writes_nothing(tiny: Path, text: Path, tmp_path: Path) -> None:
    output = tmp_path / "i.gguf"
    records_of(tiny, text, output).close()  # type: ignore[attr-defined]
    assert not output.exists()


def test_a_name_without_gguf_is_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"must end in \.gguf"):
        zp.calibrate(tiny, tmp_path / "x.dat")
