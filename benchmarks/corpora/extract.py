"""Readers of the file formats of the sources: each returns plain text, in paragraphs."""

import re
import struct
import zlib
from html.parser import HTMLParser

#: Elements whose text is a paragraph of its own.
BLOCKS = frozenset("p div li dt dd h1 h2 h3 h4 h5 h6 pre td th title item section page".split())
SKIPPED = frozenset("script style head nav footer info".split())


class _Paragraphs(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.paragraphs: list[str] = [""]
        self.skipping: list[str] = []
        self.pre = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in SKIPPED:
            self.skipping.append(tag)
        if tag in BLOCKS:
            self.paragraphs.append("")
        self.pre += tag in ("pre", "screen", "code-block")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in BLOCKS:
            self.paragraphs.append("")

    def handle_endtag(self, tag: str) -> None:
        if self.skipping and tag == self.skipping[-1]:
            self.skipping.pop()
        if tag in BLOCKS:
            self.paragraphs.append("")
        self.pre -= tag in ("pre", "screen", "code-block")

    def handle_data(self, data: str) -> None:
        if not self.skipping:
            self.paragraphs[-1] += data if self.pre else re.sub(r"\s+", " ", data)


def from_markup(text: str) -> list[str]:
    """Return the paragraphs of an HTML or Mallard page."""
    parser = _Paragraphs()
    parser.feed(text)
    return [p.strip("\n") if "\n" in p else p.strip() for p in parser.paragraphs if p.strip()]


def from_rst(text: str) -> list[str]:
    """Return the paragraphs of a reStructuredText file without directives that only mark up."""
    text = re.sub(
        r"(?m)^\.\. (?:_|index|only|currentmodule|highlight|toctree|include|\|).*$", "", text
    )
    text = re.sub(r"(?m)^ +:(?:maxdepth|hidden|noindex|caption).*$", "", text)
    text = re.sub(r":[a-z:+-]+:`[!~]?([^`<]*?)(?: <[^`]*>)?`", r"\1", text)
    text = re.sub(r"`([^`<]+?) <[^`]*>`_+", r"\1", text)
    return [p.strip("\n") for p in re.split(r"\n\s*\n", text) if p.strip() and ".. image" not in p]


def from_dictionary(text: str) -> list[str]:
    """Return the entries of a dictd file: each begins with a headword at the left margin."""
    entries = re.split(r"\n(?=\S)", text)
    return [re.sub(r"[{}]", "", entry).strip() for entry in entries]


def novels(data: bytes) -> list[list[str]]:
    """Return the lines of each character vector in the .rdb file of an R package."""
    found, at = [], 0
    while at < len(data):
        inflate = zlib.decompressobj()
        raw = inflate.decompress(data[at + 4 :])
        at = len(data) - len(inflate.unused_data)
        lines, place = [], raw.find(b"\x00\x00\x00\x10") + 8
        while raw[place : place + 4] in (b"\x00\x04\x00\t", b"\x00\x08\x00\t"):
            (size,) = struct.unpack(">I", raw[place + 4 : place + 8])
            lines.append(raw[place + 8 : place + 8 + size].decode())
            place += 8 + size
        if len(lines) > 1000:
            found.append(lines)
    return found


def paragraphs(lines: list[str]) -> list[str]:
    """Join the lines of each paragraph of a book; an empty line ends one."""
    text = "\n".join(line.rstrip() for line in lines)
    return [" ".join(p.split()) for p in re.split(r"\n\s*\n", text) if p.strip()]
