"""Reads an array of strings, a quarter of a million of them in some hundredths of a second.

Where each string begins is known only when the one before it was read, so this is a walk, not an
array operation. Most strings are shorter than 256 bytes: the walk takes the first byte of each
length for the whole, and all lengths are then checked at once. Where that guess fails, the next
strings are walked exactly.
"""

import struct
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints.cursor import Cursor
from zeropoint.checkpoints.values import StringArray

STRING_BYTES = 1 << 24  # the longest string
STEP = 4096  # strings between two checks
_LENGTH = struct.Struct("<Q")
_EIGHT = np.arange(8)


def read_strings(cursor: Cursor, count: int) -> StringArray:
    """Read `count` strings from here on. Raises CheckpointError as every reader here does."""
    raw = bytearray()
    starts = np.empty(count, np.uint32)  # count · 8 bytes are in the file: the caller has checked
    done = 0
    guess = True
    while done < count:
        most = min(count - done, STEP)
        window, at = _first(cursor, done)
        found, end = (_guess if guess else _exact)(window, at, most)
        if not guess or not found:
            found, end = _exact(window, at, most)
        guess = not guess or len(found) == most
        _check_text(cursor, window[at:end], np.array(found) - at, done)
        starts[done : done + len(found)] = np.array(found) + (len(raw) - at)
        raw += memoryview(window)[at:end]
        cursor.position += end - at
        done += len(found)
    return StringArray(raw, starts)


def _first(cursor: Cursor, index: int) -> tuple[bytes, int]:
    """Return a window that holds the whole next string."""
    what = f"string {index}"
    cursor.need(8, what)
    window, at = cursor.peek(8)
    (length,) = _LENGTH.unpack_from(window, at)
    if length > STRING_BYTES:
        cursor.fail(f"a length of {length} is over the limit of {STRING_BYTES}", what)
    cursor.need(8 + length, what)
    return cursor.peek(8 + length)


def _guess(window: bytes, at: int, most: int) -> tuple[list[int], int]:
    """Walk as if all lengths were below 256; return the true beginning of that walk, and its end.

    The end of the window ends the walk: strings that are not wholly in it do not count.
    """
    found: list[int] = []
    append = found.append
    last = len(window) - 8
    for _ in repeat(None, most):
        if at > last:
            break
        append(at)
        at += 8 + window[at]
    lengths = np.frombuffer(window, np.uint8)[np.array(found)[:, None] + _EIGHT]  # (n, 8)
    long = np.flatnonzero(lengths[:, 1:].any(axis=1))
    if long.size:
        at = found[long[0]]
        del found[long[0] :]
    if at > len(window):
        at = found.pop()
    return found, at


def _exact(window: bytes, at: int, most: int) -> tuple[list[int], int]:
    """Walk strings of any length; those that are not wholly in the window do not count."""
    found: list[int] = []
    last = len(window) - 8
    for _ in repeat(None, most):
        if at > last:
            break
        end = at + 8 + int(_LENGTH.unpack_from(window, at)[0])
        if end > len(window):
            break
        found.append(at)
        at = end
    return found, at


def _check_text(cursor: Cursor, data: bytes, starts: NDArray[np.int64], done: int) -> None:
    """Fail if any of these strings is not UTF-8: decode all at once, with NUL for the lengths."""
    plain = np.frombuffer(data, np.uint8).copy()
    plain[starts[:, None] + _EIGHT] = 0
    try:
        str(plain.data, "utf-8")
    except UnicodeDecodeError as error:
        index = int(np.searchsorted(starts, error.start, side="right")) - 1
        where = cursor.position + error.start
        cursor.fail("is not UTF-8", f"string {done + index}", at=where)
