"""Splits text into parts that are read for different purposes: calibrate, select and evaluate.

Built-in text has these parts already. The text of a user's file is cut at two ends of lines:

    calibrate   the first 60 % of the characters
    select      the next 20 %
    evaluate    the last 20 %

A folder is split by files, in an order that depends on their names alone, so that similar files of
one directory are in different parts. With few files, each is cut like a single text.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from zeropoint.calibration.corpus import PARTS, Corpus, Part, join, open_corpus, parse_builtin
from zeropoint.errors import MeasurementError

FOLDER = "folder"  # the domain of a folder's text
#: The share of a text before the end of each part.
PART_ENDS = {"calibrate": 0.6, "select": 0.8, "evaluate": 1.0}

FEW_FILES = 10  # a folder with fewer is not split by files
MAX_FILE_BYTES = 2**20  # larger files are data rather than text that people wrote
MAX_FOLDER_CHARACTERS = 2**25
MIN_FOLDER_CHARACTERS = 20_000
# Names of folders with text that is generated, or of other people.
SKIPPED_FOLDERS = frozenset(
    {"node_modules", "__pycache__", "build", "dist", "target", "venv", "vendor", "site-packages"}
)


def open_parts(
    texts: Sequence[str | Path], own: Mapping[Part, Corpus] | None = None
) -> dict[Part, Corpus]:
    """Return the three parts of the texts that a user named, or of the built-in text.

    `own` is text that is cut into parts already; its domains come first.

    A built-in text that names a part, as in "builtin:code/select", would be read in all three, so
    it is refused. Raises MeasurementError for this, for a file that is too short to be cut, and
    what `open_corpus` raises.
    """
    for text in texts:
        built_in = parse_builtin(str(text))
        if built_in and built_in[1]:
            raise MeasurementError(
                f"{text}: a search reads all three parts of a text, so leave out /{built_in[1]}"
            )
    built_in_names = set(open_corpus(_built_in(texts), "calibrate").domains)
    parts = {part: _part_of(open_corpus(texts, part), built_in_names, part) for part in PARTS}
    return parts if own is None else {part: join([own[part], parts[part]]) for part in PARTS}


def folder_corpora(folder: Path) -> dict[Part, Corpus]:
    """Return the text of a folder in three parts, each with the one domain FOLDER.

    Raises what `folder_parts` raises.
    """
    return {part: Corpus({FOLDER: text}) for part, text in folder_parts(folder).items()}


def _built_in(texts: Sequence[str | Path]) -> list[str]:
    """Return the texts that are built in; all kinds if there are no texts."""
    return [str(text) for text in texts if parse_builtin(str(text))] or ["builtin"]


def _part_of(corpus: Corpus, built_in: set[str], part: Part) -> Corpus:
    domains = {
        name: text if name in built_in else split_text(text, name)[part]
        for name, text in corpus.domains.items()
    }
    return Corpus(domains, corpus.dialogues, corpus.documents)


def split_text(text: str, name: str) -> Mapping[Part, str]:
    """Return the parts of a text, cut behind the ends of lines nearest to their shares.

    >>> dict(split_text("1\\n2\\n3\\n4\\n5\\n6\\n7\\n8\\n9\\n0", "digits"))
    {'calibrate': '1\\n2\\n3\\n4\\n5\\n6\\n', 'select': '7\\n8\\n', 'evaluate': '9\\n0'}

    Raises MeasurementError if a part would be empty; `name` is for its message.
    """
    parts: dict[Part, str] = {}
    start = 0
    for part in PARTS:
        end = len(text)
        if part != PARTS[-1]:
            wanted = round(PART_ENDS[part] * len(text))
            end = text.find("\n", wanted) + 1 or len(text)
        parts[part] = text[start:end]
        start = end
    if not all(part.strip() for part in parts.values()):
        raise MeasurementError(
            f"{name}: the text is too short to be cut into three parts; give a longer one, with"
            " more lines"
        )
    return parts


def folder_parts(folder: Path) -> dict[Part, str]:
    """Return the text of a folder in three parts, without hidden, binary and generated files.

    Raises MeasurementError for a folder with too little text.
    """
    if not folder.is_dir():
        raise MeasurementError(f"{folder} is not a folder; name one with the text to optimize for")
    texts = dict(_texts(folder))
    total = sum(map(len, texts.values()))
    if total < MIN_FOLDER_CHARACTERS:
        raise MeasurementError(
            f"{folder} has {total:,} characters of text in {len(texts)} files; at least"
            f" {MIN_FOLDER_CHARACTERS:,} are needed to optimize for them"
        )
    if len(texts) < FEW_FILES:
        return dict(split_text("\n\n".join(texts.values()), str(folder)))
    parts: dict[Part, list[str]] = {part: [] for part in PARTS}
    read = 0
    for name in sorted(texts, key=lambda name: hashlib.sha256(os.fsencode(name)).digest()):
        middle = (read + len(texts[name]) / 2) / total
        part = next(part for part in PARTS if middle <= PART_ENDS[part])
        parts[part].append(texts[name])
        read += len(texts[name])
    if not all(parts.values()):
        return dict(split_text("\n\n".join(texts.values()), str(folder)))
    return {part: "\n\n".join(found) for part, found in parts.items()}


def _texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the text files below a folder with their relative names, by name."""
    characters = 0
    for path in folder_files(folder):
        try:
            text = path.read_bytes().decode()
        except (OSError, UnicodeDecodeError):
            continue
        if "\0" not in text and characters + len(text) <= MAX_FOLDER_CHARACTERS:
            characters += len(text)
            yield str(path.relative_to(folder)), text


def folder_files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder that may be text: no hidden, linked, large or empty ones."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and name not in SKIPPED_FOLDERS
        )
        for name in sorted(files):
            path = Path(place, name)
            if name.startswith(".") or path.is_symlink() or not path.is_file():
                continue
            if 0 < path.stat().st_size <= MAX_FILE_BYTES:
                yield path
