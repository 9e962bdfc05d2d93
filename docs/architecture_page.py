"""Write the room map into `architecture.md`: python docs/architecture_page.py (a test compares).

The map has one row for each package below src/zeropoint, from top to bottom. The purpose of a room
is the first line of its `__init__.py`, and the order is that of the import contract in
pyproject.toml.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "src/zeropoint"
MARKED = re.compile(r"(<!-- room map -->\n).*(<!-- end of room map -->)", re.DOTALL)


def render() -> str:
    """Return the page, with the map as the tree is now."""
    rows = ["| Room | Purpose |", "|---|---|", *map_rows()]
    table = "\n".join(rows) + "\n"
    return MARKED.sub(
        lambda mark: mark[1] + table + mark[2], (HERE / "architecture.md").read_text()
    )


def map_rows() -> Iterator[str]:
    """Yield a row for each room and sub-room, the highest rooms first."""
    for name in levels():
        room = PACKAGE / name
        if room.is_dir():
            yield f"| **`{name}`** | {purpose(room / '__init__.py')} |"
            for inner in sorted(path.parent for path in room.rglob("*/__init__.py")):
                yield f"| `{inner.relative_to(PACKAGE)}` | {purpose(inner / '__init__.py')} |"
        else:
            yield f"| **`{name}.py`** | {purpose(room.with_suffix('.py'))} |"


def levels() -> list[str]:
    """Return the names of rooms from the import contract, top to bottom."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    layers: list[str] = next(each["layers"] for each in contracts if each["type"] == "layers")
    return [name for layer in layers for name in layer.split(" | ")]


def purpose(module: Path) -> str:
    """Return the first line of a module's docstring."""
    text = ast.get_docstring(ast.parse(module.read_text()))
    assert text, f"{module} needs a docstring"
    return text.splitlines()[0].removesuffix(".").replace("|", "\\|")


if __name__ == "__main__":
    page = render()
    (HERE / "architecture.md").write_text(page)
