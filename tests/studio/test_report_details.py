"""The report as a document: numbered sections, checksums, its origin, small samples, and paper."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from support.studio_pages import Example
from zeropoint.cli import main
from zeropoint.results.run_store import RunFolder
from zeropoint.results.runs import read_run
from zeropoint.studio.data.measure_runs import FEW_TOKENS
from zeropoint.studio.report.report import render_report

# Words of table cells that are on more than one line. A name may break after "/", "-" or "_", and
# raw JSON anywhere.
CELLS = "main :is(td, th):not(#f-raw *)"
BROKEN_WORDS = (
    f"""() => [...document.querySelectorAll("{CELLS}")]"""
    """.flatMap((cell) => {
  const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), found = [];
  while (walker.nextNode()) {
    const text = walker.currentNode;
    for (const word of text.data.matchAll(/[^\\s\\/_-]+/g)) {
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      const tops = new Set([...range.getClientRects()].map((r) => Math.round(r.top)));
      if (tops.size > 1) found.push(word[0]);
    }
  }
  return found; })"""
)


@pytest.fixture(scope="module")
def report(example: Example, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("details") / "report.html"
    assert main(["report", *map(str, example.runs), "-o", str(path), "-q"]) == 0
    return path


def test_sections_are_numbered_as_they_appear(report: Path, example: Example) -> None:
    for html in (report.read_text(), render_report([read_run(example.runs[1])])):
        numbers = [int(n) for n in re.findall(r'<h2><span class="n">(\d+)</span>', html)]
        assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= 4


def test_what_was_not_measured_is_not_called_lost(example: Example) -> None:
    made = render_report([read_run(example.runs[1])])
    assert "<h1>How it was made: " in made and "What was lost" not in made


def test_files_are_named_by_their_sha_256(report: Path, example: Example) -> None:
    html = report.read_text()
    for path in (example.model, example.quant):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in html


def test_a_file_that_changed_since_has_no_sha_256(example: Example, tmp_path: Path) -> None:
    """The file beside the run has the name of the measured one, but other weights."""
    run = RunFolder.open(example.runs[0])
    moved = RunFolder.start(tmp_path / "run", "measure", run.identity["inputs"], {})  # type: ignore[arg-type]
    moved.finish(run.results)
    other = bytearray(example.quant.read_bytes())
    other[-1] ^= 1
    (tmp_path / example.quant.name).write_bytes(other)
    html = render_report([read_run(moved.path)])
    assert hashlib.sha256(other).hexdigest() not in html
    assert "the file was not found for a SHA-256" in html


def test_the_head_says_when_where_and_how(report: Path, example: Example) -> None:
    head = re.search(r'<header class="top">.*?</header>', report.read_text(), re.DOTALL)
    assert head is not None
    for run in example.runs:
        origin = RunFolder.open(run).origin
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", origin.date)
        told = f"{run.name}: {origin.date}, zeropoint {origin.version}, {origin.machine}"
        assert told in head[0]


def test_few_tokens_are_grey(example: Example, new_page: Any, report: Path) -> None:
    results = RunFolder.open(example.runs[0]).results
    groups = {**results["by_domain"], **results["by_class"]}  # type: ignore[dict-item]
    few = {name for name, group in groups.items() if group["tokens"] < FEW_TOKENS}
    page = new_page(report)
    rows = page.locator("#loss table tr.few").all_inner_texts()
    assert few and {row.split("\t")[0] for row in rows} == few
    assert page.locator("#f-loss g.few").count() == len(few)
    assert len(few) < len(groups) and "fewer than 30 tokens" in page.locator("#loss").inner_text()


@pytest.mark.parametrize("width", [1200, 360])
def test_no_table_breaks_a_word(report: Path, new_page: Any, width: int) -> None:
    page = new_page(report, viewport={"width": width, "height": 800})
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    assert page.evaluate(BROKEN_WORDS) == []


def test_figures_are_there_when_a_program_prints_at_once(report: Path, new_page: Any) -> None:
    """It prints when the page has loaded, before the browser has drawn a frame or been idle."""
    page = new_page()
    page.add_init_script(
        """addEventListener("load", () => { dispatchEvent(new Event("beforeprint"));
          document.documentElement.dataset.printed =
            [...document.querySelectorAll("figure[data-visual]")].map((f) =>
              f.querySelectorAll(".plot > *").length).join(); });"""
    )
    page.goto(f"file://{report}")
    printed = page.locator("html").get_attribute("data-printed").split(",")
    assert len(printed) >= 7 and "0" not in printed


def test_headings_stay_with_what_follows_on_paper(report: Path, new_page: Any) -> None:
    page = new_page(report)
    page.emulate_media(media="print")
    after = page.evaluate(
        "[...document.querySelectorAll('h2')].map((h) => getComputedStyle(h).breakAfter)"
    )
    assert set(after) == {"avoid"}
    kept = "getComputedStyle(document.querySelector('.swatch')).printColorAdjust"
    assert page.evaluate(kept) == "exact"
