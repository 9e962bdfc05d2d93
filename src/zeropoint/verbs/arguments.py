"""Arguments of the verbs that may be given in several forms."""

from collections.abc import Sequence
from pathlib import Path


def as_list(values: str | Path | Sequence[str | Path] | None) -> list[str]:
    """Return an argument that may be given once, several times or not at all, as a list.

    >>> as_list("a.txt"), as_list([Path("a.txt"), "b.txt"]), as_list(None)
    (['a.txt'], ['a.txt', 'b.txt'], [])
    """
    if values is None:
        return []
    return [str(values)] if isinstance(values, str | Path) else [str(value) for value in values]


def as_paths(files: str | Path | Sequence[str | Path] | None) -> list[Path]:
    """Return files that may be given once, several times or not at all, as paths."""
    return [Path(file) for file in as_list(files)]


def as_path(path: str | Path | None) -> Path | None:
    """Return a path, or None."""
    return None if path is None else Path(path)
