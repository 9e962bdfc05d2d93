"""The static files of pages: modules, style sheets, the text of the walk, and the example run."""

from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable

STATIC = resources.files("zeropoint.studio") / "static"


def static_text(name: str) -> str:
    """Return the text of a static file."""
    return (STATIC / name).read_text("utf-8")


def static_files(suffixes: tuple[str, ...]) -> dict[str, bytes]:
    """Return the contents of the files below `static/` with one of these endings, by path."""

    def walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
        for entry in folder.iterdir():
            if entry.is_dir():
                yield from walk(entry, f"{prefix}{entry.name}/")
            elif entry.name.endswith(suffixes):
                yield prefix + entry.name, entry.read_bytes()

    return dict(walk(STATIC, ""))
