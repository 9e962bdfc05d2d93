"""`zp.measure`, `zp.compare` and `zp.ladder` return what the commands print as JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zeropoint as zp
from support.rounded_models import store_as_q8_0
from support.tiny_models import write_model
from zeropoint.checkpoints import open_model
from zeropoint.cli import main
from zeropoint.errors import MeasurementError, RecipeError
from zeropoint.metrics.divergence.run import MeasureProgress
from zeropoint.models import load_model
from zeropoint.results import CompareResult, LadderResult, MeasureResult
from zeropoint.results.tasks import AcrossResult
from zeropoint.verbs.measure import measure_records
from zeropoint.verbs.options.measure import MeasureOptions
from zeropoint.verbs.records import StageStarted

Command = Callable[..., dict[str, Any]]
OF_ONE_PROCESS = {"tokens_per_second", "peak_memory_bytes", "startup_seconds", "seconds"}
OF_ONE_PROCESS |= {"prompt_tokens_per_second", "generation_tokens_per_second"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    reference = write_model(folder / "reference.gguf", format="BF16")
    return reference, store_as_q8_0(reference, folder / "quant.gguf")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "words.txt"
    path.write_text("the rain in spain 42 " * 400)
    return path


@pytest.fixture
def command(text: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*words: object) -> dict[str, Any]:
        options = ["--text", str(text), "--threads", "1", "--json", "-q"]
        assert main([*map(str, words), *options]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def timeless(value: Any) -> Any:
    """JSON without what the machine measures: time and memory."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in OF_ONE_PROCESS}
    return [timeless(item) for item in value] if isinstance(value, list | tuple) else value


def same(result: Any, printed: dict[str, Any]) -> bool:
    head = {"schema", "zeropoint", "warnings"}
    printed = {key: value for key, value in printed.items() if key not in head}
    return timeless(json.loads(json.dumps(result.to_json()))) == timeless(printed)


def test_measure_is_the_command(models: tuple[Path, Path], text: Path, command: Command) -> None:
    reference, quant = models
    options: dict[str, Any] = {"text": [text], "context": 32, "chunks": 5, "threads": 1}
    result = zp.measure(quant, reference, **options, gates=["kl.mean<9"])
    words = ("--ctx", 32, "--chunks", 5)
    gate = ("--gate", "kl.mean<9")
    assert isinstance(result, MeasureResult) and result.gates and result.gates[0].passed
    assert same(result, command("measure", quant, "--ref", reference, *words, *gate))
    in_memory = zp.measure(reference, to="int4_sym_g32", **options)
    assert same(in_memory, command("measure", reference, "--as", "int4_sym_g32", *words))
    assert in_memory.kl.mean > result.kl.mean > 0


def test_open_objects_are_measured_like_their_files(models: tuple[Path, Path], text: Path) -> None:
    options: dict[str, Any] = {"text": [text], "context": 32, "chunks": 3, "threads": 1}
    reference, quant = (open_model(path) for path in models)
    from_paths = zp.measure(str(models[1]), str(models[0]), **options)
    from_objects = zp.measure(load_model(quant, threads=1), reference, **options)
    assert timeless(from_objects.to_json()) == timeless(from_paths.to_json())


def test_records_tell_how_far_a_measurement_is_and_a_stopped_run_resumes(
    models: tuple[Path, Path], text: Path, tmp_path: Path
) -> None:
    reference, quant = models
    options = MeasureOptions(text=[text], context=32, chunks=40, threads=1, run=tmp_path / "run")
    records = measure_records(quant, reference, options)
    steps = [next(record for record in records if isinstance(record, MeasureProgress))]
    records.close()
    stored = json.loads((tmp_path / "run" / "run.json").read_text())["results"]
    assert steps[0].done == 1 and not stored["complete"] and stored["chunks"] >= 1
    *seen, result = measure_records(quant, reference, options)
    assert isinstance(result, MeasureResult) and result.complete and result.chunks == 40
    (stage,) = (record for record in seen if isinstance(record, StageStarted))
    done = [record.done for record in seen if isinstance(record, MeasureProgress)]
    assert done == list(range(1, 41)) and stage.total == 40
    without = zp.measure(quant, reference, text=[text], context=32, chunks=40, threads=1)
    assert timeless(result.to_json()) == timeless(without.to_json())


def test_progress_is_called_with_every_record(models: tuple[Path, Path], text: Path) -> None:
    seen: list[object] = []
    zp.measure(models[1], models[0], text=[text], context=32, chunks=2, progress=seen.append)
    assert sum(isinstance(record, MeasureProgress) for record in seen) == 2


def test_compare_is_the_command(models: tuple[Path, Path], text: Path, command: Command) -> None:
    reference, quant = models
    options: dict[str, Any] = {"text": [text], "threads": 1, "chunks": 3}
    result = zp.compare([quant, reference], reference, context=32, **options)
    words = ("--ctx", 32, "--chunks", 3)
    assert isinstance(result, CompareResult)
    assert same(result, command("compare", quant, reference, "--ref", reference, *words))
    models_result = zp.compare([reference, quant], **options)
    assert isinstance(models_result, AcrossResult)
    assert same(models_result, command("compare", reference, quant, "--chunks", 3))


def test_ladder_is_the_command(models: tuple[Path, Path], text: Path, command: Command) -> None:
    options: dict[str, Any] = {"text": [text], "context": 32, "chunks": 3, "threads": 1}
    result = zp.ladder(models[0], levels="16,q8_0,2", **options)
    assert isinstance(result, LadderResult) and len(result.levels) == 4
    words = ("--levels", "16,q8_0,2", "--ctx", 32, "--chunks", 3)
    assert same(result, command("ladder", models[0], *words))


def test_a_ladder_takes_the_importance_that_a_format_requires(
    models: tuple[Path, Path], text: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"text": [text], "context": 32, "chunks": 2, "threads": 1}
    imatrix = tmp_path / "imatrix.gguf"
    zp.calibrate(models[0], imatrix, **options)
    with pytest.raises(RecipeError, match="Q2_K without importance"):
        zp.ladder(models[0], levels="Q2_K_S", **options)
    result = zp.ladder(models[0], levels="Q2_K_S", imatrix=imatrix, **options)
    assert [level.format for level in result.levels] == ["Q2_K_S"]


def test_calls_that_do_not_fit_together_raise(models: tuple[Path, Path], text: Path) -> None:
    reference, quant = models
    with pytest.raises(MeasurementError, match="either a reference, or a format"):
        zp.measure(quant)
    with pytest.raises(MeasurementError, match="either a reference, or a format"):
        zp.measure(quant, reference, to="Q4_0")
    with pytest.raises(MeasurementError, match="without --ref"):
        zp.compare([quant], reference, chains=1)
    with pytest.raises(MeasurementError, match="is not a gate"):  # before a model is loaded
        zp.measure("there is no such file", reference, gates=["nonsense"])
