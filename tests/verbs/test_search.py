"""A search stays within its budget, continues after a stop, and fails before it reads anything."""

import json
from pathlib import Path
from typing import Any

import pytest

import zeropoint as zp
from support.search_runs import write_search_text
from support.tiny_models import write_model
from zeropoint.allocation.judge import ChunkJudged
from zeropoint.allocation.refine import RecipeJudged
from zeropoint.cli import main
from zeropoint.errors import (
    CheckpointError,
    FormatError,
    InfeasibleBudget,
    MeasurementError,
    RecipeError,
)
from zeropoint.results.allocation import SearchResult
from zeropoint.results.runs import read_run
from zeropoint.verbs.budgets import parse_bits
from zeropoint.verbs.options.search import SearchOptions
from zeropoint.verbs.search import search_records

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    write_model(folder / "dense.gguf")
    write_search_text(folder / "text.txt")
    return folder


def found(folder: Path, model: str = "dense.gguf", **options: Any) -> SearchResult:
    settings = {"text": folder / "text.txt", "effort": "quick", "evaluations": 2} | options
    return zp.search(folder / model, **settings)


def test_the_file_of_a_recipe_is_within_the_budget_and_has_its_formats(
    folder: Path, tmp_path: Path
) -> None:
    recipe, output = tmp_path / "small.recipe", tmp_path / "small.gguf"
    result = zp.search(
        folder / "dense.gguf", recipe, bits=4.5, text=folder / "text.txt", effort="quick",
        evaluations=3,
    )  # fmt: skip
    (point,) = result.points
    written = zp.quantize_checkpoint(
        folder / "dense.gguf", output, to=str(recipe), text=folder / "text.txt", effort="quick"
    )
    assert written.output_bytes <= point.file_bytes <= point.budget_bytes
    assert point.file_bytes > 0.97 * point.budget_bytes
    with zp.open_checkpoint(output) as quantized:
        assert {n: quantized.tensors[n].format.name for n in point.formats} == dict(point.formats)
    assert point.measured is not None and point.measured.kl.mean > 0
    assert 1 <= len(point.evaluations) <= 3 and point.evaluations[0].accepted
    assert not recipe.with_name("small.recipe.work").exists()
    assert [text.part for text in result.texts] == ["calibrate", "select", "evaluate"]
    assert len({text.corpus for text in result.texts}) == 3


def test_a_stopped_search_continues_to_the_same_recipe(folder: Path, tmp_path: Path) -> None:
    options = SearchOptions(
        bits=4.2, text=folder / "text.txt", effort="quick", evaluations=4, run=tmp_path / "run"
    )
    whole = found(folder, bits=4.2, evaluations=4)
    for stop in (2, 7, 12, 25, 1000):
        judged = 0
        records = search_records(folder / "dense.gguf", None, options)
        for count, record in enumerate(records):
            judged += isinstance(record, ChunkJudged)
            if count == stop:
                break
        records.close()
    result = zp.search(
        folder / "dense.gguf", bits=4.2, text=folder / "text.txt", effort="quick", evaluations=4,
        run=tmp_path / "run", progress=lambda record: fail_if_judged(record),
    )  # fmt: skip
    assert result.points[0].formats == whole.points[0].formats
    assert [one.loss for one in result.points[0].evaluations] == [
        one.loss for one in whole.points[0].evaluations
    ]
    read = read_run(tmp_path / "run")
    assert read.subject == "dense.gguf"
    assert read.result_as(SearchResult).points[0].formats == whole.points[0].formats
    page = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "run"), "-o", str(page), "-q"]) == 0
    assert whole.points[0].recipe.splitlines()[0] in page.read_text()


def fail_if_judged(record: object) -> None:
    assert not isinstance(record, ChunkJudged), "all losses are in the journal"


def test_several_budgets_share_one_prediction(folder: Path, tmp_path: Path) -> None:
    result = zp.search(
        folder / "dense.gguf", tmp_path / "recipes", bits="3.5..5.5:1", text=folder / "text.txt",
        effort="quick", evaluations=2, threads=1,
    )  # fmt: skip
    assert [point.budget_bytes for point in result.points] == sorted(
        (point.budget_bytes for point in result.points), reverse=True
    )
    losses = [point.predicted for point in result.points]
    assert losses == sorted(losses)
    assert len(list((tmp_path / "recipes").glob("dense-*-bits.recipe"))) == 3
    assert [len(point.evaluations) for point in result.points[1:]] == [1, 1]


def test_a_budget_that_is_too_small_names_the_smallest_size_and_exits_with_1(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    with pytest.raises(InfeasibleBudget) as refused:
        found(folder, budget="20kB", evaluations=0, run=run)
    smallest = refused.value.smallest
    point = found(folder, budget=str(smallest), evaluations=0, run=run).points[0]
    assert point.file_bytes == smallest
    with pytest.raises(InfeasibleBudget):
        found(folder, budget=str(smallest - 1), evaluations=0, run=run)
    with pytest.raises(InfeasibleBudget):
        zp.search(folder / "dense.gguf", tmp_path / "r.recipe", bits=0.5, text=folder / "text.txt")
    assert not list(tmp_path.glob("r.recipe*"))
    words = ["search", str(folder / "dense.gguf"), "-o", str(tmp_path / "r.recipe"), "--budget",
             str(smallest - 1), "--text", str(folder / "text.txt"), "--effort", "quick",
             "--evaluations", "0", "--run", str(run)]  # fmt: skip
    assert main(words) == 1
    assert f"{smallest:,}" in capsys.readouterr().err


def test_the_command_prints_its_result_as_json(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["search", str(folder / "dense.gguf"), "-o", str(tmp_path / "r.recipe"), "--bits", "5",
             "--text", str(folder / "text.txt"), "--effort", "quick", "--evaluations", "1",
             "--objective", "tail", "--json"]  # fmt: skip
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out)
    point = result["points"][0]
    assert result["objective"] == "tail" and point["evaluations"][0]["tail"] > 0
    assert point["output"] == str(tmp_path / "r.recipe")
    assert (tmp_path / "r.recipe").read_text().startswith("# dense.gguf")


@pytest.mark.parametrize(
    ("model", "shape"),
    [("moe.gguf", {"experts": 4}), ("narrow.gguf", {"architecture": "gemma3", "columns": 320})],
)
def test_experts_and_rows_of_32_wide_blocks_are_searched(
    folder: Path, model: str, shape: dict[str, Any]
) -> None:
    write_model(folder / model, **shape)
    (point,) = found(folder, model, bits=5, evaluations=1).points
    assert point.file_bytes <= point.budget_bytes
    if "experts" in shape:
        experts = {name: format for name, format in point.formats.items() if "_exps" in name}
        assert experts and not set(experts.values()) & {"F16", "F32"}


def test_wrong_options_are_errors_before_anything_is_read(folder: Path, tmp_path: Path) -> None:
    for options, error, message in [
        ({}, Exception, "needs a limit"),
        ({"bits": 4, "budget": "1MB"}, RecipeError, "give one"),
        ({"bits": "four"}, RecipeError, "bits per weight"),
        ({"bits": 4, "weight": "verse=2"}, MeasurementError, "no kind 'verse'"),
        ({"bits": 4, "weight": "verse"}, MeasurementError, "KIND=NUMBER"),
        ({"bits": 4, "profile": "tpu"}, MeasurementError, "profile"),
    ]:
        with pytest.raises(error, match=message):
            found(folder, **options)
    existing = tmp_path / "old.recipe"
    existing.write_text("* Q4_K\n")
    with pytest.raises(CheckpointError, match="exists"):
        zp.search(folder / "dense.gguf", existing, bits=4, text=folder / "text.txt")
    assert existing.read_text() == "* Q4_K\n"
    zp.quantize_checkpoint(folder / "dense.gguf", tmp_path / "q.gguf", to="Q8_0")
    with pytest.raises(FormatError, match="already quantized"):
        zp.search(tmp_path / "q.gguf", bits=4, text=folder / "text.txt")


def test_ranges_of_bits_have_both_ends() -> None:
    assert parse_bits("2.5..5") == [5.0, 4.5, 4.0, 3.5, 3.0, 2.5]
    for wrong in ("5..2", "0", "3..4:0", "x", "3:1", "1..60:0.1"):
        with pytest.raises(RecipeError):
            parse_bits(wrong)


def test_the_progress_shows_each_recipe(folder: Path) -> None:
    seen: list[object] = []
    found(folder, bits=4.5, evaluations=2, progress=seen.append)
    recipes = [one for one in seen if isinstance(one, RecipeJudged)]
    assert [one.evaluation for one in recipes] == list(range(1, len(recipes) + 1))


def test_a_recipe_for_a_folder_loses_little_on_other_text(folder: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    for number in range(30):
        (notes / f"{number}.py").write_text(f"def f{number}(x):\n    return x + {number}\n" * 60)
    (point,) = found(folder, bits=4, for_folder=notes).points
    assert [one.change for one in point.evaluations] == [
        f"{share}% of the loss on folder" for share in (0, 25, 50, 75, 100)
    ]
    chosen = [one for one in point.evaluations if one.accepted][-1]
    general = point.evaluations[0]
    assert general.accepted and chosen.by_kind["folder"] <= general.by_kind["folder"]
    others = [
        sum(loss for kind, loss in one.by_kind.items() if kind != "folder")
        for one in (chosen, general)
    ]
    assert others[0] <= 1.05 * others[1]
    assert point.measured is not None and "folder" in point.measured.by_domain


@pytest.mark.slow
def test_a_recipe_for_tasks_reports_what_the_models_answer_to_held_out_ones(
    folder: Path, tmp_path: Path
) -> None:
    rows = [
        {"prompt": f"The number after {n} is", "choices": [str(n + 1), str(n - 1)], "answer": 0}
        for n in range(300)
    ]
    file = tmp_path / "tasks.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    recipe = tmp_path / "tasks.recipe"
    result = zp.search(
        folder / "dense.gguf", recipe, bits=4, text=folder / "text.txt", effort="quick",
        objective=f"tasks:{file}",
    )  # fmt: skip
    (point,) = result.points
    reference, quant = point.tasks
    assert reference.tasks == quant.tasks == 60
    assert quant.right == reference.right - len(quant.beside_first.lost) + len(
        quant.beside_first.won
    )
    assert [one.change for one in point.evaluations] == [
        f"{share}% of the loss on tasks" for share in (0, 25, 50, 75, 100)
    ]
    assert all("tasks" in one.by_kind for one in point.evaluations)
    again = SearchResult.from_json(json.loads(json.dumps(result.to_json())))
    assert again.points[0].tasks == point.tasks


def test_a_recipe_is_for_a_folder_or_for_tasks_and_not_for_both(
    folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(MeasurementError, match="not for both"):
        found(folder, bits=4, objective="tasks:python", for_folder=tmp_path)


def test_an_objective_without_a_task_file_is_refused(folder: Path) -> None:
    with pytest.raises(MeasurementError, match="tasks:FILE"):
        found(folder, bits=4, objective="tasks:")
