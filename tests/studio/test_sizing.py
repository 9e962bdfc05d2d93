"""Bigger or smaller: the page Size vs bits says what runs say, and what may be compared."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import run_folders as made_runs
from support.studio_pages import fits, number, rows, turn, until
from support.studio_server import Studio, running
from support.tiny_models import write_model
from zeropoint.checkpoints import open_checkpoint
from zeropoint.cli import main
from zeropoint.metrics.cross_model import kv_cache_bytes
from zeropoint.models import load_model
from zeropoint.plans.memory.cache_shape import read_shape
from zeropoint.results.runs import Run, read_run
from zeropoint.studio.data.memory_vs_loss import cache_per_position, series_of


def read(*folders: Path) -> list[Run]:
    return [read_run(folder) for folder in folders]


def nothing(name: str, nbytes: int) -> None:
    return None


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sizes")
    made_runs.across(folder / "compared")
    made_runs.measured(folder / "q8", "a-Q8_0.gguf", 5_000_000, 0.001)
    made_runs.measured(folder / "q4", "a-Q4_K.gguf", 3_000_000, 0.05)
    made_runs.measured(folder / "other", "b.gguf", 3_000_000, 0.05, fingerprint="6" * 64)
    return folder


@pytest.fixture(scope="module")
def studio(root: Path) -> Iterator[Studio]:
    with running(root) as found:
        yield found


def memory(cache: Any, size: int, ctx: int) -> int:
    return size + sum(k["layers"] * k["bytes"] * min(ctx, k["window"] or ctx) for k in cache)


def test_every_scale_stands_alone_and_says_what_it_compares(root: Path) -> None:
    found = series_of(read(root / "q8", root / "q4", root / "other", root / "compared"), nothing)
    assert [series["metric"] for series in found] == ["nats", "tasks", "chains", "kl"]
    assert [series["between"] for series in found] == [True, True, True, False]
    assert "tells nothing about another model" in found[3]["told"]
    assert [point["name"] for point in found[3]["points"]] == ["a-Q8_0.gguf", "a-Q4_K.gguf"]
    assert {point["line"] for point in found[0]["points"]} == {made_runs.GEMMA, made_runs.QWEN}
    assert found[1]["points"][3]["mean"] == 0.55 and found[2]["points"][3]["mean"] == 0.7


def test_a_cache_is_that_of_the_run_of_the_file_or_not_told(tmp_path: Path) -> None:
    path = write_model(tmp_path / "tiny.gguf", "gemma3")
    with open_checkpoint(path) as source:
        shape = read_shape(source)
        architecture = load_model(source, threads=1).architecture
    for ctx in (100, 4096, 32768):
        assert memory(cache_per_position(shape), 0, ctx) == kv_cache_bytes(architecture, ctx)
    made_runs.across(tmp_path / "old")
    path = tmp_path / "old/run.json"
    record = json.loads(path.read_text())
    for row in record["results"]["results"]:
        del row["cache"], row["shape"]
        row["cache_bytes"] = 4096 * 1000
    path.write_text(json.dumps(record))
    runs = read(tmp_path / "old")
    (first, *_) = series_of(runs, nothing)
    assert [memory(p["cache"], 0, 8192) for p in first["points"]] == [8_192_000] * 6
    (first, *_) = series_of(runs, lambda name, nbytes: shape)
    assert first["points"][0]["cache"] == cache_per_position(shape)


def test_the_budget_marks_the_best_group_and_the_context_moves_it(
    visit: Any, studio: Studio
) -> None:
    page = visit("/size")
    names = {row[0]: row for row in rows(page, "#f-size")}
    for name, size, _, _, cache, nats, *_ in made_runs.MODELS:
        assert int(names[name][5]) == memory(cache, size, 4096) and float(names[name][6]) == nats
    assert number(page, "#f-size", "best") == 2  # both of the large one share a letter
    turn(page, "#f-size", "budget", 0.45)
    until(page, "document.querySelector('#f-size .card').textContent.includes('0.45')")
    told = page.locator("#f-size .card").inner_text()
    assert "large-Q4_K_M.gguf" in told and "Q8_0" not in told
    turn(page, "#f-size", "ctx", 131072)
    until(page, "location.hash.includes('size.ctx=131072')")
    for name, size, _, _, cache, *_ in made_runs.MODELS:
        row = next(row for row in rows(page, "#f-size") if row[0] == name)
        bytes_ = memory(cache, size, 131072)
        assert int(row[5]) == bytes_ and (row[-1] == "no") == (bytes_ > 0.45 * 2**30)
    page.locator('#f-size [data-mark="small-Q8_0.gguf"]').focus()
    page.keyboard.press("Enter")
    until(page, "location.hash.includes('size.point=small-Q8_0.gguf')")
    assert number(page, "#f-size", "mean") == 0.903
    page.reload()
    page.wait_for_selector("html[data-ready]", state="attached")
    assert number(page, "#f-size", "mean") == 0.903


def test_kl_is_shown_within_one_model_and_says_so(visit: Any, studio: Studio) -> None:
    page = visit("/size")
    options = page.locator('#f-size [data-control="series"] option').all_inner_texts()
    assert len(options) == 4 and "KL of ref.gguf" in options[3]
    page.locator('#f-size [data-control="series"]').select_option(index=3)
    until(page, "document.querySelector('#f-size').textContent.includes('tells nothing about')")
    assert number(page, "#f-size", "mean") == 0.001


def test_a_report_of_several_models_says_which_is_best_and_draws_them(
    new_page: Any, tmp_path: Path
) -> None:
    made_runs.across(tmp_path / "compared", steps=False)
    path = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "compared"), "-o", str(path), "-q"]) == 0
    told = path.read_text()
    assert "<h1>Side by side: " in told
    assert "Best of 6 models by nats per byte of the same text: large-Q8_0.gguf, not " \
        "significantly different from large-Q4_K_M.gguf." in told  # fmt: skip
    plain = new_page(path, java_script_enabled=False)
    cells = plain.locator("#size tbody tr").first.inner_text()
    assert cells.split()[0] == "large-Q8_0.gguf" and "0.842" in cells
    page = new_page(path, "#size.ctx=32768")
    for name, size, _, _, cache, *_ in made_runs.MODELS:
        row = next(row for row in rows(page, "#f-size") if row[0] == name)
        assert int(row[5]) == memory(cache, size, 32768)


def test_without_runs_it_says_which_command_makes_one(browser: Any, tmp_path: Path) -> None:
    with running(tmp_path) as empty:
        told = empty.get("/size").body.decode()
    assert "zeropoint compare A.gguf B.gguf" in told and "zeropoint measure" in told
    assert "never ranks one model against another" in told


def test_it_is_as_narrow_as_a_telephone(visit: Any, studio: Studio) -> None:
    assert fits(visit("/size", width=360), 360)
