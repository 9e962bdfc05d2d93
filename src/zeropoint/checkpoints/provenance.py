"""What a file is: the SHA-256 of its bytes, the one that `sha256sum` and model hubs show."""

import hashlib
from pathlib import Path

from zeropoint.checkpoints.base import Checkpoint
from zeropoint.checkpoints.source import SourceFile

PIECE = 1 << 22  # bytes read at once


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hex. Raises CheckpointError if it changes."""
    digest = hashlib.sha256()
    file = SourceFile(path)
    for offset in range(0, file.size, PIECE):
        digest.update(file.read(offset, min(PIECE, file.size - offset)).data)
    file.check_unchanged()
    file.close()
    return digest.hexdigest()


def checkpoint_sha256(checkpoint: Checkpoint) -> str:
    """Return one SHA-256 for a checkpoint: its file's, or that of its files' digests in order.

    It does not depend on the names of the files. Reading takes about a second per gigabyte.
    """
    digests = [file_sha256(path) for path in checkpoint.files]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()
