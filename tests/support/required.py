"""Programs that some tests need. Without them a test skips, or fails where CI is set."""

import os
import shutil
from pathlib import Path

import pytest

AXE = Path(
    os.environ.get("ZEROPOINT_AXE", Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js")
)


def missing(what: str) -> None:
    """Skip this test because `what` is missing, or fail it if the variable CI is set."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must have what every test needs: {what}", pytrace=False)
    pytest.skip(what)


def chromium() -> str:
    """Return the path of Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        missing("Chromium is not installed: apt-get install chromium")
    return str(program)


def node() -> str:
    """Return the path of Node.js."""
    program = shutil.which("node")
    if program is None:
        missing("Node.js is not installed: apt-get install nodejs")
    return str(program)


def axe() -> str:
    """Return the source of axe-core, the accessibility checker."""
    if not AXE.is_file():
        missing("axe-core is not installed: npm ci")
    return AXE.read_text()
