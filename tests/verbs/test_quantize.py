"""`zeropoint.quantize_checkpoint` as a function: the bytes and the figures of the command."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zeropoint as zp
from support.tiny_models import write_model
from zeropoint.calibration import Calibration, InputStatistics, read_imatrix, write_imatrix
from zeropoint.checkpoints import open_checkpoint
from zeropoint.cli import main
from zeropoint.errors import CheckpointError, FormatError, OutputError, RecipeError
from zeropoint.plans import Recipe
from zeropoint.quantizers import OutputWritten, TensorWritten
from zeropoint.results.quantize import QuantizePreview, QuantizeResult
from zeropoint.verbs.options.quantize import QuantizeOptions
from zeropoint.verbs.quantize import quantize_checkpoint_records

TIMES = ("seconds", "weights_per_second", "peak_memory_bytes")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="module")
def imatrix(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("importance") / "tiny.imatrix.gguf"
    statistics = {
        f"blk.{layer}.{name}.weight": InputStatistics(
            random.random((1, 256), np.float32) * 500, np.array([500])
        )
        for layer in range(2)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_gate")
    }
    write_imatrix(path, Calibration(statistics, 4, 512, ("test",)))
    return path


def command(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    """The JSON object of the command, without what every command adds."""
    assert main(["quantize", *map(str, words), "--json", "--quiet"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    for key in ("schema", "zeropoint"):
        result.pop(key)
    return result


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key not in TIMES}


def test_the_file_and_the_result_are_those_of_the_command(
    tiny: Path, imatrix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.gguf"
    words = ["--imatrix", imatrix, "--tensor-type", "ffn_down=Q8_0", "--overwrite"]
    printed = command(capsys, tiny, output, "--to", "Q4_K_M", *words)
    written = output.read_bytes()
    result = zp.quantize_checkpoint(
        tiny, output, to="q4_k_m", imatrix=imatrix, tensor_type=["ffn_down=Q8_0"], overwrite=True
    )
    assert isinstance(result, QuantizeResult)
    assert output.read_bytes() == written
    returned = json.loads(json.dumps(result.to_json()))
    assert list(returned) == list(printed)
    assert without_times(returned) == without_times(printed)
    assert result.output_bytes == len(written)


def test_open_objects_are_accepted_and_stay_open(tiny: Path, imatrix: Path, tmp_path: Path) -> None:
    with open_checkpoint(tiny) as source:
        one = zp.quantize_checkpoint(
            source, tmp_path / "one.gguf", to=Recipe.parse("* Q4_K"), imatrix=read_imatrix(imatrix)
        )
        assert source.read("output_norm.weight").shape == (256,)
    two = zp.quantize_checkpoint(
        str(tiny), str(tmp_path / "two.gguf"), to="Q4_K", imatrix=imatrix, pure=True
    )
    assert one.error == two.error and one.tensors is not None
    assert {row.format for row in one.tensors if row.weighted} == {"Q4_K"}


def test_a_preview_is_the_dry_run_of_the_command(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preview = zp.preview_quantization(tiny, to="Q4_K_M", options=QuantizeOptions(pure=True))
    assert isinstance(preview, QuantizePreview)
    printed = command(capsys, tiny, "--to", "Q4_K_M", "--dry-run", "--pure")
    assert json.loads(json.dumps(preview.to_json())) == printed
    written = zp.quantize_checkpoint(tiny, tmp_path / "out.gguf", to="Q4_K_M", pure=True)
    assert written.output_bytes == preview.output_bytes


def test_a_folder_is_written_for_a_name_without_a_suffix(tiny: Path, tmp_path: Path) -> None:
    result = zp.quantize_checkpoint(tiny, tmp_path / "folder", to="bf16")
    assert result.output == (str(tmp_path / "folder"),)
    assert zp.inspect(tmp_path / "folder").kind.name == "model"
    with pytest.raises(OutputError, match=r"--imatrix and --pure cannot be used.*other\.gguf"):
        zp.quantize_checkpoint(tiny, tmp_path / "other", to="F16", pure=True, imatrix="x")


def test_progress_is_reported_and_the_result_comes_last(tiny: Path, tmp_path: Path) -> None:
    records: list[Any] = []
    output = tmp_path / "out.gguf"
    result = zp.quantize_checkpoint(tiny, output, to="Q8_0", progress=records.append)
    names = [record.name for record in records if isinstance(record, TensorWritten)]
    assert result.tensors is not None
    assert names == [tensor.name for tensor in result.tensors]
    assert isinstance(records[-1], OutputWritten)
    assert records[0].total == records[-1].done


def test_a_run_that_is_not_finished_leaves_no_file(tiny: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    records = quantize_checkpoint_records(tiny, output, "Q8_0", QuantizeOptions())
    while not isinstance(next(records), TensorWritten):
        pass
    records.close()  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []


def test_errors_say_what_would_work(tiny: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    with pytest.raises(RecipeError, match="Q4_K_M"):
        zp.quantize_checkpoint(tiny, output, to="Q4_K_N")
    zp.quantize_checkpoint(tiny, output, to="Q8_0")
    with pytest.raises(CheckpointError, match="exists"):
        zp.quantize_checkpoint(tiny, output, to="Q8_0")
    with pytest.raises(FormatError, match="--requantize"):
        zp.quantize_checkpoint(output, tmp_path / "two.gguf", to="Q4_0")
    assert zp.quantize_checkpoint(output, tmp_path / "two.gguf", to="Q4_0", requantize=True)
