"""SHA-256 of the files of a run, written down before each file gets its name.

    RUN/sha256.txt    lines "HASH  NAME", as `sha256sum` prints and checks them

A file is what the run wrote if one of its lines has its hash: a process that dies between the line
and the file leaves the older file, whose line is there too. When a run is finished, only the last
line of each file is kept.
"""

import contextlib
import hashlib
import os
import re
from pathlib import Path
from typing import Any

from zeropoint.checkpoints.files import file_ops as io
from zeropoint.checkpoints.files.atomic import plain_errors, write_file
from zeropoint.checkpoints.source import RUN_FILE_BYTES, read_file
from zeropoint.errors import CheckpointError

JOURNAL = "sha256.txt"
JOURNAL_BYTES = 64 << 20  # at most: about 700,000 lines
# The names of a run's files are printable ASCII. The last line may be cut short: no line.
_LINE = re.compile(rb"([0-9a-f]{64})  ([!-~]+)\n")


class RunJournal:
    """The hashes of one run's files. Only the process that holds the run's lock adds to it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL
        self._hashes: dict[str, list[str]] | None = None
        self._noted: set[str] = set()  # by this process

    def note(self, name: str, data: io.Bytes) -> None:
        """Write down the hash of a file that is about to be written."""
        if self._hashes is None:
            self._hashes = self._begin()
        digest = _digest(data)
        line = f"{digest}  {name}\n".encode()
        with plain_errors(self.path):
            descriptor = io.open_lock(self.path)
            try:
                io.pwrite(descriptor, line, os.fstat(descriptor).st_size)
                io.fsync(descriptor)
            finally:
                os.close(descriptor)
        self._hashes.setdefault(name, []).append(digest)
        self._noted.add(name)

    def confirms(self, name: str, data: io.Bytes) -> bool:
        """Return whether a file of this name and content was written by the run."""
        digest = _digest(data)
        for _ in range(2):  # a file may have been written since the journal was read
            if self._hashes is not None and digest in self._hashes.get(name, ()):
                return True
            self._hashes = _parse(self._bytes())
        return False

    def compact(self) -> None:
        """Keep one line for each file; for a run that is finished."""
        lines = [f"{self._last(name)}  {name}\n" for name in self._hashes or {}]
        write_file(self.path, "".join(lines).encode())
        self._hashes = None

    def _last(self, name: str) -> str:
        """Return the hash of a file as it is now."""
        hashes = (self._hashes or {})[name]
        if len(hashes) > 1 and name not in self._noted:
            # A process that died had written down a file that it may not have written.
            with contextlib.suppress(CheckpointError):
                digest = _digest(read_file(self.path.parent / name, RUN_FILE_BYTES))
                return digest if digest in hashes else hashes[-1]
        return hashes[-1]

    def _begin(self) -> dict[str, list[str]]:
        """Read what there is, and cut off a line that a dead process did not complete."""
        data = self._bytes()
        complete = data.rfind(b"\n") + 1
        if complete < len(data):
            with plain_errors(self.path):
                descriptor = io.open_lock(self.path)
                try:
                    os.ftruncate(descriptor, complete)
                finally:
                    os.close(descriptor)
        return _parse(data)

    def _bytes(self) -> bytes:
        return read_file(self.path, JOURNAL_BYTES) if os.path.lexists(self.path) else b""


def _parse(data: bytes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for digest, name in _LINE.findall(data):
        found.setdefault(name.decode(), []).append(digest.decode())
    return found


def _digest(data: io.Bytes) -> str:
    buffer: Any = data
    return hashlib.sha256(buffer).hexdigest()
