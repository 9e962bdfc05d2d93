"""The rules of the house, checked (docs/decisions say why they are rules)."""

import ast
import importlib
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

import zeropoint

ROOT = Path(__file__).parents[2]
LINES = 400
# Longer for a reason: a path from the root, and the reason.
LONGER: dict[str, str] = {}


@cache
def tracked() -> list[Path]:
    """Every text file that git knows, or would know."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:  # an unpacked archive has no git
        pytest.skip("not a git checkout")
    paths = [ROOT / line for line in listed.stdout.splitlines()]
    return [path for path in paths if path.is_file() and path.suffix not in (".npz", ".gz", ".xz")]


def sources(*suffixes: str) -> list[Path]:
    return [path for path in tracked() if path.suffix in suffixes]


def test_no_file_is_longer_than_a_person_reads_at_once() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sources(".py", ".pyi", ".cpp", ".hpp", ".js", ".ts", ".css")
        if (lines := len(path.read_text().splitlines())) > LINES
    }
    assert not {name: lines for name, lines in long.items() if name not in LONGER}
    assert set(LONGER) <= set(long), "an exception that is no longer needed"


def test_no_room_is_called_after_nothing() -> None:
    empty = {"utils", "util", "common", "core", "helpers", "misc"}
    assert not [path for path in sources(".py") if path.stem in empty or path.parent.name in empty]


ROOMS = sorted(path.parent.name for path in (ROOT / "src/zeropoint").glob("*/__init__.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_offers(room: str) -> None:
    """`__all__` is sorted, names what exists, and leaves out no function that the door defines."""
    module = importlib.import_module(f"zeropoint.{room}")
    exported = getattr(module, "__all__", [])
    assert len(exported) == len(set(exported))
    assert [name for name in exported if not hasattr(module, name)] == []
    defined = {
        node.name
        for node in ast.parse(Path(str(module.__file__)).read_text()).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    }
    callbacks = {"every_verb", "show_version"}  # called by the parser, not by people
    assert defined - set(exported) - callbacks == set()


def test_the_package_says_what_it_offers() -> None:
    assert [name for name in zeropoint.__all__ if not hasattr(zeropoint, name)] == []
    assert len(zeropoint.__all__) == len(set(zeropoint.__all__))


def test_the_changelog_and_the_citation_are_about_this_version() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None and newest[1] == zeropoint.__version__
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited is not None and cited[1] == zeropoint.__version__


def test_the_repository_knows_no_machine() -> None:
    """No path, host or name of the machine that somebody worked on."""
    traces = re.compile(r"/(?:work|home|root|Users|tmp)/\w|\.\./shared|\bshared/(?:tools|data)\b")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in tracked()
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if traces.search(line)
    ]
    assert not found


def test_no_long_way_round_in_a_verb() -> None:
    """A verb turns words into a call: it may not import numpy, so it cannot compute much."""
    heavy = re.compile(r"^\s*(import|from) (numpy|torch)", re.MULTILINE)
    verbs = (ROOT / "src/zeropoint/cli").glob("*.py")
    assert not [path.name for path in verbs if heavy.search(path.read_text())]
