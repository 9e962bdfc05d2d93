"""Finds the files that an input stands for, by names alone: nothing is read or downloaded.

An output must not replace any of them. Therefore too many files are listed rather than too few:
everything in a model folder counts, whether the model needs it or not.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from zeropoint.checkpoints.hub.open_model import (
    _HUB_ID,
    DATA_SET_PREFIX,
    SETTINGS_SUFFIXES,
    WEIGHTS_SUFFIXES,
    _with_shards,
)


def model_files(text: str) -> Iterator[Path]:
    """Yield the files of a model or of a run folder, given as a path or as a hub id.

    A folder stands for every file below it, a shard for its whole set, and a safetensors file also
    for the weights, the config and the tokenizer next to it. A hub id stands for what the hub's
    cache holds of that repository. A size such as 27B, or a path where nothing is, has no files.
    """
    path = Path(text)
    if not _exists(path):
        yield from _cached_files(text, "models")
    elif path.is_dir():
        yield from _files_below(path)
    else:
        neighbours = _names_in(path.parent)
        names = {path.name, *_with_shards(path.name, neighbours)}
        if not is_model(path) or _magic(path)[:4] != b"GGUF":
            names |= {
                name for name in neighbours if name.endswith((".safetensors", *SETTINGS_SUFFIXES))
            }
        yield from (path.with_name(name) for name in sorted(names))


def text_files(text: str) -> Iterator[Path]:
    """Yield the file that a path names, or the cached files of a data set (`hub:org/name:FILE`)."""
    if _exists(Path(text)):
        yield Path(text)
    elif text.startswith(DATA_SET_PREFIX):
        yield from _cached_files(text.removeprefix(DATA_SET_PREFIX), "datasets")


def is_model(path: Path) -> bool:
    """Return whether a path is a model file, by its name or by its first bytes.

    >>> is_model(Path("a.gguf")), is_model(Path("a.html"))
    (True, False)
    """
    magic = _magic(path)
    return path.name.lower().endswith(WEIGHTS_SUFFIXES) or magic[:4] == b"GGUF" or magic[8:] == b"{"


def _magic(path: Path) -> bytes:
    """Return the first nine bytes of a regular file; nothing of any other file."""
    try:
        if not path.is_file():  # opening a pipe would wait for a writer
            return b""
        with path.open("rb") as file:
            return file.read(9)
    except OSError:
        return b""


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or with a NUL
        return False


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:  # its files can be opened but not listed
        return []


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)


def _cached_files(text: str, kind: str) -> Iterator[Path]:
    match = _HUB_ID.fullmatch(text)
    if match is None:
        return
    from huggingface_hub.constants import HF_HUB_CACHE

    repository = match["repository"].replace("/", "--")
    yield from _files_below(Path(HF_HUB_CACHE, f"{kind}--{repository}"))
