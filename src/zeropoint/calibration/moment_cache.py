"""Second moments of models that are not quantized, for later commands with the same text.

    CACHE/moments/KEY/    a folder of second moments; KEY: start of the SHA-256 of its identity

The identity is the model's SHA-256, the hash of the text, the settings, and the versions of what
computed the sums. Moments are large, so the folder has a budget: those that were unused for longest
are deleted first. Moments that another process uses are never deleted.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from zeropoint.cache import cache_directory
from zeropoint.calibration.moments import MomentFolder
from zeropoint.checkpoints.files import file_ops as io
from zeropoint.checkpoints.files.atomic import free_bytes
from zeropoint.errors import CheckpointError

BUDGET_BYTES = 32 << 30
KEY_DIGITS = 32
Identity = Mapping[str, object]


def moment_directory() -> Path:
    """Return the folder of all cached moments; it may not exist."""
    return cache_directory() / "moments"


def cached_bytes() -> int:
    """Return the bytes of all cached moments."""
    return sum(_folder_bytes(folder) for folder in _folders())


def find_moments(identity: Identity) -> MomentFolder | None:
    """Return the cached moments of this identity, or None.

    They are not deleted while the returned object lives.
    """
    folder = _place(identity)
    try:
        descriptor = io.open_dir(folder)
    except OSError:
        return None
    use = _Use(descriptor)
    if not use.granted:  # another process is deleting it
        return None
    with suppress(OSError):
        os.utime(folder)
    try:
        moments = MomentFolder.open(folder)
    except CheckpointError:  # deleted meanwhile, or of a later version
        return None
    moments.use = use
    return moments


def cache_moments(folder: Path, identity: Identity) -> Path:
    """Move complete moments into the cache, and return where they are.

    They stay in `folder` if the budget or the disk of the cache has no room for them, and where the
    cache cannot be written.
    """
    place = _place(identity)
    size = _folder_bytes(folder)
    if size > BUDGET_BYTES:
        return folder
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _evict(BUDGET_BYTES - size)
        if cached_bytes() + size > BUDGET_BYTES:  # the others are in use
            return folder
        _move(folder, place, size)
    except OSError:
        return folder
    return place if place.exists() else folder


def _move(folder: Path, place: Path, size: int) -> None:
    """Move a folder, also to another disk. One that is there already stays as it is."""
    if place.exists():
        return
    if folder.stat().st_dev == place.parent.stat().st_dev:
        folder.rename(place)
        return
    if free_bytes(place.parent) < size:
        return
    part = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        shutil.copytree(folder, part)
        part.rename(place)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _evict(budget: int) -> None:
    """Delete moments down to `budget` bytes; those that were unused for longest go first."""
    left = cached_bytes()
    for folder in sorted(_folders(), key=lambda one: one.stat().st_mtime):
        if left <= budget:
            return
        size = _folder_bytes(folder)
        if _delete_unused(folder):
            left -= size


def _delete_unused(folder: Path) -> bool:
    """Delete a folder unless a process uses it; return whether it was deleted."""
    try:
        descriptor = io.open_dir(folder)
    except OSError:
        return False
    try:
        if not io.lock(descriptor):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return True
    finally:
        os.close(descriptor)


def _folders() -> list[Path]:
    directory = moment_directory()
    return [entry for entry in directory.iterdir() if entry.is_dir()] if directory.is_dir() else []


def _folder_bytes(folder: Path) -> int:
    total = 0
    with suppress(OSError):  # it is being deleted
        total = sum(entry.stat().st_size for entry in folder.iterdir())
    return total


def _place(identity: Identity) -> Path:
    text = json.dumps(identity, sort_keys=True)
    return moment_directory() / hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


class _Use:
    """A shared lock on a folder, until the last reference to it is gone."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.granted = io.lock(descriptor, shared=True)

    def __del__(self) -> None:
        os.close(self.descriptor)
