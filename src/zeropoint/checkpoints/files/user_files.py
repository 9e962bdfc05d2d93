"""Reads files that a user names: texts, prompts, tasks, recipes, configurations.

All of them are opened here, so that none can hang the program or exhaust its memory. A regular file
is read if it is small enough. A pipe, such as the shell's `<(command)`, is read up to the same
limit while its writer keeps writing. Directories, devices and sockets are refused.
"""

import os
import select
import stat
import time
from pathlib import Path

from zeropoint.checkpoints.files import file_ops as io
from zeropoint.checkpoints.source import is_lfs_pointer
from zeropoint.errors import CheckpointError, ZeropointError

TEXT_BYTES = 1 << 30  # maximum of a text to measure or calibrate on
LIST_BYTES = 64 << 20  # maximum of a file of prompts or tasks
TABLE_BYTES = 2 << 20  # maximum of a table of devices
PROMPT_BYTES = 16 << 20  # maximum of a prompt on standard input
FIRST_WRITER_SECONDS = 1.0  # to wait until the other end of a pipe is opened
WRITER_SECONDS = 30.0  # to wait for data from a connected writer
PIECE_BYTES = 1 << 20

UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_user_text(
    path: Path | str, limit: int, error: type[ZeropointError] = CheckpointError
) -> str:
    """Return the UTF-8 text of a file or pipe that the user named, without a byte-order mark.

    Line ends are not converted. Raises `error` (its argument is the whole sentence) for whatever
    `read_user_bytes` refuses, and for text that is not UTF-8, with the offset of its first byte.
    """
    data = read_user_bytes(path, limit, error)
    try:
        return decode_text(data)
    except ValueError as wrong:
        raise _error(error, path, str(wrong)) from None


def decode_text(data: bytes) -> str:
    """Decode UTF-8 and drop a byte-order mark. Raises ValueError that names the first bad byte.

    >>> decode_text(b"\\xef\\xbb\\xbfabc")
    'abc'
    """
    if data.startswith(UTF16_MARKS):
        raise ValueError("byte 0: not UTF-8 text but UTF-16; save it as UTF-8")
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as wrong:
        raise ValueError(f"byte {wrong.start}: not UTF-8 text; convert it first") from None


def read_user_bytes(
    path: Path | str, limit: int, error: type[ZeropointError] = CheckpointError
) -> bytes:
    """Return the bytes of a regular file or a pipe that the user named, at most `limit`.

    Raises `error`, with one sentence, for a file that is missing, unreadable, larger than `limit`
    or only a Git LFS pointer; for a directory, a device or a socket; and for a pipe that nobody
    opens for writing within a second, or whose writer writes nothing for half a minute.
    """
    try:
        data = _read(Path(path), limit)
    except OSError as failure:
        reason = f"cannot be read: {failure.strerror or failure}"
        raise _error(error, path, reason) from None
    except ValueError as wrong:  # also a NUL in the path
        raise _error(error, path, str(wrong)) from None
    if is_lfs_pointer(data[:64]):
        raise _error(error, path, "is only a Git LFS pointer; run `git lfs pull` in its folder")
    return data


def _error(kind: type[ZeropointError], path: Path | str, reason: str) -> ZeropointError:
    if issubclass(kind, CheckpointError):
        return kind(path, reason)
    return kind(f"{path}: {reason}")


def _read(path: Path, limit: int) -> bytes:
    """Read a file or pipe. Raises OSError, or ValueError with the reason."""
    _check_type(os.stat(path).st_mode)  # before opening, because opening a device may have effects
    descriptor = io.open_read(path)
    try:
        status = os.fstat(descriptor)
        _check_type(status.st_mode)
        if status.st_size > limit:
            raise ValueError(f"is larger than the limit of {limit} bytes: {status.st_size}")
        data = bytearray()
        while len(data) <= limit:
            piece = _next_piece(descriptor, waited=bool(data) or stat.S_ISREG(status.st_mode))
            if not piece:
                return bytes(data)
            data += piece
        raise ValueError(f"is larger than the limit of {limit} bytes")
    finally:
        os.close(descriptor)


def _check_type(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise ValueError("is a directory; a file is expected")
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
        raise ValueError("is a device or a socket; a regular file or a pipe is expected")


def _next_piece(descriptor: int, *, waited: bool) -> bytes:
    """Return the next bytes, or none at the end. `waited`: a writer has already been seen."""
    deadline = time.monotonic() + (WRITER_SECONDS if waited else FIRST_WRITER_SECONDS)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while True:
        try:
            piece = os.read(descriptor, PIECE_BYTES)
            if piece or waited:
                return piece
            wrong = "nothing writes to this pipe"
        except BlockingIOError:  # the other end is open, but has written nothing yet
            if not waited:
                waited, deadline = True, time.monotonic() + WRITER_SECONDS
            wrong = f"this pipe's writer wrote nothing for {WRITER_SECONDS:.0f} seconds"
        left = deadline - time.monotonic()
        if left <= 0:
            raise ValueError(wrong)
        # A pipe without a writer is always ready; the pause limits the polling.
        if poll.poll(min(left, 0.05) * 1000) and not waited:
            time.sleep(0.01)
