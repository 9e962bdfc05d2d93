"""Options from Python have the limits of the command line, and their errors name the option."""

from collections.abc import Callable
from pathlib import Path

import pytest

import zeropoint as zp
from support.tiny_models import write_model
from zeropoint.metrics.divergence.gate import parse_gate
from zeropoint.verbs.options.drift import DriftOptions

MODEL = "model.gguf"  # never opened: the options are checked first


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: zp.measure(MODEL, chunks=0), r"chunks \(--chunks\) must be at least 1, not 0"),
        (lambda: zp.measure(MODEL, until=-1), r"until \(--until\) must be greater than 0"),
        (lambda: zp.measure(MODEL, MODEL, gates="kl.men<1"), r"similar names: kl\.mean"),
        (lambda: zp.compare(MODEL, chains=-1), r"chains \(--chains\) must be at least 0"),
        (lambda: zp.compare([]), "no model to compare"),
        (lambda: zp.tasks([], "python"), "no model to evaluate"),
        (lambda: zp.tasks(MODEL, "python", count=0), r"count \(--count\) must be at least 1"),
        (lambda: zp.drift(MODEL, temperature=0), r"temperature \(--temperature\) .* 0\.01, not 0"),
        (lambda: zp.drift(MODEL, decoding="gredy"), "did you mean 'greedy'"),  # type: ignore[arg-type]
        (lambda: zp.bench(MODEL, mode="quick"), r"mode \(--mode\) .* choose exact or fast"),  # type: ignore[arg-type]
        (lambda: zp.bench(MODEL, repetitions=0), r"repetitions \(--repetitions\)"),
        (lambda: zp.generate(MODEL, "a", top_k=-1), r"top_k \(--top-k\) must be at least 0"),
        (lambda: zp.calibrate(MODEL, "a.gguf", threads=0), r"threads \(--threads\)"),
        (lambda: zp.quantize_checkpoint(MODEL, "a.gguf", to="Q4_0", threads=0), "threads"),
    ],
)
def test_an_option_out_of_range_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(zp.MeasurementError, match=message):
        call()


def test_words_are_spelled_in_any_case() -> None:
    options = DriftOptions(decoding="GREEDY", mode="Fast")  # type: ignore[arg-type]
    assert (options.decoding, options.mode) == ("greedy", "fast")


def test_load_model_refuses_unknown_words(tmp_path: Path) -> None:
    path = write_model(tmp_path / "tiny.gguf")
    with pytest.raises(zp.UnsupportedModel, match="no mode 'quick'; choose exact or fast"):
        zp.load_model(path, mode="quick")  # type: ignore[arg-type]
    with pytest.raises(zp.UnsupportedModel, match="no engine 'numpy'"):
        zp.load_model(path, engine="numpy")  # type: ignore[arg-type]
    assert repr(zp.load_model(path, mode="FAST")) == f"<DecoderModel {path}: fast>"  # type: ignore[arg-type]


def test_a_run_folder_may_be_a_string(tmp_path: Path) -> None:
    path, run = write_model(tmp_path / "tiny.gguf"), tmp_path / "run"
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text('{"prompt": "1 + 1 =", "answer": "2"}\n')
    zp.tasks(path, tasks, tokens=2, run=str(run))
    assert (run / "run.json").is_file()


def test_figures_of_gates_are_found_in_any_case_and_similar_ones_are_named() -> None:
    result = {"kl": {"mean": 0.04, "low": 0.03, "high": 0.06}, "top1": 0.9}
    assert parse_gate("KL.Mean<0.07").check(result).passed
    with pytest.raises(zp.MeasurementError, match=r"no figure 'kl\.men'; similar names: kl\.mean"):
        parse_gate("kl.men<1").check(result)
