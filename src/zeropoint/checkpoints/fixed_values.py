"""Text values of a GGUF file that are replaced in place, because their width never changes.

A value has as many bytes as its field is wide; spaces fill the rest. No other byte of the file
changes, so that a result that is known later can be stored in a file of any size at once.

The last value is written only after the others are on the device. Whoever stores several values
that belong together lets the last one be a check of the others: after a crash at any moment it fits
all of them, or it shows that they are not to be used.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from zeropoint.checkpoints.base import Checkpoint
from zeropoint.checkpoints.files import file_ops as io
from zeropoint.checkpoints.files.atomic import BUSY_REASON, plain_errors
from zeropoint.errors import CheckpointError

STORED_LATER = "zeropoint.kl."  # prefix of the keys whose values are stored after the file is made
_KEY_AND_TYPE_BYTES = 8 + 4 + 8  # length of the key, type, and length of the string


def padded(text: str, width: int) -> str:
    """Return a text with spaces up to `width` bytes in UTF-8. Raises ValueError if it is longer.

    >>> padded("ä", 4)
    'ä  '
    """
    size = len(text.encode())
    if size > width:
        raise ValueError(f"a text of {size} bytes does not fit into {width}")
    return text + " " * (width - size)


def replace_values(checkpoint: Checkpoint, values: Mapping[str, str]) -> None:
    """Replace the values of these keys in the first file, in order; each keeps its width in bytes.

    The file is synced before the last value is written, and after it. The checkpoint must be opened
    again afterwards, because its file has changed. Raises CheckpointError for a key that the file
    lacks, for a link, and for a file that changed since it was opened or that another process is
    writing.
    """
    path = checkpoint.files[0]
    edits = [(_place(checkpoint, key), text.encode()) for key, text in values.items()]
    for key, text in values.items():
        old = checkpoint.metadata[key]
        if not isinstance(old, str) or len(old.encode()) != len(text.encode()):
            raise CheckpointError(path, f"the field is not {len(text)} bytes wide", field=key)
    with plain_errors(path):
        descriptor = io.open_claimed(path)
    try:
        if not io.lock(descriptor):
            raise CheckpointError(path, BUSY_REASON)
        checkpoint.check_unchanged()
        with plain_errors(path):
            for number, (at, data) in enumerate(edits, 1):
                if number == len(edits):
                    io.fsync(descriptor)
                io.pwrite(descriptor, data, at)
            io.fsync(descriptor)
    finally:
        os.close(descriptor)


def stored_later(checkpoint: Checkpoint) -> Iterator[tuple[Path, int, int]]:
    """Yield file, offset and length in bytes of each value that `replace_values` may change."""
    for key in checkpoint.places:
        value = checkpoint.metadata.get(key)
        if key.startswith(STORED_LATER) and isinstance(value, str):
            yield checkpoint.files[0], _place(checkpoint, key), len(value.encode())


def _place(checkpoint: Checkpoint, key: str) -> int:
    """Return the byte offset of a string value."""
    if key not in checkpoint.places:
        raise CheckpointError(checkpoint.files[0], "the file has no such field", field=key)
    return checkpoint.places[key] + _KEY_AND_TYPE_BYTES + len(key)
