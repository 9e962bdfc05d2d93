"""The SHA-256 of a file's bytes, as `sha256sum` and model hubs show it."""

import hashlib
from pathlib import Path

from zeropoint.checkpoints.source import SourceFile

PIECE_BYTES = 1 << 22  # bytes read at once


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hex. Raises CheckpointError if it changes."""
    digest = hashlib.sha256()
    file = SourceFile(path)
    for offset in range(0, file.size, PIECE_BYTES):
        digest.update(file.read(offset, min(PIECE_BYTES, file.size - offset)).data)
    file.check_unchanged()
    file.close()
    return digest.hexdigest()
