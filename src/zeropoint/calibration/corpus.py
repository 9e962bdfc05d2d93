"""Text to calibrate and to measure on: the user's files, or the built-in corpora.

The files of the built-in corpora are in the folder `corpora`, so they are the same with every
version of Python. docs/corpora.md has their sources and licences.
"""

import hashlib
import json
import lzma
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from zeropoint.calibration.dialogues import Dialogue, parse_dialogue, plain_text
from zeropoint.checkpoints.files.user_files import TEXT_BYTES, read_user_text
from zeropoint.checkpoints.hub.open_model import resolve_text
from zeropoint.errors import MeasurementError, printable

#: calibrate: to collect statistics; select: for decisions and guards; evaluate: for figures.
Part = Literal["calibrate", "select", "evaluate"]
PARTS: tuple[Part, ...] = get_args(Part)
KINDS = ("prose", "code", "dialogue", "science", "languages", "long")
DEFAULT_KINDS = KINDS[:-1]  # a long document has 16 times as many tokens as a chunk

BUILTIN_FORM = "builtin, builtin:KIND or builtin:KIND/PART"
_BUILTIN = re.compile(r"builtin(?::(?P<kinds>[\w,]+))?(?:/(?P<part>\w+))?")
_DATA = Path(__file__).with_name("corpora")
_DOCUMENT_END = "\f"  # between two long documents


@dataclass(frozen=True)
class Corpus:
    """Texts by domain. Two corpora are equal if their hashes are."""

    domains: Mapping[str, str]
    #: Domains that the chat template of a model renders; in `domains` they are plain text.
    dialogues: Mapping[str, Sequence[Dialogue]] = field(default_factory=dict)
    #: Domains of long documents; in `domains` they are joined.
    documents: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @cached_property
    def hash(self) -> str:
        """SHA-256 over names and texts, in order: 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for name, text in self.domains.items():
            for part in (name.encode(errors="surrogateescape"), text.encode()):
                digest.update(len(part).to_bytes(8, "little") + part)
        return digest.hexdigest()


def open_corpus(texts: Sequence[str | Path], part: Part) -> Corpus:
    """Return the corpus of the texts that a user named, or the default kinds without any.

    A text is a file (see `read_corpus`), or built in: "builtin" is the kinds of DEFAULT_KINDS,
    "builtin:code,long" those two, "builtin:all" all of KINDS. `part` is the part that is read
    unless a text names another, as in "builtin:code/select"; the domain is then "code-select".
    Domains of built-in text come before those of files.

    Raises MeasurementError for a kind, part or file that does not exist, or is named twice.
    """
    corpora, files = [], []
    for text in texts or ["builtin"]:
        built_in = parse_builtin(str(text))
        if built_in is None:
            files.append(Path(text))
            continue
        kinds, named = built_in
        suffix = f"-{named}" if named not in (None, part) else ""
        corpora.append(builtin_corpus(named or part, kinds, suffix=suffix))
    return join([*corpora, read_corpus(files)] if files else corpora)


def parse_builtin(text: str) -> tuple[tuple[str, ...], Part | None] | None:
    """Return the kinds and the part of a built-in text, or None for a file.

    >>> parse_builtin("builtin:code,long/select"), parse_builtin("book.txt")
    ((('code', 'long'), 'select'), None)

    Raises MeasurementError for a kind or part that does not exist.
    """
    if text != "builtin" and not text.startswith(("builtin:", "builtin/")):
        return None
    match = _BUILTIN.fullmatch(text)
    named = (match["kinds"] or ",".join(DEFAULT_KINDS)) if match else ""
    kinds = KINDS if named == "all" else tuple(filter(None, named.split(",")))
    part = next((name for name in PARTS if match and name == match["part"]), None)
    wrong_part = match is not None and match["part"] is not None and part is None
    if not kinds or wrong_part or not set(kinds) <= set(KINDS):
        raise MeasurementError(
            f"{printable(text, 60)}: a built-in text is {BUILTIN_FORM}; the kinds are"
            f" {', '.join(KINDS)} and all, the parts {', '.join(PARTS)}"
        )
    return kinds, part


def is_built_in(texts: Sequence[str | Path]) -> bool:
    """Return whether all texts that a user named are built in."""
    return all(parse_builtin(str(text)) is not None for text in texts)


def builtin_corpus(part: Part, kinds: Sequence[str] = DEFAULT_KINDS, *, suffix: str = "") -> Corpus:
    """Return one part of some kinds of built-in text; `suffix` is added to the domain names."""
    corpora = [_read_kind(kind, part, kind + suffix) for kind in dict.fromkeys(kinds)]
    return join(corpora)


def _read_kind(kind: str, part: Part, name: str) -> Corpus:
    if kind == "dialogue":
        lines = _unpack(f"{kind}-{part}.jsonl.xz").split("\n")
        dialogues = tuple(parse_dialogue(line) for line in lines)
        return Corpus({name: "\n\n".join(map(plain_text, dialogues))}, dialogues={name: dialogues})
    text = _unpack(f"{kind}-{part}.txt.xz")
    if kind == "long":
        documents = tuple(text.split(_DOCUMENT_END))
        return Corpus({name: "\n\n".join(documents)}, documents={name: documents})
    return Corpus({name: text})


def _unpack(name: str) -> str:
    return lzma.decompress((_DATA / name).read_bytes()).decode()


def join(corpora: Sequence[Corpus]) -> Corpus:
    """Return one corpus with the domains of all. Raises MeasurementError for two of one name."""
    domains: dict[str, str] = {}
    dialogues: dict[str, Sequence[Dialogue]] = {}
    documents: dict[str, Sequence[str]] = {}
    for corpus in corpora:
        for name in corpus.domains:
            if name in domains:
                raise MeasurementError(f"two texts are named {printable(name)!r}; rename one")
        domains |= corpus.domains
        dialogues |= corpus.dialogues
        documents |= corpus.documents
    return Corpus(domains, dialogues, documents)


def read_corpus(files: Sequence[Path]) -> Corpus:
    """Read text files; each is a domain with the name of the file.

    Files must be UTF-8; a byte-order mark is dropped. Of a .jsonl file whose lines are objects with
    a string under "text", these strings are read. "hub:org/name:FILE" is a file of a data set on
    the hub. Raises MeasurementError for a file that is missing, not text, or empty, and for two
    files with the same name; CheckpointError if the hub does not provide a file.
    """
    domains: dict[str, str] = {}
    for path in (resolve_text(str(file)) for file in files):
        text = read_user_text(path, TEXT_BYTES, MeasurementError)
        if path.suffix == ".jsonl":
            text = _texts_of_records(text) or text
        if not text.strip():
            raise MeasurementError(f"{path}: the file has no text")
        name = path.stem if path.stem not in domains else path.name
        if name in domains:
            raise MeasurementError(f"{path}: another text is named {name!r} too; rename one")
        domains[name] = text
    return Corpus(domains)


def _texts_of_records(lines: str) -> str:
    """Return the texts of JSON objects, one per line, or "" for any other file."""
    texts = []
    for line in filter(str.strip, lines.split("\n")):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return ""
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            return ""
        texts.append(record["text"])
    return "\n\n".join(texts)
