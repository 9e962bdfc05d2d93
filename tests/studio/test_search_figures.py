"""The figures of a search: the frontier, the recipe as a map, predicted against measured loss."""

import math
import re
from pathlib import Path
from typing import Any

import pytest

from support.search_runs import write_search
from support.studio_pages import Example, choose, number, press, rows, turn, until
from support.studio_server import Studio, running
from support.tiny_models import write_model
from zeropoint.cli import main
from zeropoint.formats import find_format
from zeropoint.results.allocation import SearchResult
from zeropoint.results.runs import read_run


@pytest.fixture(scope="module")
def found(example: Example) -> SearchResult:
    return read_run(example.model.parent / "searched").result_as(SearchResult)


def test_the_page_of_a_search_shows_its_recipes_and_losses(
    found: SearchResult, studio: Studio, visit: Any
) -> None:
    page = visit(f"/search?run={studio.id_of('searched', 'run')}")
    small, large = found.points
    assert number(page, "#f-recipe", "bytes") == large.file_bytes
    assert {name: (format, float(bits)) for name, format, bits in rows(page, "#f-recipe")} == {
        name: (format, find_format(format).bits_per_weight)
        for name, format in large.formats.items()
    }
    assert "ffn_up" in page.locator("#f-recipe svg").text_content()
    cell = page.locator('#f-recipe [data-mark="blk.1.ffn_up.weight"]')
    assert large.formats["blk.1.ffn_up.weight"] in cell.locator("title").text_content()
    cell.click()
    assert "recipe.tensor=blk.1.ffn_up.weight" in page.url
    assert large.measured is not None
    assert number(page, "#f-frontier", "kl") == large.measured.kl.mean
    assert number(page, "#f-frontier", "bytes") == large.file_bytes
    turn(page, "#f-recipe", "recipe", 0)
    assert number(page, "#f-recipe", "bytes") == small.file_bytes
    drawn = [[float(cell) for cell in row[2:4]] for row in rows(page, "#f-prediction")]
    assert drawn == [[one.predicted, one.loss.mean] for one in small.evaluations]


def test_a_right_prediction_lies_on_the_dashed_line(
    found: SearchResult, studio: Studio, visit: Any
) -> None:
    page = visit(f"/search?run={studio.id_of('searched', 'run')}#recipe=0")
    line = page.locator("#f-prediction path.dashed").get_attribute("d")
    left, bottom, right, top = map(float, re.findall(r"[\d.]+", line))
    assert right - left == bottom - top, "both axes have the same scale"
    places = page.locator("#f-prediction circle.dot").evaluate_all(
        "all => all.map(c => [c.cx.baseVal.value, c.cy.baseVal.value])"
    )
    losses = [(one.predicted, one.loss.mean) for one in found.points[0].evaluations]
    (x0, _), (p0, _) = places[0], losses[0]
    decade = (places[1][0] - x0) / math.log10(losses[1][0] / p0)
    for (x, y), (predicted, measured) in zip(places, losses, strict=True):
        above = (bottom - y) - (x - left)
        assert above == pytest.approx(decade * math.log10(measured / predicted), abs=0.5)


def test_a_report_puts_recipes_and_a_ladder_on_one_frontier(
    found: SearchResult, example: Example, tmp_path: Path, new_page: Any
) -> None:
    path = tmp_path / "report.html"
    folder = example.model.parent
    runs = [str(folder / "searched"), str(folder / "ladder")]
    assert main(["report", *runs, "-o", str(path), "-q"]) == 0
    page = new_page(path)
    choose(page, "#f-frontier", "x", "bytes")
    levels = {row[0]: float(row[2]) for row in rows(page, "#f-frontier")}
    assert "Q8_0" in levels
    assert found.points[1].file_bytes in levels.values()
    assert "recipes of the search" in page.locator("#f-frontier").inner_text()
    assert str(found.points[0].recipe).splitlines()[0] in page.locator("#search").text_content()


def test_a_report_of_predictions_says_that_nothing_was_measured(
    example: Example, tmp_path: Path
) -> None:
    write_search(tmp_path / "predicted", example.model, example.runs[0], measure_last=False)
    path = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "predicted"), "-o", str(path), "-q"]) == 0
    assert "The losses of these recipes were not measured." in path.read_text()


@pytest.mark.slow
def test_a_search_that_the_page_starts_ends_on_it_and_begins_the_page_recipe(
    tmp_path: Path, open_studio: Any
) -> None:
    pytest.importorskip("transformers")
    write_model(tmp_path / "tiny.gguf", columns=256, format="F16")
    with running(tmp_path) as studio:
        go = open_studio(studio)
        page = go("/search")
        assert "No search lies below the folder yet" in page.locator("main").inner_text()
        turn(page, "#f-jobs", "bits", "5")
        press(page, "#f-jobs", "start")
        link = page.locator('#f-jobs a[href^="/search?run="]')
        link.wait_for(timeout=120_000)
        page = go(link.get_attribute("href"))
        found = read_run(tmp_path / "tiny-5-bits-made").result_as(SearchResult)
        assert number(page, "#f-recipe", "bytes") == found.points[0].file_bytes
        page = go(page.locator("a", has_text="the recipe of tiny.gguf").get_attribute("href"))
        turn(
            page,
            "#f-edit",
            "start",
            f"{found.points[0].bits_per_weight:.2f} bits of tiny-5-bits-made",
        )
        until(page, "document.querySelector('#f-edit').dataset.drawn === 'answered'")
        assert {row[0]: row[1] for row in rows(page, "#f-edit")} == found.points[0].formats
