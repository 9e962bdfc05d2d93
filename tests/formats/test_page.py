"""The page about formats says what the formats say."""

from support.docs_pages import DOCS, load_function
from zeropoint.formats import FORMATS


def test_the_page_is_what_the_formats_are_today() -> None:
    """If this fails: python docs/formats_page.py."""
    text = (DOCS / "formats.md").read_text()
    assert load_function("formats_page", "render")() == text
    assert all(f"| {name} |" in text for name in FORMATS)
