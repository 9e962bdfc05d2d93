"""Generated pages say what the command line says."""

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", ["cli", "glossary"])
def test_the_page_is_what_the_verbs_are_today(name: str) -> None:
    """If this fails: python docs/cli_page.py, or docs/glossary_page.py."""
    spec = importlib.util.spec_from_file_location(f"{name}_page", DOCS / f"{name}_page.py")
    assert spec is not None and spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    assert page.render() == (DOCS / f"{name}.md").read_text()
