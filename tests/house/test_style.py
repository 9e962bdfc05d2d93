"""Checks of docs/style.md: numbers, and terms that the project no longer uses."""

import re
from pathlib import Path

import pytest

from support.docs_pages import DOCS

ROOT = DOCS.parent
STYLE = DOCS / "style.md"
PAGES = sorted({*DOCS.rglob("*.md"), *ROOT.glob("*.md")} - {STYLE})
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
# Phrases of the old texts; each has a plain equivalent in the table of docs/style.md.
RETIRED = re.compile(
    r"\b(?:plain read of memory|told apart|have parted|half parted|goes on from there|"
    r"so many (?:chunks|tokens|texts)|is deaf|at one door|what was before)\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_writes_numbers_with_their_zero_and_no_retired_terms(page: Path) -> None:
    text = CODE.sub("", page.read_text())
    assert re.findall(r".*(?:^|[\s(|…±<>=≤≥−-])\.\d+\b.*", text, re.MULTILINE) == []
    assert [match[0] for match in RETIRED.finditer(text)] == []
