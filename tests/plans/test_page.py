"""The page about presets says what the rules say."""

from support.docs_pages import DOCS, load_function


def test_the_page_is_what_the_rules_say_today() -> None:
    """If this fails: python docs/presets_page.py."""
    assert load_function("presets_page", "render")() == (DOCS / "presets.md").read_text()
