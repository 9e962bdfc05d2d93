"""The pages of docs/: each has a place in the navigation, and links between them resolve."""

import re
from pathlib import Path

import pytest

from support.docs_pages import DOCS, load_function

ROOT = DOCS.parent
PAGES = [*sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("*.md"))]
LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#{1,6} (.+)$", page.read_text(), re.MULTILINE)
    words = [re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings]
    return {re.sub(r"\s", "-", each) for each in words}


def test_the_room_map_equals_the_tree() -> None:
    """If this fails: python docs/architecture_page.py."""
    page = (DOCS / "architecture.md").read_text()
    assert load_function("architecture_page", "render")() == page
    rooms = {path.parent.name for path in (ROOT / "src/zeropoint").glob("*/__init__.py")}
    assert rooms == set(re.findall(r"^\| \*\*`(\w+)`\*\*", page, re.MULTILINE))
    table = page.split("| Folder of `native/src` |")[1].split("\n\n")[0]
    folders = {path.name for path in (ROOT / "native/src").iterdir() if path.is_dir()}
    assert folders == set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


def test_the_tables_of_the_built_in_text_are_those_of_its_files() -> None:
    """If this fails: python docs/corpora_page.py."""
    assert load_function("corpora_page", "render")() == (DOCS / "corpora.md").read_text()


def test_every_page_is_in_the_navigation() -> None:
    settings = (ROOT / "mkdocs.yml").read_text()
    listed = re.findall(r"^ +- (?:.+: )?(\S+\.(?:md|html))$", settings, re.MULTILINE)
    generated = load_function("site_hooks", "root_pages")()
    pages = [page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")]
    not_decisions = [page for page in pages if not re.match(r"decisions/\d", page)]
    assert sorted(listed) == sorted([*not_decisions, "walk.html", *generated])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for target, anchor in LINK.findall(re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)):
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(f"{target}#{anchor}" if anchor else target)
    assert not broken


SOURCE_PATH = re.compile(r"`([\w.-]+(?:/[\w.-]+)+\.(?:py|js|css|cpp|hpp|toml|yml|npz|txt))`")
PLACES = [ROOT, ROOT / "src/zeropoint", ROOT / "src/zeropoint/studio", ROOT / "docs"]
# Files of other projects, and files that a user has.
ELSEWHERE = re.compile(r"conversion/|src/(?:models|llama)|transformers/|chunks/|.*[A-Z]{4}")


def test_source_files_that_are_named_exist() -> None:
    named = {
        (page.relative_to(ROOT).as_posix(), path)
        for page in PAGES
        for path in SOURCE_PATH.findall(page.read_text())
        if not ELSEWHERE.match(path)
    }
    assert len(named) > 20
    assert {
        each for each in named if not any((place / each[1]).exists() for place in PLACES)
    } == set()
