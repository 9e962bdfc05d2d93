"""The SHA-256 of the files that a report is about, so that a downloader can check what he has.

A run names its models without folders. A file of this name is looked for beside the run and in the
folders above it, and counts only if it is the measured one: same size, same fingerprint.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from zeropoint.cache import load_record, save_record
from zeropoint.checkpoints import open_model
from zeropoint.checkpoints.provenance import file_sha256
from zeropoint.errors import ZeropointError
from zeropoint.metrics.identity import identify
from zeropoint.results.model_identity import ModelIdentity

KNOWN_HASHES = "sha256.json"  # in the cache: of files that did not change
MAX_KNOWN_HASHES = 1000
SEARCHED_LEVELS = 4  # folders above a run


def hashes_of(
    identity: ModelIdentity, folders: Sequence[Path], max_bytes: int | None = None
) -> list[tuple[str, str]]:
    """Return the name and the SHA-256 of each file of a model; [] if the files are not found.

    Files of more than `max_bytes` are hashed only if their hash is known already.
    """
    for path in _candidates(identity.name, folders):
        try:
            with open_model(path, "inspect") as checkpoint:
                if identify(checkpoint).fingerprint != identity.fingerprint:
                    continue
                files = [Path(file) for file in checkpoint.files]
            found = [(file.name, known_sha256(file, max_bytes)) for file in files]
        except (ZeropointError, OSError):
            continue
        return [(name, hash) for name, hash in found if hash]
    return []


def _candidates(name: str, folders: Sequence[Path]) -> Iterator[Path]:
    if not name or Path(name).name != name:
        return  # a name from a file may hold anything; only a plain one is looked for
    above = (
        level
        for folder in folders
        for level in [folder, *folder.absolute().parents][:SEARCHED_LEVELS]
    )
    for level in dict.fromkeys(above):
        if (level / name).exists():
            yield level / name


def known_sha256(path: Path, max_bytes: int | None = None) -> str:
    """Return the SHA-256 of a file, remembered until it changes; "" if it is too large to hash."""
    status = path.stat()
    key = f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
    record = load_record(KNOWN_HASHES)
    known = record if isinstance(record, dict) else {}
    if isinstance(known.get(key), str):
        return str(known[key])
    if max_bytes is not None and status.st_size > max_bytes:
        return ""
    found = file_sha256(path)
    kept = dict([*known.items(), (key, found)][-MAX_KNOWN_HASHES:])
    save_record(KNOWN_HASHES, kept)
    return found
