"""The only functions that read or change files of zeropoint's.

A test can therefore make any call fail. `ZEROPOINT_FAULT=KIND@N` selects the N-th call (from 1):

    kill     the process gets SIGKILL before the call
    enospc   the call reports a full disk (reads and opens for reading count, but pass)
    eio      the call reports a device error
    short    the call does half of its work, as the system may always do

Python itself repeats interrupted calls (EINTR).
"""

import ctypes
import errno
import fcntl
import os
import shutil
import signal
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

Bytes = bytes | bytearray | memoryview | NDArray[Any]  # contiguous

# Errors of systems and file systems without locks; EBADF: NFS, for a directory.
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EBADF)
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # constants of Linux's renameat2
SYNC_FILE_RANGE_WRITE = 2  # constant of Linux's sync_file_range

KINDS = ("kill", "enospc", "eio", "short")


class InjectedFault:
    """Counts calls, and makes the selected one fail."""

    def __init__(self, text: str) -> None:
        kind, _, number = text.partition("@")
        if kind not in KINDS or not number.isdecimal():
            raise ValueError(f"ZEROPOINT_FAULT={text!r} is not KIND@N, KIND one of {KINDS}")
        self.kind = kind
        self.number = int(number)
        self.calls = 0

    def fails(self, *, writes: bool) -> bool:
        """Fail if this is the selected call; return whether it must be a short one."""
        self.calls += 1
        if self.calls != self.number:
            return False
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "eio":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if self.kind == "enospc" and writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.kind == "short"


_fault = InjectedFault(os.environ["ZEROPOINT_FAULT"]) if "ZEROPOINT_FAULT" in os.environ else None


def _check_fault(*, writes: bool) -> bool:
    return _fault is not None and _fault.fails(writes=writes)


def _view(data: Bytes) -> memoryview:
    source: Any = data
    view = memoryview(source)
    return view.cast("B") if view.nbytes else memoryview(b"")  # an empty view cannot be cast


def open_read(path: Path) -> int:
    """Open for reading; never waits for the other end of a pipe."""
    _check_fault(writes=False)
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def open_new(path: Path) -> int:
    """Create a file that must not exist, for writing, with mode 0666 minus the umask."""
    _check_fault(writes=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def open_claimed(path: Path) -> int:
    """Open an existing file for writing, without following a link and without blocking."""
    _check_fault(writes=True)
    return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)


def open_lock(path: Path) -> int:
    """Open or create a file that is only there to be locked; never through a link."""
    _check_fault(writes=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.open(path, flags, 0o666)


def open_dir(path: Path) -> int:
    """Open a directory, to lock it; never through a link."""
    _check_fault(writes=False)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)


def lock(descriptor: int, *, shared: bool = False) -> bool:
    """Claim a file or directory until it is closed or this process ends.

    Any number of processes may have a `shared` claim. Returns False if another process has it.
    Where the file system has no locks (NFS has none for directories), everybody gets it.
    """
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True


def pread(descriptor: int, buffer: Bytes, offset: int) -> int:
    """Fill the buffer from this offset on; return how many bytes there were before the end."""
    view = _view(buffer)
    done = 0
    while done < len(view):
        part = view[done:]
        if _check_fault(writes=False):
            part = part[: max(len(part) // 2, 1)]
        count = os.preadv(descriptor, [part], offset + done)
        if count == 0:
            break
        done += count
    return done


def pwrite(descriptor: int, data: Bytes, offset: int) -> int:
    """Write all of the data at this offset; return the offset after it."""
    view = _view(data)
    while len(view):
        part = view
        if _check_fault(writes=True):
            part = part[: max(len(part) // 2, 1)]
        count = os.pwrite(descriptor, part, offset)
        view = view[count:]
        offset += count
    return offset


def start_writeback(descriptor: int, offset: int, count: int) -> None:
    """Begin to move written bytes to the device, so that `fsync` finds less to wait for.

    A hint: it does not wait for the bytes, reports no error (`fsync` does), and does nothing where
    the system has no such call.
    """
    function = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if function is not None:
        part = ctypes.c_int64(offset), ctypes.c_int64(count)
        function(descriptor, *part, ctypes.c_uint(SYNC_FILE_RANGE_WRITE))


def fsync(descriptor: int) -> None:
    """Wait until the file's data is on the device. An error here is final: never try again."""
    _check_fault(writes=True)
    os.fsync(descriptor)


def rename(source: Path, target: Path) -> None:
    """Put `source` in the place of `target`, at once for every onlooker."""
    _check_fault(writes=True)
    os.rename(source, target)


def exchange(one: Path, other: Path) -> None:
    """Swap two names at once for every onlooker. Raises OSError where the system cannot."""
    _check_fault(writes=True)
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    names = os.fsencode(one), os.fsencode(other)
    if function(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mkdir(path: Path) -> None:
    """Create a directory that must not exist."""
    _check_fault(writes=True)
    os.mkdir(path)


def rmtree(path: Path) -> None:
    """Remove a directory and its contents, but not the targets of links."""
    _check_fault(writes=False)
    shutil.rmtree(path)


def unlink(path: Path) -> None:
    """Remove a file."""
    _check_fault(writes=False)  # a full disk does not prevent removal
    os.unlink(path)


def fsync_dir(directory: Path) -> None:
    """Wait until the names in a directory are on the device."""
    _check_fault(writes=True)
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
