"""The files that the studio may open: models, runs and texts below one folder, each by its id.

A request never contains a path. It contains an id, and ids come from a listing of the root, so
`..`, links and devices cannot be requested. Links are followed only to targets below the root.
"""

import hashlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from zeropoint.errors import CheckpointError

MAX_FOLDER_DEPTH = 8  # folders below the root
MAX_FILES = 50_000  # looked at, of all folders together
MAX_TEXT_FILES = 2000  # and files of tasks: a folder of data may have any number
LISTING_SECONDS = 2.0  # seconds that a listing is believed

_LATER_SHARD = re.compile(r"-(?!00001-)\d{5}-of-\d{5}\.gguf$")

Kind = Literal["model", "run", "text", "tasks"]
KIND_OF_SUFFIX: Mapping[str, Kind] = {
    ".txt": "text",
    ".md": "text",
    ".raw": "text",
    ".jsonl": "tasks",
}


@dataclass(frozen=True)
class LibraryEntry:
    """A model, run or text that the studio can open."""

    id: str
    kind: Kind
    name: str  # its path below the root, with "/"
    path: Path  # links resolved
    bytes: int  # of the file, or of a folder's weights
    changed: float  # seconds since 1970


@dataclass
class LibraryListing:
    """The models and run folders below the root."""

    entries: dict[str, LibraryEntry] = field(default_factory=dict)
    cut: bool = False  # there were more than ENTRIES files to look at
    listed_at: float = 0.0  # monotonic seconds
    texts: int = 0  # and files of tasks

    def of(self, kind: Kind) -> list[LibraryEntry]:
        """Return the entries of a kind, the latest first."""
        entries = [entry for entry in self.entries.values() if entry.kind == kind]
        return sorted(entries, key=lambda entry: (-entry.changed, entry.name))


def id_of(kind: Kind, name: str) -> str:
    """Return the id of the file or folder at `name` below the root."""
    return hashlib.sha256(f"{kind}:{name}".encode("utf-8", "surrogateescape")).hexdigest()[:12]


class Library:
    """The root and its contents. Raises CheckpointError if the root is not a folder."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        if not self.root.is_dir():
            raise CheckpointError(root, "is not a folder; --root requires a folder")
        self._listing = LibraryListing(listed_at=-LISTING_SECONDS)

    def listing(self) -> LibraryListing:
        """Return the contents of the root; the listing may be a few seconds old."""
        if time.monotonic() - self._listing.listed_at >= LISTING_SECONDS:
            self._listing = self._look()
        return self._listing

    def forget(self) -> None:
        """Discard the cached listing; call this after a file was written."""
        self._listing.listed_at = -LISTING_SECONDS

    def find(self, id: str, kind: Kind) -> LibraryEntry:
        """Return the entry with this id. Raises KeyError if no such file exists (any more)."""
        if id not in self._listing.entries:
            self._listing = self._look()
        entry = self._listing.entries[id]
        if entry.kind != kind or not entry.path.exists() or not self._inside(entry.path):
            raise KeyError(id)
        if kind == "run" and not self._holds_its_files(entry.path):
            raise KeyError(id)
        return entry

    def id_of(self, path: Path) -> str:
        """Return the id of a model's path. Raises CheckpointError if it is not below the root."""
        real = Path(os.path.realpath(path))
        for entry in self._look().of("model"):
            if entry.path == real:
                return entry.id
        if self._inside(real):
            raise CheckpointError(path, "is not a model file or a folder with one")
        raise CheckpointError(path, f"is not below {self.root}; give --root a folder above it")

    def _inside(self, path: Path) -> bool:
        return Path(os.path.realpath(path)).is_relative_to(self.root)

    def _holds_its_files(self, run: Path) -> bool:
        """Return whether all files of a run are regular files below the root.

        A run that links to files elsewhere is not offered, nor is one with a pipe or a device.
        """
        chunks = run / "chunks"
        try:
            with os.scandir(run) as found:
                files = [file for file in found if file.name.endswith((".json", ".npz"))]
            if chunks.is_dir():
                if not self._inside(chunks):
                    return False
                with os.scandir(chunks) as found:
                    files += found
        except OSError:
            return False
        return all(
            file.is_file() and (not file.is_symlink() or self._inside(Path(file.path)))
            for file in files
        )

    def _look(self) -> LibraryListing:
        listing = LibraryListing(listed_at=time.monotonic())
        left = MAX_FILES
        for folder in self._folders():
            try:
                with os.scandir(folder) as found:
                    files = [entry for entry in found if not entry.name.startswith(".")]
            except OSError:
                continue  # not readable for us: nothing that could be opened
            left -= len(files)
            for entry in self._entries(folder, sorted(files, key=lambda file: file.name), listing):
                listing.entries[entry.id] = entry
            if left < 0:
                listing.cut = True
                break
        return listing

    def _folders(self) -> Iterator[Path]:
        """Yield the root and all folders below it, parents first, without links and hidden ones."""
        level = [self.root]
        for _ in range(MAX_FOLDER_DEPTH):
            below: list[Path] = []
            for folder in level:
                yield folder
                try:
                    with os.scandir(folder) as found:
                        below += [
                            Path(entry.path) for entry in found
                            if entry.is_dir(follow_symlinks=False)
                            and not entry.name.startswith(".") and entry.name != "chunks"
                        ]  # fmt: skip
                except OSError:
                    continue
            level = sorted(below)

    def _entries(
        self, folder: Path, files: list["os.DirEntry[str]"], listing: LibraryListing
    ) -> Iterator[LibraryEntry]:
        names = {file.name for file in files}
        weights = [file for file in files if file.name.endswith(".safetensors")]
        if "config.json" in names and weights:
            yield self._entry("model", folder, weights)
        if "run.json" in names and self._holds_its_files(folder):
            yield self._entry("run", folder, [f for f in files if f.name == "run.json"])
        for file in files:
            if file.name.endswith(".gguf") and not _LATER_SHARD.search(file.name):
                if file.is_file() and self._inside(Path(file.path)):
                    yield self._entry("model", Path(file.path), [file])
            kind = KIND_OF_SUFFIX.get(Path(file.name).suffix)
            if kind and listing.texts < MAX_TEXT_FILES and file.is_file(follow_symlinks=False):
                listing.texts += 1
                yield self._entry(kind, Path(file.path), [file])

    def _entry(self, kind: Kind, path: Path, files: list["os.DirEntry[str]"]) -> LibraryEntry:
        name = path.relative_to(self.root).as_posix() if path != self.root else self.root.name
        stats = [file.stat() for file in files if file.is_file()]
        return LibraryEntry(
            id=id_of(kind, name),
            kind=kind,
            name=name.encode("utf-8", "replace").decode("utf-8"),
            path=Path(os.path.realpath(path)),
            bytes=sum(stat.st_size for stat in stats),
            changed=max((stat.st_mtime for stat in stats), default=0.0),
        )
