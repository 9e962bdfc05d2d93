"""The example page that the repository ships: it is the one that the code makes."""

from typing import Any

from support.docs_pages import DOCS, load_function
from support.studio_pages import number, turn
from zeropoint.studio.data.walk import EXAMPLE
from zeropoint.studio.static_files import STATIC


def test_the_page_in_docs_is_what_the_code_writes() -> None:
    page = load_function("walk_page", "page")()
    assert (DOCS / "walk.html").read_text() == page, "run python docs/walk_page.py"
    assert (STATIC / EXAMPLE).stat().st_size < 300_000  # type: ignore[attr-defined]


def test_the_page_in_docs_opens_and_is_turned(new_page: Any) -> None:
    page = new_page(DOCS / "walk.html")
    assert page.locator("figure[data-ready]").count() == 21
    assert page.locator(".borrowed").count() == 0
    turn(page, "#f1", "bits", 2)
    assert number(page, "#f1", "bytes") == number(page, "#f1", "parameters") / 4
    essay = page.locator("footer a").first
    assert "ngrok.com" in essay.get_attribute("href") and "Sam Rose" in page.inner_text("footer")
