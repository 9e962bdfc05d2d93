"""The import contracts hold and cover every room: no room imports from one above it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import zeropoint

ROOT = Path(__file__).parents[2]


def test_no_room_imports_upwards() -> None:
    """In a process of its own: import-linter disables the loggers of the process it runs in."""
    code = "import sys; from importlinter import cli; sys.exit(cli.lint_imports())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_contract_of_the_layers_covers_every_room() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = [contract for contract in settings["contracts"] if contract["type"] == "layers"]
    assert all(contract["exhaustive"] is True for contract in layers)
    (package,) = [contract for contract in layers if contract["containers"] == ["zeropoint"]]
    named = {name.strip() for layer in package["layers"] for name in layer.split("|")}
    rooms = {path.parent.name for path in Path(zeropoint.__file__).parent.glob("*/__init__.py")}
    assert rooms - named == set()
