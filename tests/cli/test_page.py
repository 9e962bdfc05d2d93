"""The generated pages about the command line equal what their scripts print."""

import pytest

from support.docs_pages import DOCS, load_function


@pytest.mark.parametrize("name", ["cli", "glossary"])
def test_the_page_is_what_the_verbs_are_today(name: str) -> None:
    """If this fails: python docs/cli_page.py, or docs/glossary_page.py."""
    assert load_function(f"{name}_page", "render")() == (DOCS / f"{name}.md").read_text()
