"""Rebuilds the built-in corpora from Debian packages: python benchmarks/corpora/build.py MODEL.

MODEL is a Qwen2.5 file, whose tokenizer counts the tokens. With --download, the packages are
fetched by `apt-get download` and unpacked into --work first; Debian 12 has these versions.
"""

import argparse
import hashlib
import lzma
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from corpora import dialogues, sources
from corpora.documents import documents
from corpora.overlap import Overlaps
from corpora.problems import problems
from corpora.sources import LICENCES, Piece, part_of
from zeropoint.checkpoints import open_checkpoint
from zeropoint.models.tokenizer import Tokenizer, read_tokenizer

DATA = Path(__file__).parents[2] / "src/zeropoint/calibration/corpora"
TOKENS = {"calibrate": 33_500, "select": 17_000, "evaluate": 17_000}
PYTHON_RESERVED = frozenset(["argparse.py", "typing.py", "_pydecimal.py"])  # long documents

#: A share of TOKENS, and the pieces of a part.
Source = tuple[float, Callable[[str], Iterable[Piece]]]


def everywhere(pieces: Iterable[Piece]) -> Callable[[str], Iterable[Piece]]:
    """Return the pieces of a part: those whose unit has the hash of the part."""
    kept = list(pieces)
    return lambda part: [piece for piece in kept if part_of(piece.unit) == part]


def generated(part: str) -> list[Piece]:
    """Return problems of arithmetic and science, a page of eight to each piece."""
    found = problems(sum(part.encode()), 360)
    return [
        Piece("zeropoint", "benchmarks/corpora/problems.py", f"{part} {at}",
              tuple(found[at : at + 8]), LICENCES["zeropoint"])
        for at in range(0, len(found), 8)
    ]  # fmt: skip


def kinds(root: Path) -> dict[str, list[Source]]:
    """Return the sources of every kind but long documents."""
    code, gnome, book = sources.source_code, sources.gnome, sources.handbook_in
    manual, rust = sources.python_docs, "usr/share/cargo/registry/*/src/*.rs"
    cpp = "usr/include/nlohmann/detail/*/*.hpp"
    stdlib = code(root, "libpython3.11-stdlib", "usr/lib/python3.11/*.py", skip=PYTHON_RESERVED)
    minimal = code(root, "libpython3.11-minimal", "usr/lib/python3.11/*.py", skip=PYTHON_RESERVED)
    packages = code(root, "libpython3.11-stdlib", "usr/lib/python3.11/[a-o]*/*.py")
    javascript = sources.source_code(
        root, "libjs-underscore", "usr/share/javascript/underscore/underscore.js", step=2500
    )
    by_place = (replace(p, unit=f"{p.unit} {n // 4}") for n, p in enumerate(javascript))
    eighth = 1 / 8
    return {
        "prose": [
            (0.35, everywhere(sources.austen(root))),
            (0.15, everywhere(sources.dictionary(root, "dict-devil"))),
            (0.15, everywhere(sources.dictionary(root, "dict-jargon"))),
            (0.2, everywhere(sources.handbook(root, "en-US"))),
            (0.15, everywhere([*manual(root, "tutorial"), *manual(root, "howto")])),
        ],
        "code": [
            (0.4, everywhere([*stdlib, *minimal, *packages])),
            (0.25, everywhere(code(root, "golang-1.19-src", "usr/share/go-1.19/src/*/*.go"))),
            (0.15, everywhere(code(root, "nlohmann-json3-dev", cpp))),
            (0.1, everywhere([*code(root, "librust-regex-dev", rust),
                              *code(root, "librust-itertools-dev", rust)])),
            (0.1, everywhere(by_place)),
        ],
        "dialogue": [
            (0.43, dialogues.tool_dialogues),
            (0.32, lambda part: everywhere(dialogues.faq(root, part))(part)),
            (0.32, lambda part: everywhere(dialogues.help_pages(root, part))(part)),
        ],
        "science": [
            (0.3, generated),
            (0.35, everywhere(sources.sklearn(root))),
            (0.35, everywhere(sources.opticks(root))),
        ],
        "languages": [
            (eighth, everywhere(gnome(root, "ru", 0x400, 0x52F))),
            (eighth, everywhere(gnome(root, "el", 0x370, 0x3FF))),
            (eighth, everywhere(book(root, "ar-MA", 0x600, 0x6FF))),
            (eighth, everywhere(sources.office(root, 0x900, 0x97F))),
            (eighth, everywhere(gnome(root, "ta", 0xB80, 0xBFF))),
            (eighth, everywhere(book(root, "zh-CN", 0x4E00, 0x9FFF))),
            (eighth, everywhere(book(root, "ja-JP", 0x3040, 0x9FFF))),
            (eighth, everywhere(gnome(root, "ko", 0xAC00, 0xD7A3))),
        ],
    }  # fmt: skip


class Builder:
    """Chooses pieces, removes overlaps, and writes the files."""

    def __init__(self, tokenizer: Tokenizer, work: Path) -> None:
        self.work = work
        self.tokenizer = tokenizer
        self.overlaps = Overlaps(TOKENS)
        self.table = ["kind\tpart\tpackage\tversion\tfile\tlicence\tcharacters\ttokens\tsha256"]

    def tokens(self, text: str) -> int:
        return len(self.tokenizer.encode(text))

    def unshared(self, piece: Piece, part: str) -> Piece | None:
        """Return a piece without the paragraphs that another part has; None if little is left."""
        kept = [p for p in piece.paragraphs if self.overlaps.is_new(spoken(p), part)]
        if sum(map(len, kept)) < 0.7 * sum(map(len, piece.paragraphs)):
            return None
        if not self.overlaps.is_new("\n\n".join(map(spoken, kept)), part):
            return None  # a sequence over the end of a paragraph
        return replace(piece, paragraphs=tuple(kept))

    def choose(self, source: Source, part: str) -> Iterator[tuple[Piece, int]]:
        """Yield pieces of one source, in an order that its hash gives, up to its share."""
        share, pieces = source
        left = share * TOKENS[part]
        order = sorted(
            pieces(part), key=lambda p: hashlib.sha256("".join(p.paragraphs).encode()).digest()
        )
        for piece in order:
            if left <= 0:
                return
            cleaned = self.unshared(piece, part)
            if cleaned is not None:
                text = "\n\n".join(cleaned.paragraphs)
                self.overlaps.add("\n\n".join(map(spoken, cleaned.paragraphs)), part)
                count = self.tokens(text)
                left -= count
                yield cleaned, count
        if left > 0:
            print(f"  {part}: {order[0].package} ended {left:.0f} tokens early")

    def build(self, kind: str, part: str, found: list[Source]) -> None:
        """Take the pieces of all sources in turn, so that any few chunks have several sources."""
        queues = [list(self.choose(source, part)) for source in found]
        spread = [
            (position / len(queue), number, piece)
            for number, queue in enumerate(queues)
            for position, piece in enumerate(queue)
        ]
        self.write(kind, part, [piece for _, _, piece in sorted(spread, key=lambda x: x[:2])])

    def write_long(self, root: Path, part: str) -> None:
        """Write the long documents of a part."""
        found = list(documents(root, part, self.tokens, self.overlaps.is_new))
        for piece, _ in found:
            self.overlaps.add("\n\n".join(piece.paragraphs), part)
        self.write("long", part, found)

    def write(self, kind: str, part: str, pieces: list[tuple[Piece, int]]) -> None:
        separator = {"dialogue": "\n", "long": "\f"}.get(kind, "\n\n")
        texts = ["\n\n".join(piece.paragraphs) for piece, _ in pieces]
        whole = separator.join(texts)
        name = f"{kind}-{part}.{'jsonl' if kind == 'dialogue' else 'txt'}.xz"
        DATA.mkdir(exist_ok=True)
        packed = lzma.compress(
            whole.encode(), preset=9 | lzma.PRESET_EXTREME, check=lzma.CHECK_CRC32
        )
        (DATA / name).write_bytes(packed)
        for (piece, count), text in zip(pieces, texts, strict=True):
            digest = hashlib.sha256(text.encode()).hexdigest()
            row = (
                kind,
                part,
                piece.package,
                version_of(self.work, piece.package),
                piece.file,
                piece.licence,
                len(text),
                count,
                digest,
            )
            self.table.append("\t".join(map(str, row)))
        print(f"{name}: {len(pieces)} pieces, {self.tokens(whole)} tokens, {len(packed)} bytes")


def version_of(work: Path, package: str) -> str:
    """Return the version of a downloaded package; the project's own text has none."""
    if package == "zeropoint":
        return "-"
    (archive,) = work.glob(f"{package}_*.deb")
    return archive.name.split("_")[1].replace("%3a", ":")


def spoken(paragraph: str) -> str:
    """Return what a paragraph says: a dialogue is a line of JSON."""
    return dialogues.characters_of(paragraph) if paragraph.startswith('{"tools"') else paragraph


def download(work: Path) -> None:
    """Fetch and unpack every package."""
    for package in LICENCES:
        if package != "zeropoint" and not (work / package).is_dir():
            subprocess.run(["apt-get", "download", package], cwd=work, check=True)
            (archive,) = work.glob(f"{package}_*.deb")
            subprocess.run(["dpkg-deb", "-x", str(archive), str(work / package)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--download", action="store_true")
    options = parser.parse_args()
    if options.download:
        options.work.mkdir(exist_ok=True)
        download(options.work)
    builder = Builder(read_tokenizer(open_checkpoint(options.model)), options.work)
    for part in TOKENS:
        builder.write_long(options.work, part)
    for kind, found in kinds(options.work).items():
        for part in TOKENS:
            builder.build(kind, part, found)
    (DATA / "sources.tsv").write_text("\n".join(builder.table) + "\n")


if __name__ == "__main__":
    main()
