"""Paths as the messages of the command line show them."""

from pathlib import Path

from zeropoint.cli.paths import MAX_PATH_CHARACTERS
from zeropoint.errors import printable


def shown(path: Path | str) -> str:
    """A path in a message: in the middle of a long one, something is left out."""
    return printable(str(Path(path)), MAX_PATH_CHARACTERS)
