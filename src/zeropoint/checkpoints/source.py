"""A file that is read by position, and that must not change after it was opened.

Reads copy (`pread`) and never map: a mapped file that shrinks kills the process, and mapped pages
count as resident memory. The one exception is `view`, for an engine that uses weights in place.
"""

import mmap
import os
import stat
import weakref
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints.files import file_ops as io
from zeropoint.errors import CheckpointError

U8 = NDArray[np.uint8]
RUN_FILE_BYTES = 1 << 31  # maximum of a file of a run folder
LFS_START = b"version https://git-lfs"
LFS_BYTES = 1024  # a Git LFS pointer is smaller


class SourceFile:
    """A regular file, open for reading by any number of threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = io.open_read(path)
        except FileNotFoundError:
            raise CheckpointError(path, "there is no such file") from None
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise CheckpointError(path, f"cannot be opened: {_reason(error)}") from None
        self._close = weakref.finalize(self, os.close, self._descriptor)
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise CheckpointError(path, "is not a regular file")
        self.size = status.st_size
        self._modified = status.st_mtime_ns
        self._mapping: U8 | None = None
        if self.size < LFS_BYTES and is_lfs_pointer(self.read(0, self.size).tobytes()):
            self.close()
            reason = "is only a Git LFS pointer; run `git lfs pull` in its folder"
            raise CheckpointError(path, reason, offset=0)

    def read(self, offset: int, count: int, into: U8 | None = None) -> U8:
        """Return `count` bytes, at the beginning of the array `into` if it is large enough.

        The caller must have checked that they lie inside the file.
        """
        if into is None or into.size < count:
            into = np.empty(count, np.uint8)
        data = into[:count]
        try:
            bytes_read = io.pread(self._descriptor, data, offset)
        except OSError as error:
            reason = f"cannot be read: {_reason(error)}"
            raise CheckpointError(self.path, reason, offset=offset) from None
        if bytes_read != count:
            self._changed(offset + bytes_read)
        return data

    def view(self, offset: int, count: int) -> U8:
        """Return `count` bytes as a read-only view of the mapped file.

        If the file shrinks, access to the view kills the process.
        """
        self.check_unchanged()
        if count == 0:
            return np.empty(0, np.uint8)
        if self._mapping is None:
            try:
                mapped = mmap.mmap(self._descriptor, self.size, access=mmap.ACCESS_READ)
            except OSError as error:
                raise CheckpointError(self.path, f"cannot be mapped: {_reason(error)}") from None
            self._mapping = np.frombuffer(mapped, np.uint8)
        return self._mapping[offset : offset + count]

    def check_unchanged(self) -> None:
        """Raise CheckpointError if the file was written to or cut since it was opened."""
        status = os.fstat(self._descriptor)
        if (status.st_size, status.st_mtime_ns) != (self.size, self._modified):
            self._changed(min(self.size, status.st_size))

    def close(self) -> None:
        """Close the file; views stay valid."""
        self._close()

    def _changed(self, offset: int) -> None:
        raise CheckpointError(self.path, "the file changed while it was being read", offset=offset)


def read_file(path: Path, limit: int) -> bytes:
    """Return the bytes of a regular file. Raises CheckpointError if it has more than `limit`."""
    file = SourceFile(path)
    if file.size > limit:
        raise CheckpointError(path, f"{file.size} bytes exceed the limit of {limit}", offset=0)
    data = file.read(0, file.size).tobytes()
    file.close()
    return data


def is_lfs_pointer(start: bytes) -> bool:
    """Return whether a file that starts with these bytes is a Git LFS pointer.

    >>> is_lfs_pointer(b"version https://git-lfs.github.com/spec/v1")
    True
    """
    return start.startswith(LFS_START)


def _reason(error: OSError | ValueError) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
