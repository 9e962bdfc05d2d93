"""`quantize --rounding feedback`: where moments come from, what the file says, and resuming."""

import json
import re
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zeropoint as zp
from support.tiny_models import write_model
from zeropoint.calibration import moment_cache
from zeropoint.calibration.chunks import Chunk, spread, spread_over_domains
from zeropoint.calibration.layer_walk import LayerProgress
from zeropoint.calibration.moments import MomentFolder
from zeropoint.checkpoints import open_checkpoint
from zeropoint.cli import main
from zeropoint.errors import CheckpointError, MeasurementError, NotEnoughSpace, OutputError
from zeropoint.quantizers import RowsWritten, TensorWritten
from zeropoint.verbs import second_moments
from zeropoint.verbs.options.quantize import EFFORT_TOKENS, QuantizeOptions
from zeropoint.verbs.quantize import quantize_checkpoint_records
from zeropoint.verbs.records import Notice
from zeropoint.verbs.second_moments import CONTEXT
from zeropoint.verbs.work_folder import work_folder


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No second moments of another test are found."""
    monkeypatch.setattr(moment_cache, "moment_directory", lambda: tmp_path / "cache")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny.gguf", format="BF16")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "words.txt"
    path.write_text("the rain in spain 42 " * 400)
    return path


@pytest.fixture(scope="module")
def moments(tiny: Path, text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Second moments as `calibrate` writes them."""
    folder = tmp_path_factory.mktemp("calibration")
    zp.calibrate(tiny, folder / "i.gguf", text=text, context=64, second_moments=folder / "moments")
    return folder / "moments"


def test_feedback_lowers_the_objective_of_every_matrix(
    tiny: Path, moments: Path, tmp_path: Path
) -> None:
    result = zp.quantize_checkpoint(
        tiny, tmp_path / "out.gguf", to="Q4_0", calibration=moments, rounding="feedback"
    )
    changes = {row.name: row.feedback for row in result.tensors or () if row.feedback}
    assert len(changes) == 2 * 7  # the embedding and the output matrix have no moments
    for change in changes.values():
        assert 0 < change.objective_after < 0.9 * change.objective_before
    assert not work_folder(tmp_path / "out.gguf").exists()


def test_the_file_says_how_it_was_rounded_and_loads_as_any_other(
    tiny: Path, moments: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.gguf"
    zp.quantize_checkpoint(tiny, output, to="Q4_0", calibration=moments, rounding="feedback")
    with open_checkpoint(output) as file:
        said = file.metadata
    assert str(said["zeropoint.rounding"]).startswith(
        "error feedback, damping 0.3, shrinkage 0.3, sweeps "
    )
    assert said["zeropoint.calibration.corpus"] == MomentFolder.open(moments).corpus
    assert "numpy " in str(said["zeropoint.rounding.library"])
    assert said["zeropoint.calibration.inputs"] == "reference"
    assert "zeropoint.calibration.effort" not in said  # of a folder it is not known
    assert len(zp.generate(output, "the rain", tokens=3).text) > 0


def test_without_text_and_calibration_the_bytes_are_those_of_rounding_to_nearest(
    tiny: Path, tmp_path: Path
) -> None:
    for name, rounding in (("a", "auto"), ("b", "nearest")):
        zp.quantize_checkpoint(tiny, tmp_path / f"{name}.gguf", to="Q4_0", rounding=rounding)
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()
    assert not list(tmp_path.glob("*.work"))


def test_auto_uses_feedback_only_where_it_is_shown_to_help(
    tiny: Path, moments: Path, tmp_path: Path
) -> None:
    improved = zp.quantize_checkpoint(tiny, tmp_path / "a.gguf", to="IQ4_NL", calibration=moments)
    plain = zp.quantize_checkpoint(tiny, tmp_path / "b.gguf", to="Q8_0", calibration=moments)
    assert any(row.feedback for row in improved.tensors or ())
    assert not any(row.feedback for row in plain.tensors or ())


def test_a_text_is_read_first_and_its_moments_are_deleted(
    tiny: Path, text: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.gguf"
    seen: list[Any] = []
    result = zp.quantize_checkpoint(
        tiny, output, to="IQ4_NL", text=text, effort="quick", progress=seen.append
    )
    assert any(row.feedback for row in result.tensors or ())
    assert [type(record).__name__ for record in seen[:2]] == ["MomentsPlanned", "StageStarted"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "out.gguf"]


@pytest.mark.parametrize("rounding", ["nearest", "auto"])
def test_a_text_gives_the_importance_that_a_preset_requires(
    tiny: Path, text: Path, tmp_path: Path, rounding: Any
) -> None:
    output = tmp_path / "out.gguf"
    assert main(["quantize", str(tiny), "--dry-run", "--to", "Q2_K_S", "--text", str(text)]) == 0
    assert main(["quantize", str(tiny), str(output), "--to", "Q2_K_S"]) == 2
    result = zp.quantize_checkpoint(tiny, output, to="Q2_K_S", text=text, rounding=rounding)
    assert {row.format for row in result.tensors or () if "ffn_up" in row.name} == {"Q2_K"}


@pytest.mark.parametrize("records", [1, 8, 20])
def test_an_interrupted_command_resumes_to_the_same_bytes(
    tiny: Path, text: Path, tmp_path: Path, records: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = QuantizeOptions(text=text, rounding="feedback", effort="quick")
    whole, output = tmp_path / "whole.gguf", tmp_path / "out.gguf"
    list(quantize_checkpoint_records(tiny, whole, "Q4_K_M", options))
    monkeypatch.setattr(moment_cache, "moment_directory", lambda: tmp_path / "another-cache")
    steps = quantize_checkpoint_records(tiny, output, "Q4_K_M", options)
    for _ in range(records):
        next(steps)
    steps.close()
    assert not output.exists()
    assert work_folder(output).exists()
    list(quantize_checkpoint_records(tiny, output, "Q4_K_M", options))
    assert output.read_bytes() == whole.read_bytes()
    assert not work_folder(output).exists()


def test_rows_that_were_rounded_are_not_rounded_again(
    tiny: Path, moments: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = QuantizeOptions(calibration=moments, rounding="feedback")
    output = tmp_path / "out.gguf"
    steps = quantize_checkpoint_records(tiny, output, "Q4_0", options)
    finished = 0
    for record in steps:
        finished += isinstance(record, TensorWritten) and record.feedback is not None
        if finished == 3:
            break
    steps.close()
    from zeropoint.quantizers import feedback_rounding

    called: list[int] = []
    original = feedback_rounding.round_with_feedback

    def counted(*words: Any, **named: Any) -> Any:
        called.append(1)
        return original(*words, **named)

    monkeypatch.setattr(feedback_rounding, "round_with_feedback", counted)
    list(quantize_checkpoint_records(tiny, output, "Q4_0", options))
    assert len(called) == 2 * 7 - 3


def test_what_was_done_with_other_settings_is_not_used(
    tiny: Path, moments: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.gguf"
    steps = quantize_checkpoint_records(
        tiny, output, "Q4_0", QuantizeOptions(calibration=moments, rounding="feedback")
    )
    while not isinstance(next(steps), RowsWritten):
        pass
    steps.close()
    with pytest.raises(CheckpointError, match="rounded"):
        zp.quantize_checkpoint(tiny, output, to="Q5_0", calibration=moments, rounding="feedback")


def test_what_was_done_for_another_model_of_the_same_name_and_size_is_not_used(
    text: Path, tmp_path: Path
) -> None:
    model, output = tmp_path / "model.gguf", tmp_path / "out.gguf"
    options = QuantizeOptions(text=text, rounding="feedback", effort="quick")
    write_model(model, format="BF16")
    steps = quantize_checkpoint_records(model, output, "Q4_0", options)
    next(steps)
    steps.close()
    data = bytearray(model.read_bytes())
    data[-2:] = b"\x00\x00"  # one weight of the last tensor
    data[len(data) // 2 : len(data) // 2 + 2] = b"\x00\x00"
    model.write_bytes(data)
    with pytest.raises(CheckpointError, match="fingerprint"):
        zp.quantize_checkpoint(
            model, output, to="Q4_0", text=text, rounding="feedback", effort="quick"
        )


def test_the_bytes_do_not_depend_on_threads(tiny: Path, moments: Path, tmp_path: Path) -> None:
    for threads in (1, 3):
        zp.quantize_checkpoint(
            tiny, tmp_path / f"{threads}.gguf", to="Q4_K_M", calibration=moments,
            rounding="feedback", threads=threads,
        )  # fmt: skip
    assert (tmp_path / "1.gguf").read_bytes() == (tmp_path / "3.gguf").read_bytes()


def test_experts_get_feedback_of_their_own_inputs(text: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "moe.gguf", "llama", experts=4, format="BF16")
    result = zp.quantize_checkpoint(
        model, tmp_path / "out.gguf", to="Q4_0", text=text, rounding="feedback"
    )
    experts = [row for row in result.tensors or () if "_exps" in row.name]
    assert experts and all(row.feedback for row in experts)


def test_rows_of_experts_that_few_tokens_reached_are_counted(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zeropoint.quantizers.feedback_rounding.MIN_ROWS", 10**9)
    model = write_model(tmp_path / "moe.gguf", "llama", experts=4, format="BF16")
    nearest = zp.quantize_checkpoint(model, tmp_path / "nearest.gguf", to="Q4_0", text=text,
                                     rounding="nearest")  # fmt: skip
    result = zp.quantize_checkpoint(model, tmp_path / "out.gguf", to="Q4_0", text=text,
                                    rounding="feedback")  # fmt: skip
    for row, same in zip(result.tensors or (), nearest.tensors or (), strict=True):
        if row.feedback:
            assert row.feedback.rarely_used_rows == prod(row.shape[:-1])
            assert row.error == same.error


def test_calibration_and_text_exclude_each_other(
    tiny: Path, moments: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [tiny, tmp_path / "o.gguf", "--to", "Q4_0", "--calibration", moments, "--text", text]
    assert main(["quantize", *map(str, words)]) == 2
    assert "use one of them" in capsys.readouterr().err


def test_a_folder_without_moments_is_an_error(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [tiny, tmp_path / "o.gguf", "--to", "Q4_0", "--calibration", tiny.parent]
    assert main(["quantize", *map(str, words)]) == 2
    assert "is not a run folder" in capsys.readouterr().err
    assert not (tmp_path / "o.gguf").exists()


def test_moments_of_another_model_are_refused(moments: Path, tmp_path: Path) -> None:
    other = write_model(tmp_path / "wide.gguf", columns=512, format="BF16")
    with pytest.raises(MeasurementError, match="made for another model"):
        zp.quantize_checkpoint(
            other, tmp_path / "o.gguf", to="Q4_0", calibration=moments, rounding="feedback"
        )
    assert not (tmp_path / "o.gguf").exists()


def test_the_json_of_the_command_has_the_objective(
    tiny: Path, moments: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["quantize", tiny, tmp_path / "o.gguf", "--to", "Q4_0", "--calibration", moments]
    words += ["--rounding", "feedback", "--json", "-q"]
    assert main(list(map(str, words))) == 0
    tensors = json.loads(capsys.readouterr().out)["tensors"]
    change = next(row["feedback"] for row in tensors if "feedback" in row)
    assert set(change) == {
        "objective_before",
        "objective_after",
        "unchanged_rows",
        "rarely_used_rows",
    }


def test_chunks_are_spread_evenly_over_the_text() -> None:
    assert spread(list(range(10)), 4) == [0, 2, 5, 7]  # type: ignore[comparison-overlap,arg-type]
    assert spread(list(range(3)), 4) == [0, 1, 2]  # type: ignore[comparison-overlap,arg-type]


def test_each_text_gets_an_equal_share_and_a_short_one_leaves_the_rest_to_others() -> None:
    texts = {"a": 100, "b": 100, "c": 2}
    queues = [[Chunk(name, np.full(8, i)) for i in range(n)] for name, n in texts.items()]
    every_other = [queue[i] for i in range(100) for queue in queues if i < len(queue)]
    chosen = spread_over_domains(every_other, 32)
    numbers = {name: [int(c.tokens[0]) for c in chosen if c.domain == name] for name in texts}
    assert {name: len(found) for name, found in numbers.items()} == {"a": 15, "b": 15, "c": 2}
    assert numbers["a"] == [i * 100 // 15 for i in range(15)]
    assert spread_over_domains(every_other, 1000) == every_other
    assert [chunk.domain for chunk in chosen[:5]] == ["a", "b", "c", "a", "b"]


def test_effort_is_a_whole_number_of_chunks() -> None:
    assert all(tokens % CONTEXT == 0 for tokens in EFFORT_TOKENS.values())
    assert list(EFFORT_TOKENS.values()) == sorted(EFFORT_TOKENS.values())


def test_no_moments_of_this_model_is_an_error(tiny: Path, moments: Path, tmp_path: Path) -> None:
    other = write_model(tmp_path / "gpt.gguf", "llama", format="BF16")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "run.json").write_bytes((moments / "run.json").read_bytes())
    with pytest.raises((MeasurementError, OutputError), match="no second moments of any tensor"):
        zp.quantize_checkpoint(other, tmp_path / "o.gguf", to="Q4_0", calibration=empty)


def test_a_second_command_with_the_same_text_reads_nothing(
    tiny: Path, text: Path, tmp_path: Path
) -> None:
    first: list[Any] = []
    second: list[Any] = []
    for seen, name in ((first, "a"), (second, "b")):
        zp.quantize_checkpoint(
            tiny, tmp_path / f"{name}.gguf", to="IQ4_NL", text=text, progress=seen.append
        )
    assert any(isinstance(record, LayerProgress) for record in first)
    assert not any(isinstance(record, LayerProgress) for record in second)
    notices = [record.message for record in second if isinstance(record, Notice)]
    assert any("are in the cache" in message for message in notices)
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


def test_the_command_prints_how_long_it_takes_and_how_much_disk_it_needs(
    tiny: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["quantize", tiny, tmp_path / "o.gguf", "--to", "IQ4_NL", "--text", text]
    assert main([*map(str, words), "--progress", "json"]) == 0
    err = capsys.readouterr().err
    assert re.search(r"the model reads [\d,]+ tokens .* takes about .* and up to .*iB in ", err)
    steps = [json.loads(line) for line in err.splitlines() if '"LayerProgress"' in line]
    assert steps[-1]["done"] == steps[-1]["total"]
    assert {(step["layer"], step["layers"]) for step in steps} == {(1, 2), (2, 2)}
    assert all(step["seconds_left"] >= 0 for step in steps)


def test_too_little_disk_is_an_error_before_the_model_reads_anything(
    tiny: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_moments, "free_bytes", lambda _: 10_000)
    for inputs in ("reference", "sequential"):
        seen: list[Any] = []
        with pytest.raises(NotEnoughSpace, match="10,000 bytes are free"):
            zp.quantize_checkpoint(
                tiny, tmp_path / "o.gguf", to="Q4_0", text=text, rounding="feedback",
                inputs=inputs, progress=seen.append,
            )  # fmt: skip
        assert not seen
