"""Decisions have a title, a date and a status, and the index lists all of them."""

import re
from pathlib import Path

import pytest

DECISIONS = Path(__file__).parents[2] / "docs/decisions"
PAGES = sorted(DECISIONS.glob("[0-9]*.md"))
HEAD = re.compile(
    r"# (?P<number>\d+)\. (?P<title>\S.*)\n\n"
    r"Date: (?P<date>\d{4}-\d\d-\d\d)(?:, (?:extended|revised) \d{4}-\d\d-\d\d)?\. "
    r"Status: (?P<status>accepted|proposed|superseded by \d+)[.,]"
)


def entry(page: Path) -> str:
    """Return the line of the index that belongs to a page."""
    head = HEAD.match(page.read_text())
    assert head is not None, f"{page.name} must begin: # N. Title / Date: YYYY-MM-DD. Status: …"
    assert page.name.startswith(f"{int(head['number']):04}-"), f"{page.name}: another number"
    return (
        f"| {head['number']} | [{head['title']}]({page.name}) | {head['date']} | {head['status']} |"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_decision_names_its_price(page: Path) -> None:
    text = page.read_text()
    assert "**Question.**" in text and "**Price.**" in text


def test_the_index_lists_every_decision_in_order() -> None:
    index = (DECISIONS / "README.md").read_text().splitlines()
    assert [line for line in index if re.match(r"\| \d", line)] == [entry(page) for page in PAGES]
    assert len(PAGES) > 20
