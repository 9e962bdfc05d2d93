"""Imports between files: no circle anywhere, and `plans` only decides."""

import ast
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
PLANS = sorted((SOURCE / "zeropoint/plans").rglob("*.py"))
# `plans` is given models, devices and results: it may not touch files, the clock or the machine.
NOT_FOR_PLANS = ("io", "os", "platform", "shutil", "subprocess", "tempfile", "time",
                 "zeropoint.cache", "zeropoint.kernels")  # fmt: skip
READERS = ("find_", "load_", "open_", "read_", "save_", "write_")
FILE_CALLS = {"open", "exists", "is_dir", "is_file", "iterdir", "glob", "rglob", "read_bytes",
              "read_text", "stat", "write_bytes", "write_text"}  # fmt: skip
# The one user file that is read while formats are chosen: a recipe that is named by its path.
RECIPE = ("plans/formats/recipe.py", "read_user_text")


@cache
def modules() -> dict[str, Path]:
    """Return every module of the package by its dotted name, compiled ones by their stubs."""
    named = {}
    for suffix in ("*.pyi", "*.py"):
        for path in (SOURCE / "zeropoint").rglob(suffix):
            parts = path.relative_to(SOURCE).with_suffix("").parts
            named[".".join(parts).removesuffix(".__init__")] = path
    return named


def imports_of(path: Path) -> list[tuple[str, str]]:
    """Return what a file imports, as (module, name): at its top, inside functions, or for types."""
    imported: list[tuple[str, str]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported += [(node.module, alias.name) for alias in node.names]
    return imported


def graph() -> dict[str, set[str]]:
    """Return the modules of the package that each module imports."""
    found = {}
    for module, path in modules().items():
        names = {f"{base}.{name}" if f"{base}.{name}" in modules() else base
                 for base, name in imports_of(path)}  # fmt: skip
        found[module] = (names & modules().keys()) - {module}
    return found


def find_circle(edges: dict[str, set[str]]) -> list[str]:
    """Return the modules of one circle, in the order of their imports; empty if there is none."""
    finished: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in finished:
            return []
        for other in sorted(edges[module]):
            if circle := visit(other, [*path, module]):
                return circle
        finished.add(module)
        return []

    return next((circle for module in sorted(edges) if (circle := visit(module, []))), [])


def test_no_import_circle_between_files() -> None:
    """Also none through an import inside a function, or for type checking only."""
    assert find_circle(graph()) == []


def test_a_circle_would_be_found() -> None:
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert find_circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("path", PLANS, ids=lambda path: str(path.relative_to(SOURCE)))
def test_plans_reads_nothing_and_times_nothing(path: Path) -> None:
    """Data of the package itself, read by importlib.resources, is no file of the user."""
    for module, name in imports_of(path):
        assert not any(module == no or module.startswith(f"{no}.") for no in NOT_FOR_PLANS), module
        allowed = str(path).endswith(RECIPE[0]) and name == RECIPE[1]
        if module.startswith("zeropoint.checkpoints") and not allowed:
            assert not name.startswith(READERS), f"{module}.{name}"
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Attribute) and called.attr in FILE_CALLS:
            assert ast.unparse(called).startswith("files(__package__)"), ast.unparse(node)
        assert not (isinstance(called, ast.Name) and called.id == "open"), ast.unparse(node)
