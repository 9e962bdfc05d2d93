"""Pairs of models that belong together: a reference, and a smaller file of the same shape.

Only the headers of the latest models are read, each once.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from zeropoint.checkpoints import open_model
from zeropoint.errors import ZeropointError
from zeropoint.formats import UNQUANTIZED
from zeropoint.plans import bits_per_weight
from zeropoint.plans.formats import inventory
from zeropoint.studio.data.library import LibraryEntry

MAX_HEADERS = 8  # latest models whose headers are read for a page
MAX_KNOWN_HEADERS = 500


@dataclass(frozen=True)
class LibraryHeader:
    """What a model's header says, as far as lists of models show it."""

    architecture: str
    shape: str  # digest of the names and shapes of the tensors
    parameters: int
    bits_per_weight: float
    formats: tuple[str, ...]  # the format with most bytes first
    quantized: bool


@dataclass(frozen=True)
class LibraryPair:
    """A reference and a quantized model of the same architecture and shape."""

    reference: LibraryEntry
    quant: LibraryEntry


_HEADERS: dict[tuple[str, int, float], LibraryHeader | None] = {}


def header_of(entry: LibraryEntry) -> LibraryHeader | None:
    """Return the header of a model; None for a file that cannot be read."""
    key = _key(entry)
    if key not in _HEADERS:
        if len(_HEADERS) >= MAX_KNOWN_HEADERS:
            _HEADERS.clear()
        _HEADERS[key] = _read(entry)
    return _HEADERS[key]


def known_header(entry: LibraryEntry) -> LibraryHeader | None:
    """Return the header of a model if it has been read."""
    return _HEADERS.get(_key(entry))


def _key(entry: LibraryEntry) -> tuple[str, int, float]:
    """Return what names a model and the state of its files."""
    return (str(entry.path), entry.bytes, entry.changed)


def _read(entry: LibraryEntry) -> LibraryHeader | None:
    try:
        with open_model(entry.path, "inspect") as checkpoint:
            infos = list(checkpoint.tensors.values())
            shapes = sorted(f"{info.name} {info.shape}" for info in infos if len(info.shape) > 1)
            shares = inventory.shares((info.format.name, info) for info in infos)
            return LibraryHeader(
                architecture=inventory.outline(checkpoint.metadata).architecture or "",
                shape=hashlib.sha256("\n".join(shapes).encode()).hexdigest(),
                parameters=sum(info.elements for info in infos),
                bits_per_weight=bits_per_weight(checkpoint.file_bytes, infos),
                formats=tuple(share.label for share in shares),
                quantized=any(share.label not in UNQUANTIZED for share in shares),
            )
    except (ZeropointError, OSError):
        return None


def pair_of(models: Sequence[LibraryEntry], one: LibraryEntry | None = None) -> LibraryPair | None:
    """Return the pair that a form begins with, of `models`, the latest first.

    The pair contains `one`, if it is given; otherwise the latest model that has a counterpart.
    Counterparts whose names have the same first word are preferred. The result is None if no two
    models have the same architecture and shape.
    """
    latest = list(models[:MAX_HEADERS])
    for start in [one] if one else latest:
        family = [entry for entry in latest if entry != start and _alike(entry, start)]
        named = [entry for entry in family if _first_word(entry) == _first_word(start)]
        family = [start, *(named or family)]
        reference = max(family, key=lambda entry: entry.bytes)
        smaller = [entry for entry in family if entry.bytes < reference.bytes]
        if smaller:
            return LibraryPair(reference, start if start in smaller else smaller[0])
    return None


def _alike(one: LibraryEntry, other: LibraryEntry) -> bool:
    first, second = header_of(one), header_of(other)
    if first is None or second is None:
        return False
    return (first.architecture, first.shape) == (second.architecture, second.shape)


def _first_word(model: LibraryEntry) -> str:
    return re.split(r"[-_.]", model.path.name, maxsplit=1)[0].lower()
