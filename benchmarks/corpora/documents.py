"""The long documents: a novel, a reference, a module of code, and a book in Russian, per part."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from corpora import extract, sources
from corpora.sources import LICENCES, Piece, files, part_of

TOKENS = 12_500  # of Qwen2.5; other tokenizers need fewer, and 8,192 are read
RUSSIAN_TOKENS = 16_500

CODE = {
    "calibrate": ("libpython3.11-minimal", "argparse.py"),
    "select": ("libpython3.11-minimal", "typing.py"),
    "evaluate": ("libpython3.11-stdlib", "_pydecimal.py"),
}
REFERENCE = {
    "calibrate": "reference/datamodel.rst.txt",
    "select": "library/stdtypes.rst.txt",
    "evaluate": "reference/expressions.rst.txt",
}
CHAPTERS = {"calibrate": 0.0, "select": 0.35, "evaluate": 0.7}  # where each excerpt begins


def documents(
    root: Path, part: str, count: Callable[[str], int], usable: Callable[[str, str], bool]
) -> Iterator[tuple[Piece, int]]:
    """Yield the four documents of a part, and their tokens.

    Paragraphs that are not `usable` are dropped: another part has one of their sequences.
    """
    for limit, piece in (
        (TOKENS, novel(root, part)),
        (TOKENS, reference(root, part)),
        (TOKENS, module(root, part)),
        (RUSSIAN_TOKENS, russian(root, part)),
    ):
        kept: list[str] = []
        tokens = 0
        for paragraph in piece.paragraphs:
            if tokens > limit:
                break
            if usable(paragraph, part):
                kept.append(paragraph)
                tokens += count(paragraph)
        yield Piece(piece.package, piece.file, piece.unit, tuple(kept), piece.licence), tokens


def novel(root: Path, part: str) -> Piece:
    """Return an excerpt of Mark Twain's Tom Sawyer (1876)."""
    package = "golang-github-klauspost-compress-dev"
    (path,) = files(root, package, "usr/share/gocode/src/*/*/compress/testdata/Mark*.txt")
    lines = path.read_text("utf-8", errors="replace").split("\n")
    chapters = [i for i, line in enumerate(lines) if line.startswith("CHAPTER ")]
    first = chapters[int(CHAPTERS[part] * len(chapters))]
    return Piece(
        package, str(path.relative_to(root / package)), part,
        tuple(extract.paragraphs(lines[first:])), LICENCES[package],
    )  # fmt: skip


def reference(root: Path, part: str) -> Piece:
    """Return a long page of Python's manual."""
    package = "python3.11-doc"
    (path,) = files(root, package, f"usr/share/doc/python3.11/html/_sources/{REFERENCE[part]}")
    text = tuple(extract.from_rst(path.read_text()))
    return Piece(package, str(path.relative_to(root / package)), part, text, LICENCES[package])


def module(root: Path, part: str) -> Piece:
    """Return a long module of Python's standard library."""
    package, name = CODE[part]
    (path,) = files(root, package, f"usr/lib/python3.11/{name}")
    blocks = re.split(r"\n\s*\n", path.read_text())
    text = tuple(b for b in blocks if not re.search(r"(?i)licen[cs]e|copyright", b))
    return Piece(package, str(path.relative_to(root / package)), part, text, LICENCES[package])


def russian(root: Path, part: str) -> Piece:
    """Return sections of the Debian handbook in Russian, in the order of the book."""
    package = "debian-handbook"
    found: list[str] = []
    names: list[str] = []
    for piece in sources.handbook_in(root, "ru-RU", 0x400, 0x52F):
        if part_of(piece.unit) == part:
            found += piece.paragraphs
            names.append(piece.file)
    shown = f"{Path(names[0]).parent}/sect.*.html"
    return Piece(package, shown, part, tuple(found), LICENCES[package])
