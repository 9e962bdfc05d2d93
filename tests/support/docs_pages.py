"""The scripts in docs/ that write pages, as their tests call them."""

import runpy
from collections.abc import Callable
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def load_function(script: str, function: str) -> Callable[[], str]:
    """Return a function of docs/SCRIPT.py, which is run without its `main`."""
    found: Callable[[], str] = runpy.run_path(str(DOCS / f"{script}.py"))[function]
    return found
