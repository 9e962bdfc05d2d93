"""A folder that appears only when it is complete.

    .NAME.part/ beside NAME  →  files, each synced  →  fsync  →  rename  →  fsync of the directory
    .NAME.part.lock             locked while the folder is written; names the inode of .NAME.part

Whatever ends the process, NAME is the old folder, the new one, or absent, but never half of one.

The lock file marks the part as zeropoint's: a `.NAME.part` is removed only if it is empty, or if
the lock file of a process that died names its inode. A user's folder of this name is never removed.
"""

import contextlib
import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Self

from zeropoint.checkpoints.files import file_ops as io
from zeropoint.checkpoints.files.atomic import (
    BUSY_REASON,
    MAX_CLAIM_ATTEMPTS,
    names_file,
    part_of,
    plain_errors,
)
from zeropoint.errors import CheckpointError, printable

_MARK = b"part of a folder that zeropoint writes\n"  # the lock file's first line; inodes follow
_RECORD_BYTES = 4096  # maximum of a lock file


class PartialFolder:
    """A folder that is written as `part`, and then published. A context manager.

    `names` are the files that the folder will have. An existing folder is replaced only with
    `overwrite`, and only if it holds no other files; it is then removed.

    Raises CheckpointError on entering if the folder exists (without `overwrite`), if something else
    has its name, or if another process is writing it.
    """

    def __init__(self, target: Path, names: Collection[str], *, overwrite: bool = False) -> None:
        self.target = Path(os.path.realpath(target))
        if not self.target.name:
            raise CheckpointError(self.target, "cannot be the name of a new folder")
        self.part = part_of(self.target)
        self._lock_path = self.part.with_name(f"{self.part.name}.lock")
        self._names = names
        self._overwrite = overwrite
        self._descriptor: int | None = None
        self._inode = 0  # of the part; 0 before it exists

    def __enter__(self) -> Self:
        with plain_errors(self.target):
            os.makedirs(self.target.parent, exist_ok=True)
            self._descriptor = self._claim()
            try:
                recorded = self._read_record()
                self._check_target(recorded)
                self._remove_leftover(recorded)
                self._make()
            except BaseException:
                self._discard()
                raise
        return self

    def publish(self) -> None:
        """Rename the folder to its final name; its files are already synced.

        Raises CheckpointError if the part was removed, or if another folder has the name.
        """
        with plain_errors(self.target):
            if _inode(self.part) != self._inode:
                raise CheckpointError(
                    self.target, f"{self.part.name} was removed while it was being written"
                )
            io.fsync_dir(self.part)
            self._check_target([])
            replaced = _inode(self.target) if _entries(self.target) else 0
            if replaced:
                # From here on either of the two may be found under the part's name.
                self._record([self._inode, replaced])
                self._exchange()
            else:
                io.rename(self.part, self.target)
            io.fsync_dir(self.target.parent)
            if replaced and _inode(self.part) == replaced:
                io.rmtree(self.part)

    def __exit__(self, *_: object) -> None:
        self._discard()

    def _claim(self) -> int:
        """Lock the lock file, which may be a leftover of a dead process."""
        for _ in range(MAX_CLAIM_ATTEMPTS):
            descriptor = io.open_lock(self._lock_path)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise CheckpointError(self.target, f"{self._lock_path.name} is in the way")
            if not io.lock(descriptor):
                os.close(descriptor)
                raise CheckpointError(self.target, BUSY_REASON)
            if names_file(self._lock_path, descriptor):
                return descriptor
            os.close(descriptor)  # its owner has just removed it
        raise CheckpointError(self.target, f"{self._lock_path.name} cannot be locked")

    def _read_record(self) -> list[int]:
        """Return the inodes that a dead process wrote into the lock file."""
        assert self._descriptor is not None
        buffer = bytearray(_RECORD_BYTES)
        record = bytes(buffer[: io.pread(self._descriptor, buffer, 0)])
        if record and not record.startswith(_MARK[: len(record)]):
            os.close(self._descriptor)  # another program's file: keep it
            self._descriptor = None
            raise CheckpointError(
                self.target, f"{self._lock_path.name} is in the way; it is not zeropoint's"
            )
        return [int(word) for word in record[len(_MARK) :].split() if word.isdigit()]

    def _check_target(self, recorded: Collection[int]) -> None:
        entries = _entries(self.target)
        if not entries:
            return
        if self._overwrite:
            foreign = sorted(set(entries) - set(self._names))
            if foreign:
                raise CheckpointError(
                    self.target,
                    f"holds {printable(foreign[0])}, which zeropoint does not write there, "
                    "so the folder is not replaced; choose another name",
                )
        elif _inode(self.target) in recorded:
            raise CheckpointError(
                self.target,
                "exists and is complete: the command that wrote it was stopped just afterwards; "
                "add --overwrite (in Python overwrite=True) to write it again",
            )
        else:
            raise CheckpointError(
                self.target,
                "exists; add --overwrite (in Python overwrite=True) to replace it, or choose a new "
                "folder",
            )

    def _remove_leftover(self, recorded: Collection[int]) -> None:
        """Remove the leftovers of a dead process under the part's name, and nothing else."""
        if not os.path.lexists(self.part):
            return
        if _inode(self.part) in recorded:
            io.rmtree(self.part)
            return
        try:
            os.rmdir(self.part)  # created, but not recorded yet
        except OSError:
            raise CheckpointError(
                self.target,
                f"{self.part.name} is in the way, and zeropoint did not make it; rename it or "
                "choose another name",
            ) from None

    def _make(self) -> None:
        io.mkdir(self.part)
        self._inode = _inode(self.part)
        self._record([self._inode])
        io.fsync_dir(self.target.parent)

    def _record(self, inodes: Collection[int]) -> None:
        assert self._descriptor is not None
        text = _MARK + b"".join(b"%d\n" % inode for inode in inodes)
        io.pwrite(self._descriptor, text, 0)  # replaces an older record, which begins alike
        os.ftruncate(self._descriptor, len(text))
        io.fsync(self._descriptor)

    def _exchange(self) -> None:
        try:
            io.exchange(self.part, self.target)
        except OSError as error:
            raise CheckpointError(
                self.target,
                f"cannot be replaced in one step ({(error.strerror or '').lower()}); remove it or "
                "choose another name",
            ) from None

    def _discard(self) -> None:
        """Remove the part if it was not published, and the lock file. Never raises an OSError."""
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):
            if self._inode and _inode(self.part) == self._inode:
                io.rmtree(self.part)
        with contextlib.suppress(OSError):
            # While a part is left, the lock file must name its inode.
            needed = os.fstat(self._descriptor).st_size and os.path.lexists(self.part)
            if not needed and names_file(self._lock_path, self._descriptor):
                io.unlink(self._lock_path)
        os.close(self._descriptor)
        self._descriptor = None


def _inode(path: Path) -> int:
    """Return the inode of a directory; 0 if no directory has this name."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return 0
    return status.st_ino if stat.S_ISDIR(status.st_mode) else 0


def _entries(target: Path) -> list[str]:
    """Return the names in a directory; none if it does not exist."""
    try:
        return os.listdir(target)
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise CheckpointError(target, "exists and is not a folder") from None
