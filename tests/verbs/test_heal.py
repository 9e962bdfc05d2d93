"""`heal` writes a better file of the same shape or none, and resumes to the same bytes."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zeropoint as zp
from support.search_runs import write_search_text
from support.tiny_models import Shape, random_weights, write_model
from zeropoint.checkpoints import Checkpoint, open_checkpoint
from zeropoint.cli import main
from zeropoint.errors import CheckpointError, MeasurementError
from zeropoint.results.heal import HealResult

pytest.importorskip("torch")
from zeropoint.healing.records import GuardMeasured, HealSettings, Rates
from zeropoint.verbs import heal as verb
from zeropoint.verbs.options.heal import HealOptions

FAST: dict[str, Any] = {"tokens": 2048, "context": 64, "effort": "quick", "threads": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heal")
    write_model(folder / "reference.gguf")
    shape = Shape("llama", 256)
    weights = random_weights(shape, seed=0)
    # Weights that are too large by a twentieth, so that there is something to win back.
    large = {name: array * np.float32(1.05) for name, array in weights.items() if array.ndim > 1}
    write_model(folder / "large.gguf", changes={n: a for n, a in large.items() if "blk" in n})
    for name in ("Q4_0", "Q8_0", "Q3_K"):
        zp.quantize_checkpoint(folder / "large.gguf", folder / f"{name}.gguf", to=name)
    write_search_text(folder / "text.txt")
    return folder


def healed(folder: Path, output: Path, quant: str = "Q4_0.gguf", **options: Any) -> HealResult:
    settings = {"text": folder / "text.txt"} | FAST | options
    return zp.heal(folder / quant, output, folder / "reference.gguf", **settings)


@pytest.fixture(scope="module")
def result(folder: Path) -> HealResult:
    return healed(folder, folder / "healed.gguf")


def test_a_healed_file_is_better_and_on_no_kind_of_text_worse(result: HealResult) -> None:
    assert result.output and result.reason == ""
    assert result.ratio.high is not None and result.ratio.high < 1
    assert {one.kind: one.trained for one in result.kl} == {"text": True, "languages": False}
    assert all(one.after < one.before for one in result.kl if one.trained)
    assert all(one.ratio.low is not None and one.ratio.low < 1 for one in result.kl)
    assert [stage.name for stage in result.stages] == ["gain", "factors"]


def table(checkpoint: Checkpoint) -> list[tuple[object, ...]]:
    infos = checkpoint.tensors.values()
    return [(info.name, info.shape, info.format.name, info.nbytes) for info in infos]


def test_a_healed_file_has_the_same_tensors_in_the_same_places(
    folder: Path, result: HealResult
) -> None:
    with (
        open_checkpoint(folder / "Q4_0.gguf") as before,
        open_checkpoint(folder / "healed.gguf") as after,
    ):
        assert table(before) == table(after)
        same = {
            name
            for name in before.tensors
            if np.array_equal(before.read(name).data, after.read(name).data)
        }
        assert {"token_embd.weight", "output.weight"} & {*before.tensors} <= same
        assert len(before.tensors) - len(same) == result.changed_tensors > 0
        assert after.metadata["zeropoint.healing.train.sha256"] == result.train_text
    assert not (folder / "healed.gguf.work").exists()


def test_the_written_file_has_exactly_the_loss_that_was_reported(
    folder: Path, result: HealResult, tmp_path: Path
) -> None:
    again = healed(folder, tmp_path / "again.gguf", "healed.gguf", tokens=128)
    assert [one.before for one in again.kl] == [one.after for one in result.kl]


def test_a_stopped_healing_continues_to_the_same_bytes(
    folder: Path, result: HealResult, tmp_path: Path
) -> None:
    options = HealOptions(text=folder / "text.txt", **FAST)
    output = tmp_path / "resumed.gguf"
    for stop in (2, 4):
        records = verb.heal_records(
            folder / "Q4_0.gguf", output, folder / "reference.gguf", options
        )
        measured = 0
        for record in records:
            measured += isinstance(record, GuardMeasured)
            if measured == stop:
                records.close()  # type: ignore[attr-defined]
                break
        assert not output.exists()
    healed(folder, output)
    assert output.read_bytes() == (folder / "healed.gguf").read_bytes()


def test_a_gain_at_the_cost_of_the_untrained_kind_of_text_writes_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Integer scales with a high learning rate fit the text and damage the other kind."""
    monkeypatch.setattr(verb, "HealSettings", partial(HealSettings, rates=Rates(integers=0.3)))
    result = healed(folder, tmp_path / "h.gguf", "Q3_K.gguf", stages="scales", tokens=4096)
    assert result.curve[-1].by_kind["text"] < 0.9
    assert result.output is None and result.reason == "text of the kind languages got worse"
    assert not (tmp_path / "h.gguf").exists()


def test_a_diverging_training_writes_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    wild = Rates(gain=5, factors=5, norms=50)
    monkeypatch.setattr(verb, "HealSettings", partial(HealSettings, rates=wild))
    words = ["heal", str(folder / "Q4_0.gguf"), str(tmp_path / "h.gguf"), "--ref",
             str(folder / "reference.gguf"), "--text", str(folder / "text.txt"), "--tokens",
             "1024", "--ctx", "64", "--effort", "quick", "--threads", "1"]  # fmt: skip
    assert main(words) == 1
    assert "nothing was written: " in capsys.readouterr().err
    assert not (tmp_path / "h.gguf").exists()


def test_a_dry_run_predicts_and_writes_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["heal", str(folder / "Q4_0.gguf"), str(tmp_path / "h.gguf"), "--ref",
             str(folder / "reference.gguf"), "--text", str(folder / "text.txt"), "--ctx", "64",
             "--dry-run"]  # fmt: skip
    assert main(words) == 0
    assert "of memory" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("quant", "ref", "says"),
    [
        ("Q8_0.gguf", "reference.gguf", "only files below 8 bits"),
        ("Q4_0.gguf", "Q4_0.gguf", "is its own reference"),
        ("reference.gguf", "Q4_0.gguf", "is not quantized"),
        ("Q4_0.gguf", "other.gguf", "is not the model that"),
    ],
)
def test_a_pair_that_cannot_be_healed_is_refused(
    quant: str, ref: str, says: str, folder: Path, tmp_path: Path
) -> None:
    write_model(folder / "other.gguf", columns=64)
    with pytest.raises(MeasurementError, match=says):
        zp.heal(folder / quant, tmp_path / "h.gguf", folder / ref, text=folder / "text.txt", **FAST)
    assert list(tmp_path.iterdir()) == []


def test_a_run_folder_of_another_healing_is_refused(folder: Path, tmp_path: Path) -> None:
    healed(folder, tmp_path / "a.gguf", run=tmp_path / "run", tokens=128)
    with pytest.raises(CheckpointError, match="holds another run"):
        healed(folder, tmp_path / "b.gguf", run=tmp_path / "run", tokens=256)
