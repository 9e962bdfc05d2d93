"""The sources of the built-in text: Debian packages, and which of their files go to which kind."""

import gzip
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from corpora import extract

#: Package → licence of the files that are used, as its debian/copyright says.
LICENCES = {
    "debian-handbook": "CC-BY-SA-3.0",
    "dict-devil": "public domain",
    "dict-jargon": "public domain",
    "gnome-user-docs": "CC-BY-SA-3.0",
    "golang-1.19-src": "BSD-3-Clause",
    "golang-github-klauspost-compress-dev": "public domain",
    "libjs-underscore": "MIT",
    "libpython3.11-minimal": "PSF-2.0",
    "libpython3.11-stdlib": "PSF-2.0",
    "libreoffice-help-hi": "MPL-2.0",
    "librust-itertools-dev": "MIT",
    "librust-regex-dev": "MIT",
    "nlohmann-json3-dev": "MIT",
    "python-sklearn-doc": "BSD-3-Clause",
    "python3.11-doc": "PSF-2.0",
    "r-cran-janeaustenr": "public domain",
    "zeropoint": "Apache-2.0",
}


#: Package of code → whose copyright its files may name. Files with another notice are left out.
OWNERS = {
    "golang-1.19-src": "The Go Authors",
    "libjs-underscore": "Jeremy Ashkenas",
    "libpython3.11-minimal": "Python Software Foundation",
    "libpython3.11-stdlib": "Python Software Foundation",
    "librust-itertools-dev": "bluss",
    "librust-regex-dev": "The Rust Project Developers",
    "nlohmann-json3-dev": "Niels Lohmann",
}

#: Quarters of the hash of a unit that belong to each part.
QUARTERS = {"calibrate": (0, 1), "select": (2,), "evaluate": (3,)}


def part_of(unit: str) -> str:
    """Return the part that a chapter, page or module belongs to, in every language."""
    quarter = hashlib.sha256(unit.encode()).digest()[0] % 4
    return next(part for part, quarters in QUARTERS.items() if quarter in quarters)


@dataclass(frozen=True)
class Piece:
    """An excerpt of one file. Pieces with the same unit always go to the same part."""

    package: str
    file: str
    unit: str
    paragraphs: tuple[str, ...]
    licence: str = ""


def files(root: Path, package: str, pattern: str) -> list[Path]:
    """Return the files of an unpacked package that match, in a fixed order."""
    found = sorted(path for path in (root / package).glob(pattern) if path.is_file())
    if not found:
        raise FileNotFoundError(f"{package} has no file {pattern}; run build.py --download")
    return found


def pieces_of(
    root: Path, package: str, path: Path, unit: str, paragraphs: list[str], *, step: int
) -> Iterator[Piece]:
    """Cut the paragraphs of a file into pieces of about `step` characters."""
    name = str(path.relative_to(root / package))
    licence = LICENCES[package]
    taken: list[str] = []
    for paragraph in paragraphs:
        taken.append(paragraph)
        if sum(map(len, taken)) >= step:
            yield Piece(package, name, unit, tuple(taken), licence)
            taken = []
    if sum(map(len, taken)) > step // 3:
        yield Piece(package, name, unit, tuple(taken), licence)


def austen(root: Path) -> Iterator[Piece]:
    package = "r-cran-janeaustenr"
    (path,) = files(root, package, "usr/lib/R/site-library/*/data/Rdata.rdb")
    for lines in extract.novels(path.read_bytes()):
        book = lines[0]
        for number, chapter in enumerate(re.split(r"(?im)^chapter .*$", "\n".join(lines))[1:]):
            unit = f"{book} {number}"
            text = extract.paragraphs(chapter.split("\n"))
            yield from pieces_of(root, package, path, unit, text, step=4000)


def dictionary(root: Path, package: str) -> Iterator[Piece]:
    (path,) = files(root, package, "usr/share/dictd/*.dict.dz")
    text = gzip.decompress(path.read_bytes()).decode()
    if package == "dict-devil":  # verses are at the left margin too
        entries = re.split(r"\n\n(?=[A-Z][A-Z' -]+, )", text.replace("{", "").replace("}", ""))
    else:
        entries = extract.from_dictionary(text)
    entries = [e for e in entries if len(e) > 120 and "00-database" not in e]
    for start in range(0, len(entries) - 8, 8):
        yield Piece(
            package, str(path.relative_to(root / package)), f"{package} {start}",
            tuple(p for e in entries[start : start + 8] for p in re.split(r"\n\s*\n", e)),
            LICENCES[package],
        )  # fmt: skip


def handbook(root: Path, language: str) -> Iterator[Piece]:
    package = "debian-handbook"
    for path in files(root, package, f"usr/share/doc/debian-handbook/html/{language}/sect.*.html"):
        text = path.read_text()
        body = re.search(r'(?s)<div class="section">.*', text)
        paragraphs = extract.from_markup(body[0] if body else text)[1:]
        yield from pieces_of(
            root, package, path, path.name, [p for p in paragraphs if len(p) > 60], step=3500
        )


def python_docs(root: Path, folder: str, *, skip: frozenset[str] = frozenset()) -> Iterator[Piece]:
    package = "python3.11-doc"
    for path in files(root, package, f"usr/share/doc/python3.11/html/_sources/{folder}/*.rst.txt"):
        if path.name not in skip:
            text = extract.from_rst(path.read_text())
            yield from pieces_of(root, package, path, f"{folder}/{path.name}", text, step=4000)


def sklearn(root: Path) -> Iterator[Piece]:
    package = "python-sklearn-doc"
    for path in files(
        root, package, "usr/share/doc/python-sklearn-doc/html/_sources/modules/*.rst.txt"
    ):
        text = extract.from_rst(path.read_text())
        yield from pieces_of(root, package, path, path.name, text, step=3500)


def opticks(root: Path) -> Iterator[Piece]:
    package = "golang-1.19-src"
    (path,) = files(root, package, "usr/share/go-1.19/src/testdata/Isaac.Newton-Opticks.txt")
    lines = path.read_text().split("\n")
    text = extract.paragraphs(lines)
    text = [p for p in text if "Gutenberg" not in p and "[Illustration" not in p][20:]
    for start in range(0, len(text), 60):
        unit = f"opticks {start // 60}"
        for piece in pieces_of(root, package, path, unit, text[start : start + 60], step=3500):
            yield Piece(piece.package, piece.file, unit, piece.paragraphs, "public domain")


def source_code(
    root: Path, package: str, pattern: str, *, skip: frozenset[str] = frozenset(), step: int = 5000
) -> Iterator[Piece]:
    for path in files(root, package, pattern):
        text = path.read_text("utf-8", errors="replace")
        if path.name not in skip and is_written(root, path, text) and is_owned(package, text):
            yield from code_pieces(root, package, path, text, step)


def is_written(root: Path, path: Path, text: str) -> bool:
    """Return whether a file is a module that people wrote, and not a test or a table."""
    tested = "test" in path.name or "/test" in str(path.relative_to(root))
    made = path.name.startswith(("z", "defs", "_sysconfigdata")) or "enerated" in text[:600]
    return len(text) > 1500 and not tested and not made


def is_owned(package: str, text: str) -> bool:
    """Return whether a file names no other owner than that of the package."""
    notices = re.findall(r"(?im)^.*(?:copyright|permission is hereby).*$", text)
    claims = [line for line in notices if re.search(r"(?i)\d{4}|©|\(c\)|hereby", line)]
    return all(OWNERS[package] in line for line in claims)


def code_pieces(root: Path, package: str, path: Path, text: str, step: int) -> Iterator[Piece]:
    """Yield the blocks of a file of code without those about its licence."""
    blocks = [b.rstrip() for b in re.split(r"\n[ \t]*\n", text)]
    blocks = [b for b in blocks if b and not re.search(r"(?i)licen[cs]e|copyright", b)]
    yield from pieces_of(root, package, path, f"{package}/{path.name}", blocks, step=step)


def gnome(root: Path, language: str, low: int, high: int) -> Iterator[Piece]:
    """Yield pages of GNOME's user help: paragraphs that are in the language's own script."""
    package = "gnome-user-docs"
    for path in files(root, package, f"usr/share/help/{language}/gnome-help/*.page"):
        text = own_script(extract.from_markup(path.read_text()), low, high)
        yield from pieces_of(root, package, path, path.name, text, step=1200)


def handbook_in(root: Path, language: str, low: int, high: int) -> Iterator[Piece]:
    """Yield sections of the Debian handbook: paragraphs in the language's own script."""
    for piece in handbook(root, language):
        text = own_script(list(piece.paragraphs), low, high)
        if sum(map(len, text)) > 400:
            yield Piece(piece.package, piece.file, piece.unit, tuple(text), piece.licence)


def office(root: Path, low: int, high: int) -> Iterator[Piece]:
    package = "libreoffice-help-hi"
    for path in files(root, package, "usr/share/libreoffice/help/hi/text/*/guide/*.html"):
        text = re.sub(r"(?s)^.*?<div id=\"DisplayArea\"", "<div", path.read_text())
        text = own_script(extract.from_markup(text), low, high)
        yield from pieces_of(root, package, path, path.name, text, step=1500)


def own_script(paragraphs: list[str], low: int, high: int) -> list[str]:
    """Return the paragraphs of which three in five letters are in a range of Unicode."""
    kept = []
    for paragraph in paragraphs:
        letters = [ord(c) for c in paragraph if c.isalpha()]
        if len(letters) > 12 and sum(low <= c <= high for c in letters) > 0.6 * len(letters):
            kept.append(" ".join(paragraph.split()))
    return kept
