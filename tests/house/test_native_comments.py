"""Comments in native code point at things that exist: paths, and identifiers of either language."""

import re
from functools import cache
from itertools import product
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NATIVE = sorted(path for path in (ROOT / "native").rglob("*.[ch]pp"))
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
TEXT = re.compile(r'"(?:[^"\\\n]|\\.)*"')
IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


def comments(path: Path) -> str:
    """Return the comments of a file, a comment of several lines as one."""
    found = COMMENT.findall(TEXT.sub('""', path.read_text()))
    return re.sub(r"\s+", " ", " ".join(line.strip("/* \n") for line in found))


@cache
def identifiers() -> frozenset[str]:
    """Return every identifier of the native code, and of the Python code, outside comments."""
    found: set[str] = set()
    for path in NATIVE:
        found.update(IDENTIFIER.findall(COMMENT.sub("", path.read_text())))
    for path in (ROOT / "src/zeropoint").rglob("*.py"):
        found.update(IDENTIFIER.findall(re.sub(r"#.*", "", path.read_text())))
    return frozenset(found)


def paths_in(text: str) -> list[str]:
    """Return the paths from the root that a text names; {a,b} stands for each."""
    found = []
    for path in re.findall(r"(?:src/zeropoint|native|tests|docs)/[\w/{},.-]*[\w}]", text):
        parts = [part.split(",") for part in re.split(r"[{}]", path)]
        found += ["".join(pieces) for pieces in product(*parts)]
    return found


def test_there_are_comments_to_check() -> None:
    assert len(NATIVE) > 40
    assert sum(len(paths_in(comments(path))) for path in NATIVE) > 15
    assert paths_in("see src/zeropoint/formats/{legacy,levels}.py.") == [
        "src/zeropoint/formats/legacy.py",
        "src/zeropoint/formats/levels.py",
    ]


@pytest.mark.parametrize("path", NATIVE, ids=lambda path: str(path.relative_to(ROOT / "native")))
def test_comments_name_what_exists(path: Path) -> None:
    text = comments(path)
    assert [name for name in paths_in(text) if not (ROOT / name).exists()] == []
    quoted = {name for code in re.findall(r"`([^`]+)`", text) for name in IDENTIFIER.findall(code)}
    assert sorted(quoted - identifiers()) == []
    for name, where in re.findall(r"`(\w+)` (?:in|of) (src/zeropoint/[\w/]+\.py)", text):
        assert re.search(rf"\b{name}\b", (ROOT / where).read_text()), f"{where} has no {name}"
