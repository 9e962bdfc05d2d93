"""Statistics of what goes into each matrix, held against a plain pass that keeps every input."""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from support.tiny_models import write_model
from zeropoint.calibration import read_imatrix
from zeropoint.calibration.chunks import Chunk
from zeropoint.calibration.moments import MomentFolder, folder_bytes, input_of
from zeropoint.calibration.run import CalibrationRun
from zeropoint.checkpoints import open_model
from zeropoint.cli import main
from zeropoint.errors import CheckpointError, MeasurementError
from zeropoint.models import LanguageModel, load_model
from zeropoint.results.run_store import RunFolder

KINDS = {"llama": {}, "gemma3": {"columns": 320}, "llama-moe": {"experts": 4}}


def load(folder: Path, kind: str) -> LanguageModel:
    architecture = kind.removesuffix("-moe")
    path = write_model(folder / f"{kind}.gguf", architecture, format="F32", **KINDS[kind])
    return load_model(open_model(path), threads=1)


def some_chunks(count: int = 3, context: int = 24) -> list[Chunk]:
    tokens = np.random.default_rng(3).integers(3, 300, (count, context), dtype=np.int32)
    return [Chunk("text", row) for row in tokens]


def inputs_of(model: LanguageModel, chunks: list[Chunk]) -> Mapping[tuple[str, int], np.ndarray]:
    """Every row that goes into every matrix, in float64."""
    rows = defaultdict(list)
    for name in model.matrices():
        model.set_hook(
            name, lambda r, e, name=name: rows[name, e or 0].append(r.astype(np.float64))
        )
    for chunk in chunks:
        rows["output.weight", 0].append(model.hidden(chunk.tokens).astype(np.float64))
    for name in model.matrices():
        model.set_hook(name, None)
    return {key: np.concatenate(parts) for key, parts in rows.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_sums_and_counts_are_those_of_all_inputs(tmp_path: Path, kind: str) -> None:
    model, chunks = load(tmp_path, kind), some_chunks()
    collector = CalibrationRun(model, chunks)
    assert [step.done for step in collector.steps()] == [1, 2, 3]
    found = collector.calibration(["text"], "hash")
    inputs = inputs_of(model, chunks)
    assert {name for name, _ in inputs} == set(found.statistics)
    for (name, expert), rows in inputs.items():
        entry = found.statistics[name]
        assert entry.counts[expert] == len(rows)
        np.testing.assert_allclose(entry.sums[expert], (rows**2).sum(0), rtol=3e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_second_moments_are_those_of_all_inputs(tmp_path: Path, kind: str) -> None:
    """float32 sums of 72 rows: each term is within 72 · 2⁻²⁴ of the sum of magnitudes."""
    model, chunks = load(tmp_path, kind), some_chunks()
    folder = MomentFolder(RunFolder.start(tmp_path / "moments", "second moments", {}, {}))
    collector = CalibrationRun(model, chunks, moments=folder, moment_bytes=600_000)
    assert len(collector.groups) > 1
    assert collector.total == len(list(collector.steps()))
    inputs = inputs_of(model, chunks)
    for (name, expert), rows in inputs.items():
        if name == "output.weight":
            continue
        found, count = folder.read(input_of(name, collector.shapes), expert)
        assert count == len(rows)
        np.testing.assert_allclose(found, rows.T @ rows, atol=72 * 2**-24 * (rows**2).sum())
    written = sum(path.stat().st_size - 128 for path in (tmp_path / "moments").glob("*.npy"))
    assert written == folder_bytes(collector.shapes)


def test_a_run_that_was_stopped_collects_only_what_is_missing(tmp_path: Path) -> None:
    model, chunks = load(tmp_path, "llama"), some_chunks()

    def start(name: str) -> CalibrationRun:
        run = RunFolder.start(tmp_path / name, "second moments", {}, {})
        return CalibrationRun(model, chunks, moments=MomentFolder(run), moment_bytes=600_000)

    straight = start("straight")
    list(straight.steps())
    first = start("stopped")
    steps = first.steps()
    for _ in range(len(chunks) + 1):  # the first group and one chunk of the second
        next(steps)
    steps.close()
    second = start("stopped")
    assert len(second.groups) == len(first.groups) - 1
    list(second.steps())
    names = sorted(path.name for path in (tmp_path / "straight").glob("*.npy"))
    assert names == sorted(path.name for path in (tmp_path / "stopped").glob("*.npy"))
    for name in names:
        a, b = ((tmp_path / folder / name).read_bytes() for folder in ("straight", "stopped"))
        assert a == b
    a, b = straight.calibration([], ""), second.calibration([], "")
    for name, entry in a.statistics.items():
        np.testing.assert_array_equal(entry.sums, b.statistics[name].sums)


def test_damaged_moments_are_named(tmp_path: Path) -> None:
    model = load(tmp_path, "llama")
    folder = MomentFolder(RunFolder.start(tmp_path / "moments", "second moments", {}, {}))
    list(CalibrationRun(model, some_chunks(1), moments=folder).steps())
    path = tmp_path / "moments" / "blk.0.attn_q.weight.npy"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CheckpointError, match="attn_q"):
        folder.read("blk.0.attn_q.weight")


def test_an_input_that_is_not_finite_is_named(tmp_path: Path) -> None:
    weights = np.full((256, 256), 3e38, np.float32)
    path = write_model(
        tmp_path / "big.gguf", format="F32", changes={"blk.0.attn_output.weight": weights}
    )
    collector = CalibrationRun(load_model(open_model(path), threads=1), some_chunks(1))
    with pytest.raises(MeasurementError, match="not finite"):
        list(collector.steps())


def test_calibrate_writes_an_imatrix_and_says_what_it_does_not_cover(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "moe.gguf", format="F32", experts=4)
    text = tmp_path / "words.txt"
    text.write_text("the rain in spain " * 40)
    output = tmp_path / "out.imatrix.gguf"
    words = ["--text", str(text), "--ctx", "32", "--chunks", "2", "--threads", "1"]
    assert main(["calibrate", str(model), "-o", str(output), *words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = read_imatrix(output)
    assert found.chunks == 2 and found.chunk_tokens == 32 and found.datasets == ("words.txt",)
    assert found.corpus == told["corpus"] and told["tokens"] == 64
    experts = found.statistics["blk.0.ffn_down_exps.weight"]
    assert experts.counts.sum() == 2 * 64  # two experts for each token
    assert {gap["state"] for gap in told["coverage"]} <= {"thin", "partial", "empty"}
    assert any(gap["name"] == "blk.0.ffn_down_exps.weight" for gap in told["coverage"])
    assert main(["calibrate", str(model), "-o", str(tmp_path / "x.dat"), *words]) == 2
    assert ".gguf" in capsys.readouterr().err
