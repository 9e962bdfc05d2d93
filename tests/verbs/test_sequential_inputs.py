"""`quantize --inputs sequential`: each layer is rounded with inputs behind quantized layers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zeropoint as zp
from support.tiny_models import write_model
from zeropoint.calibration.chunks import read_chunks
from zeropoint.calibration.corpus import read_corpus
from zeropoint.calibration.layer_walk import LayerProgress
from zeropoint.calibration.moments import MomentFolder
from zeropoint.calibration.run import CalibrationRun
from zeropoint.checkpoints import open_checkpoint
from zeropoint.cli import main
from zeropoint.models import load_model
from zeropoint.verbs.options.quantize import QuantizeOptions
from zeropoint.verbs.quantize import quantize_checkpoint_records
from zeropoint.verbs.second_moments import CONTEXT
from zeropoint.verbs.work_folder import work_folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny.gguf", format="BF16")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "words.txt"
    path.write_text("the rain in spain 42 " * 80)
    return path


@pytest.fixture(scope="module")
def options(text: Path) -> QuantizeOptions:
    return QuantizeOptions(text=text, rounding="feedback", inputs="sequential", threads=1)


@pytest.fixture(scope="module")
def whole(tiny: Path, options: QuantizeOptions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a command that was not interrupted."""
    output = tmp_path_factory.mktemp("outputs") / "whole.gguf"
    list(quantize_checkpoint_records(tiny, output, "Q4_0", options))
    return output


def test_the_second_layer_gets_the_inputs_behind_the_quantized_first_layer(
    tiny: Path, text: Path, options: QuantizeOptions, whole: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.gguf"
    steps = quantize_checkpoint_records(tiny, output, "Q4_0", options)
    last = None
    for record in steps:
        if isinstance(record, LayerProgress) and record.layer == 2 and last != record.done:
            last = record.done
            if (work_folder(output) / "moments" / "blk.1.attn_q.weight.json").exists():
                break
    steps.close()
    found = MomentFolder.open(work_folder(output) / "moments").read("blk.1.attn_q.weight")[0]
    quantized = load_model(whole, threads=1)
    chunks = read_chunks(read_corpus([text]), quantized.checkpoint, quantized.tokenizer, CONTEXT)
    expected = MomentFolder.start(tmp_path / "expected", {}, {})
    for _ in CalibrationRun(quantized, chunks, moments=expected).steps():
        pass
    assert np.array_equal(found, expected.read("blk.1.attn_q.weight")[0])


def test_the_moments_of_one_layer_are_on_disk_at_a_time_and_nothing_is_left(
    tiny: Path, options: QuantizeOptions, tmp_path: Path
) -> None:
    output = tmp_path / "out.gguf"
    work = work_folder(output) / "moments"
    layers = set()
    for _ in quantize_checkpoint_records(tiny, output, "Q4_0", options):
        present = {path.name.split(".")[1] for path in work.glob("blk.*.weight.npy")}
        assert len(present) <= 1
        layers |= present
    assert layers == {"0", "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["out.gguf"]


def test_feedback_lowers_the_objective_of_every_matrix_and_the_file_names_the_inputs(
    tiny: Path, text: Path, whole: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.gguf"
    result = zp.quantize_checkpoint(
        tiny, output, to="Q4_0", text=text, rounding="feedback", inputs="sequential", threads=3
    )
    assert output.read_bytes() == whole.read_bytes()  # made by one thread
    changes = [row.feedback for row in result.tensors or () if row.feedback]
    assert len(changes) == 2 * 7
    assert all(change.objective_after < 0.9 * change.objective_before for change in changes)
    with open_checkpoint(output) as file:
        assert file.metadata["zeropoint.calibration.inputs"] == "sequential"
        assert file.metadata["zeropoint.calibration.effort"] == "normal"


@pytest.mark.parametrize("records", [9, 24])
def test_an_interrupted_command_resumes_to_the_same_bytes(
    tiny: Path, options: QuantizeOptions, whole: Path, tmp_path: Path, records: int
) -> None:
    output = tmp_path / "out.gguf"
    steps = quantize_checkpoint_records(tiny, output, "Q4_0", options)
    for _ in range(records):
        next(steps)
    steps.close()
    assert work_folder(output).exists()
    list(quantize_checkpoint_records(tiny, output, "Q4_0", options))
    assert output.read_bytes() == whole.read_bytes()
    assert not work_folder(output).exists()


@pytest.mark.slow
def test_experts_get_feedback_of_their_own_inputs(text: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "moe.gguf", "llama", experts=4, format="BF16")
    result = zp.quantize_checkpoint(
        model, tmp_path / "o.gguf", to="Q4_0", text=text, rounding="feedback", inputs="sequential"
    )
    experts = [row for row in result.tensors or () if "_exps" in row.name]
    assert experts and all(row.feedback for row in experts)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--calibration", "moments"], "give the text itself with --text"),
        (["--rounding", "nearest"], "no effect with --rounding nearest"),
    ],
)
def test_options_that_sequential_inputs_exclude_are_an_error(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], reason: str
) -> None:
    command: list[Any] = ["quantize", tiny, tmp_path / "o.gguf", "--to", "Q4_0"]
    assert main([*map(str, command), "--inputs", "sequential", *words]) == 2
    assert reason in capsys.readouterr().err
