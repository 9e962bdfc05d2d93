"""A file that appears only when it is complete.

    .NAME.part beside NAME  →  data  →  fsync  →  rename over NAME  →  fsync of the directory

Whatever ends the process, NAME is the old file or the new one, whole. A part that was left behind
is removed by the next run: it has no lock, while a part that is being written has one. So two
writers of one name do not meet either: the second is told so and stops.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from zeropoint.checkpoints import io
from zeropoint.errors import CheckpointError, NotEnoughSpace, printable

ATTEMPTS = 100  # to claim a part while other processes come and go
RESERVE = 1.02  # times the bytes to be written must be free


class PartialFile:
    """The part of one file; `write` at any offset, then `finish` and `publish`, or `discard`."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.part = part_of(target)
        self._descriptor: int | None = None
        with plain_errors(target):
            self._descriptor = self._claim()
        # The mode that the umask gave it is for the complete file; until then it is private.
        self._mode = stat.S_IMODE(os.fstat(self._descriptor).st_mode)
        os.fchmod(self._descriptor, 0o600)

    def write(self, data: io.Bytes, offset: int) -> None:
        """Write all of the data at this offset."""
        assert self._descriptor is not None
        with plain_errors(self.target):
            io.pwrite(self._descriptor, data, offset)

    def finish(self) -> None:
        """Wait until the data is on the device."""
        assert self._descriptor is not None
        with plain_errors(self.target):
            os.fchmod(self._descriptor, self._mode)
            io.fsync(self._descriptor)

    def publish(self) -> None:
        """Put the part in the place of the file. The caller syncs the directory."""
        with plain_errors(self.target):
            io.rename(self.part, self.target)
        self.close()

    def close(self) -> None:
        """Give up the descriptor and with it the lock; the part stays."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def discard(self) -> None:
        """Remove the part if it is there. Never raises: something else is already wrong."""
        with contextlib.suppress(OSError):
            io.unlink(self.part)
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.discard()
        self.close()

    def _claim(self) -> int:
        for _ in range(ATTEMPTS):
            try:
                descriptor = io.open_new(self.part)
            except FileExistsError:
                with stale_part(self.target):
                    continue
            # Another process may have found it before it was locked, and removed it as stale.
            if io.lock(descriptor) and _is(descriptor, self.part):
                return descriptor
            os.close(descriptor)
        raise CheckpointError(self.target, f"{self.part.name} cannot be claimed")


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
            raise CheckpointError(target, "is being written by another process")
        yield part
        if _is(descriptor, part):
            io.unlink(part)
    finally:
        os.close(descriptor)


def check_target(target: Path, sources: Sequence[Path]) -> None:
    """Refuse a target that is no regular file, or that is one of the sources under any name."""
    if not target.parent.is_dir():
        raise CheckpointError(target, "its directory does not exist")
    try:
        status = target.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise CheckpointError(target, f"cannot be looked at: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(target, "exists and is not a regular file")
    for source in sources:
        with contextlib.suppress(OSError):
            if os.path.samestat(source.stat(), status):
                raise CheckpointError(
                    target, "is the input itself; choose another name for the output"
                )


def check_space(directory: Path, target: Path, size: int) -> None:
    """Raise NotEnoughSpace unless the disk has room for `size` bytes and a little more."""
    with plain_errors(target):
        status = os.statvfs(directory)
    free = status.f_bavail * status.f_frsize
    need = int(size * RESERVE)
    if need > free:
        raise NotEnoughSpace(
            f"{_named(target)}: {need:,} bytes are needed and {free:,} are free; "
            "nothing was written"
        )


@contextlib.contextmanager
def plain_errors(target: Path) -> Iterator[None]:
    """Turn what the system says into one sentence about the output."""
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
                "an older file of this name is as it was"
            ) from None
        reason = f"cannot be written: {(error.strerror or str(error)).lower()}"
        raise CheckpointError(target, reason) from None


def write_file(target: Path, data: io.Bytes) -> None:
    """Write a small file at once; it appears complete or not at all."""
    target = Path(os.path.realpath(target))
    check_target(target, ())
    with PartialFile(target) as part:
        part.write(data, 0)
        part.finish()
        part.publish()
    with plain_errors(target):
        io.fsync_dir(target.parent)


def _named(path: Path) -> str:
    return printable(str(path), 140)


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False
