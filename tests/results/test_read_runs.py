"""Run folders of every verb, of older versions too, are read as typed results."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zeropoint.errors import CheckpointError
from zeropoint.results.divergence import MeasureResult
from zeropoint.results.run_store import RunFolder
from zeropoint.results.runs import RESULTS, finished_runs, read_head, read_run, results_of_type
from zeropoint.results.tasks import TasksResult
from zeropoint.studio.data.measure_runs import VERBS, open_runs
from zeropoint.studio.report.report import render_report

SIDE = {"name": "q.gguf", "file_bytes": 100}
OLD = {  # what each verb wrote at least, in a version without a journal
    "measure": (
        {"quant": SIDE, "reference": SIDE},
        {"kl": {"mean": 0.1, "low": None, "high": None}, "verdict": {"word": "BROKEN"}},
    ),
    "ladder": (
        {"reference": SIDE},
        {"levels": [{"level": "4 bits", "format": "Q4_0", "bytes": 9, "bits_per_weight": 4.5,
                     "kl": {"mean": 0.1}}]},
    ),
    "quantize": (
        {"source": ["m.gguf"]},
        {"output_bytes": 10, "source_bytes": 20, "bits_per_weight": 4.5},
    ),
    "drift": (
        {"quant": SIDE, "reference": SIDE},
        {"prompts": 2, "free_run": {"greedy": {"survival": {
            "share": [1.0], "low": [0.5], "high": [1.0], "predicted": [1.0]}}}},
    ),
    "tasks": (
        {"models": [SIDE]},
        {"models": [{**SIDE, "accuracy": {"mean": 0.5, "low": 0.1, "high": 0.9}}]},
    ),
    "lm-eval": (
        {"models": [SIDE]},
        {"harness": "lm-evaluation-harness", "models": [{**SIDE, "results": {"t": {"acc": 1}}}]},
    ),
    "across": (
        {"models": [SIDE]},
        {"results": [{**SIDE, "text": {"nats_per_byte": {"mean": 0.9, "low": 0.8, "high": 1.0}}}]},
    ),
    "bench": (
        {"models": [{"model": "m.gguf"}]},
        {"model": "m.gguf", "file_bytes": 9, "threads": 1, "mode": "fast", "kernels": "avx2",
         "prompt_tokens": 8, "generated_tokens": 0},
    ),
    "search": (
        {"reference": SIDE},
        {"objective": "kl", "effort": "quick", "profile": "any", "reference": SIDE, "points": [
            {"budget_bytes": 99, "file_bytes": 98, "bits_per_weight": 4.5, "predicted": 0.2,
             "recipe": "* Q4_K", "formats": {"blk.0.ffn_up.weight": "Q4_K"}, "evaluations": [
                 {"change": "start", "tensor_bytes": 90, "predicted": 0.2, "loss": {"mean": 0.3}},
             ]}]},
    ),
    "train": (
        {"text": {"corpus": "0" * 64}},
        {"parameters": 9, "tokens": 1024, "seeds": 1, "formats": [
            {"format": "NVFP4", "loss": {"mean": 2.0}, "gap": {"mean": 0.1}, "curves": [
                {"seed": 0, "tokens": [512, 1024], "training": [3.0, 2.0], "held_out": [3.1, 2.1]},
            ]}]},
    ),
}  # fmt: skip


def write(folder: Path, verb: str, inputs: Any, results: Any) -> Path:
    folder.mkdir(parents=True)
    record = {"schema": 1, "verb": verb, "inputs": inputs, "settings": {}, "results": results}
    (folder / "run.json").write_text(json.dumps(record))
    if verb == "quantize":
        (folder / "tensors.json").write_text("[]")
    return folder


def test_every_verb_has_a_type() -> None:
    assert set(OLD) == set(RESULTS) and set(VERBS) <= set(RESULTS)


@pytest.mark.parametrize("verb", OLD)
def test_a_run_of_an_older_version_still_opens(tmp_path: Path, verb: str) -> None:
    folder = write(tmp_path / "run", verb, *OLD[verb])
    run = read_run(folder)
    assert isinstance(run.result, RESULTS[verb]) and "\n" not in repr(run.result)
    assert run.result.rows() or verb in ("drift", "quantize")
    if verb in VERBS:
        assert "<html" in render_report(open_runs([folder]))


@pytest.mark.parametrize("verb", OLD)
def test_what_was_read_is_written_again(tmp_path: Path, verb: str) -> None:
    """And nothing else than it, in what the older version knew."""
    inputs, results = OLD[verb]
    found = read_run(write(tmp_path / "run", verb, inputs, results)).result.to_json()
    again = read_run(write(tmp_path / "again", verb, inputs, found)).result.to_json()
    assert json.dumps(again) == json.dumps(found)
    assert {key: found[key] for key in results if not isinstance(results[key], list | dict)} == {
        key: value for key, value in results.items() if not isinstance(value, list | dict)
    }


def places(value: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every key, and to the first item of every list."""
    keys = list(value) if isinstance(value, dict) else [0] if isinstance(value, list) else []
    for key in keys if value else ():
        yield (key,)
        for place in places(value[key]):
            yield (key, *place)


VALUES = [None, True, -1, 10**400, 1e999, "x", [], {}, [[]]]


@pytest.mark.parametrize("verb", VERBS)
def test_whatever_a_run_json_holds_is_a_report_or_one_sentence(tmp_path: Path, verb: str) -> None:
    inputs, results = OLD[verb]
    folder = write(tmp_path / "run", verb, inputs, results)
    head = (folder / "run.json").read_text()
    refused = 0
    for place in places({"inputs": inputs, "results": results}):
        for value in VALUES:
            record = json.loads(head)
            inner = record
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
            (folder / "run.json").write_text(json.dumps(record))
            try:
                render_report(open_runs([folder]))
            except CheckpointError as error:
                assert "run.json" in str(error) or "is not finished" in str(error)
                refused += 1
    assert refused > 20


def test_only_finished_runs_are_collected_the_oldest_first(tmp_path: Path) -> None:
    write(tmp_path / "a/one", "measure", *OLD["measure"])
    write(tmp_path / "a/two", "tasks", *OLD["tasks"])
    write(tmp_path / "a/damaged", "measure", {}, {"kl": 3})
    RunFolder.start(tmp_path / "a/begun", "measure", {}, {})
    found = finished_runs([tmp_path])
    assert sorted(run.path.name for run in found) == ["one", "two"]
    ((run, result),) = results_of_type(found, MeasureResult)
    assert result.kl.mean == 0.1 and run.subject == "q.gguf"
    with pytest.raises(CheckpointError, match="is a run of measure"):
        run.result_as(TasksResult)
    assert read_head(tmp_path / "a/begun").verb == "measure"
    with pytest.raises(CheckpointError, match="not finished"):
        read_run(tmp_path / "a/begun")
