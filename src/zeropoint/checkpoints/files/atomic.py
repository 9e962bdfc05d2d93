"""A file that appears only when it is complete.

    .NAME.part  →  data  →  fsync  →  rename to NAME  →  fsync of the directory

Whatever ends the process, NAME is the old file or the new one, complete.

A part belongs to its writer: it is locked from its creation until the directory is synced. One rule
makes every name safe: only the process that holds the lock of a file may rename or remove it, and
it first checks that the name still leads to that file. So no writer can publish or remove another
writer's part. A part without a lock was left by a process that died; the next writer removes it.
"""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

from zeropoint.checkpoints.files import file_ops as io
from zeropoint.errors import CheckpointError, NotEnoughSpace, printable

MAX_CLAIM_ATTEMPTS = 100  # other processes may create and remove parts meanwhile
BUSY_REASON = "is being written by another process"
WRITEBACK_BYTES = 1 << 24  # written before they are sent to the device, ahead of the fsync
SPACE_FACTOR = 1.02  # free bytes needed per byte to write


class PartialFile:
    """A file that is written under a temporary name, and then published or discarded.

    Raises CheckpointError if another process is writing the same file.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.part = part_of(target)
        self._descriptor: int | None = None
        with plain_errors(target):
            self._descriptor = self._claim()
        # The umask's mode is for the complete file; until then the file is private.
        self._mode = stat.S_IMODE(os.fstat(self._descriptor).st_mode)
        os.fchmod(self._descriptor, 0o600)
        self._sent = 0  # bytes from the beginning of the file that are on their way to the device

    def write(self, data: io.Bytes, offset: int) -> None:
        """Write all of the data at this offset, in bytes."""
        assert self._descriptor is not None
        with plain_errors(self.target):
            end = io.pwrite(self._descriptor, data, offset)
        if end - self._sent >= WRITEBACK_BYTES:
            io.start_writeback(self._descriptor, self._sent, end - self._sent)
            self._sent = end

    def finish(self) -> None:
        """Wait until the data is on the device."""
        assert self._descriptor is not None
        with plain_errors(self.target):
            os.fchmod(self._descriptor, self._mode)
            io.fsync(self._descriptor)

    def publish(self) -> None:
        """Rename the file to its final name, sync the directory, and release the lock."""
        self.rename()
        with plain_errors(self.target):
            io.fsync_dir(self.target.parent)
        self.close()

    def rename(self) -> None:
        """Give the file its name and keep the lock; the caller syncs the directory.

        Raises CheckpointError if the part is no longer there.
        """
        assert self._descriptor is not None
        with plain_errors(self.target):
            if not names_file(self.part, self._descriptor):
                raise CheckpointError(
                    self.target, f"{self.part.name} was removed while it was being written"
                )
            io.rename(self.part, self.target)

    @property
    def is_named(self) -> bool:
        """Whether the file has its name, and no other file has taken it since."""
        return self._descriptor is not None and names_file(self.target, self._descriptor)

    def close(self) -> None:
        """Release the lock. The temporary file stays if it was not renamed."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def discard(self) -> None:
        """Remove the part, unless it was renamed or is not ours. Never raises an OSError."""
        self._remove(self.part)
        self.close()

    def withdraw(self) -> None:
        """Remove the file under its name, where it is still ours. Never raises an OSError."""
        self._remove(self.target)

    def _remove(self, name: Path) -> None:
        with contextlib.suppress(OSError):
            if self._descriptor is not None and names_file(name, self._descriptor):
                io.unlink(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def _claim(self) -> int:
        for _ in range(MAX_CLAIM_ATTEMPTS):
            try:
                descriptor = io.open_new(self.part)
            except FileExistsError:
                with stale_part(self.target):
                    continue
            # Another process may have removed it as stale before it was locked.
            if io.lock(descriptor) and names_file(self.part, descriptor):
                return descriptor
            os.close(descriptor)
        raise CheckpointError(self.target, f"{self.part.name} cannot be locked")


def part_of(target: Path) -> Path:
    """Return the name under which a file is written until it is complete."""
    return target.with_name(f".{target.name}.part")


@contextlib.contextmanager
def stale_part(target: Path) -> Iterator[Path | None]:
    """Hold the part of `target` that a dead process left, if there is one, and then remove it.

    Raises CheckpointError if a living process is writing it.
    """
    part = part_of(target)
    try:
        descriptor = io.open_claimed(part)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        raise CheckpointError(target, f"{part.name} is in the way: {error.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise CheckpointError(target, f"{part.name} is in the way and is not a regular file")
        if not io.lock(descriptor):
            raise CheckpointError(target, BUSY_REASON)
        yield part
        if names_file(part, descriptor):
            io.unlink(part)
    finally:
        os.close(descriptor)


def check_target(target: Path, sources: Sequence[Path], *, overwrite: bool = True) -> None:
    """Refuse a target that is not a regular file, or that is one of the sources under any name.

    Without `overwrite` a target that exists is refused, too. Raises CheckpointError.
    """
    if not target.parent.is_dir():
        raise CheckpointError(target, "its directory does not exist")
    try:
        status = target.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise CheckpointError(target, f"cannot be examined: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(target, "exists and is not a regular file")
    for source in sources:
        with contextlib.suppress(OSError):
            if os.path.samestat(source.stat(), status):
                raise CheckpointError(
                    target, "is the input itself; choose another name for the output"
                )
    if not overwrite:
        raise CheckpointError(
            target,
            "exists; add --overwrite (in Python overwrite=True) to replace it, or choose another "
            "name",
        )


def free_bytes(path: Path) -> int:
    """Return the free bytes of the disk that holds `path`, or will hold it once it exists."""
    existing = next(one for one in (path, *path.absolute().parents) if one.exists())
    return shutil.disk_usage(existing).free


def check_space(directory: Path, target: Path, size: int) -> None:
    """Raise NotEnoughSpace unless the disk has room for `size` bytes and a little more."""
    with plain_errors(target):
        status = os.statvfs(directory)
    free = status.f_bavail * status.f_frsize
    need = int(size * SPACE_FACTOR)
    if need > free:
        raise NotEnoughSpace(
            f"{_named(target)}: {need:,} bytes are needed and {free:,} are free; "
            "nothing was written"
        )


@contextlib.contextmanager
def plain_errors(target: Path) -> Iterator[None]:
    """Convert an error of the operating system into one sentence about the output."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            free = 0
            with contextlib.suppress(OSError):
                status = os.statvfs(target.parent)
                free = status.f_bavail * status.f_frsize
            raise NotEnoughSpace(
                f"{_named(target)}: the disk is full or a limit was reached while writing "
                f"({(error.strerror or '').lower()}; {free:,} bytes are free); "
                "an older file of this name is unchanged"
            ) from None
        reason = f"cannot be written: {(error.strerror or str(error)).lower()}"
        raise CheckpointError(target, reason) from None


def write_file(
    target: Path,
    data: io.Bytes,
    *,
    sources: Sequence[Path] = (),
    may_replace: Callable[[Path], bool] | None = None,
) -> None:
    """Write a small file at once; it appears complete or not at all.

    Raises CheckpointError if the target is one of `sources` under any name, or if it exists and
    `may_replace`, where given, returns false for it.
    """
    target = Path(os.path.realpath(target))
    check_target(target, sources)
    with PartialFile(target) as part:
        if may_replace and target.exists() and not may_replace(target):
            raise CheckpointError(target, "exists and must not be replaced; choose another name")
        part.write(data, 0)
        part.finish()
        part.publish()


def _named(path: Path) -> str:
    return printable(str(path), 140)


def names_file(path: Path, descriptor: int) -> bool:
    """Return whether a name leads to the open file; a link leads nowhere."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False
