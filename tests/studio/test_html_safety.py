"""HTML is written in one module: no other text can reach a page without being escaped."""

import ast
from pathlib import Path

import pytest

from zeropoint.studio.report.html import Html, element, figure, section, table, text

STUDIO = Path(__file__).parents[2] / "src/zeropoint/studio"
BUILDERS = STUDIO / "report" / "html.py"
# Whole documents, from parts that are Html already, constants, and escaped titles.
DOCUMENTS = STUDIO / "report" / "bundle.py"
EVIL = "<img src=x onerror='alert(1)'>\"&"


def calls(path: Path, name: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name
    ]


MODULES = [path for path in sorted(STUDIO.rglob("*.py")) if path != BUILDERS]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_only_the_builders_make_html(path: Path) -> None:
    assert not calls(path, "Html"), "text becomes HTML in report/html.py only"
    for call in calls(path, "literal"):
        (argument,) = call.args
        assert isinstance(argument, ast.Constant), f"line {call.lineno}: not a constant"
    for call in calls(path, "static_html"):
        assert isinstance(call.args[0], ast.Constant), f"line {call.lineno}: not a constant"


@pytest.mark.parametrize("path", [p for p in MODULES if p != DOCUMENTS], ids=lambda path: path.stem)
def test_no_tag_is_written_into_formatted_text(path: Path) -> None:
    """An f-string with a tag would be HTML that nobody has escaped."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            constants = [part.value for part in node.values if isinstance(part, ast.Constant)]
            assert not any("</" in str(c) or "/>" in str(c) for c in constants), node.lineno


def test_builders_escape_what_they_are_given() -> None:
    shown = [
        text(EVIL),
        element("p", EVIL, title=EVIL),
        table((EVIL,), [(EVIL,)], EVIL),
        figure("bytes", "f", EVIL, EVIL, scope=EVIL),
        section("x", EVIL, element("p", EVIL)),
    ]
    for html in shown:
        assert isinstance(html, Html)
        assert "<img" not in html and "onerror='" not in html
        assert '="<' not in html and '"&"' not in html
