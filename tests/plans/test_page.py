"""The page about presets says what the rules say."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_what_the_rules_say_today() -> None:
    """If this fails: python docs/presets_page.py."""
    spec = importlib.util.spec_from_file_location("presets_page", DOCS / "presets_page.py")
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    assert page.render() == (DOCS / "presets.md").read_text()
