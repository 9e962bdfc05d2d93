"""The example page that the repository ships: it is the one that the code makes."""

from pathlib import Path
from typing import Any

from support.docs_pages import DOCS, load_function
from support.studio_pages import number, turn
from zeropoint.studio.data.walk import EXAMPLE, example
from zeropoint.studio.report.walk_file import DESCRIPTION, PREVIEW, figure_ids, render_figure
from zeropoint.studio.static_files import STATIC


def test_the_page_in_docs_is_what_the_code_writes() -> None:
    page = load_function("walk_page", "page")()
    assert (DOCS / "walk.html").read_text() == page, "run python docs/walk_page.py"
    assert (STATIC / EXAMPLE).stat().st_size < 300_000  # type: ignore[attr-defined]


def test_the_page_in_docs_opens_and_is_turned(new_page: Any) -> None:
    page = new_page(DOCS / "walk.html")
    assert page.locator("figure[data-ready]").count() == 23
    assert page.locator(".borrowed").count() == 0
    turn(page, "#f1", "bits", 2)
    assert number(page, "#f1", "bytes") == number(page, "#f1", "parameters") / 4
    essay = page.locator("footer a").first
    assert "ngrok.com" in essay.get_attribute("href") and "Sam Rose" in page.inner_text("footer")
    assert page.locator('meta[name="description"]').get_attribute("content") == DESCRIPTION
    assert (DOCS / PREVIEW).is_file()
    links = page.locator("figure .link-here").evaluate_all("all => all.map(e => e.hash.slice(1))")
    assert links == figure_ids(), "each figure has a link that opens there"


def test_a_figure_opens_as_a_page_of_its_own(new_page: Any, tmp_path: Path) -> None:
    path = tmp_path / "f10.html"
    path.write_text(render_figure(example(), "f10"))
    page = new_page(path, "#asymmetric.lean=0.5")
    assert page.locator("figure").count() == 1
    assert number(page, "#f10", "squared") < number(page, "#f10", "squared-other")
    assert path.stat().st_size < 1_000_000
