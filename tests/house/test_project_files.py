"""Files that describe the project name what exists: make targets, metadata, versions of Python."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_make_targets_that_are_named_exist() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob(".github/**/*.*")]
    named = {
        (page.name, target)
        for page in pages
        for target in re.findall(
            r"(?:`|run: |^)make ([a-z][a-z-]*)", page.read_text(), re.MULTILINE
        )
    }
    assert len(named) > 10
    assert {(page, target) for page, target in named if target not in TARGETS} == set()


def test_the_help_of_make_lists_every_target() -> None:
    described = re.findall(r"^([a-z][a-z-]*):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(described) == TARGETS


def test_classifiers_cover_the_lowest_python() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lowest = project["requires-python"].removeprefix(">=")
    assert f"Programming Language :: Python :: {lowest}" in project["classifiers"]
    matrix = (ROOT / ".github/workflows/test.yml").read_text()
    tested = re.search(r"python: \[(.*)\]", matrix)
    assert tested is not None
    for version in re.findall(r"\d\.\d+", tested[1]):
        assert f"Programming Language :: Python :: {version}" in project["classifiers"]
