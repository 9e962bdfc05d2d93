"""The page about formats says what the formats say."""

import importlib.util
from pathlib import Path

from zeropoint.formats import FORMATS

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_what_the_formats_are_today() -> None:
    """If this fails: python docs/formats_page.py."""
    spec = importlib.util.spec_from_file_location("formats_page", DOCS / "formats_page.py")
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    text = (DOCS / "formats.md").read_text()
    assert page.render() == text
    assert all(f"| {name} |" in text for name in FORMATS)
