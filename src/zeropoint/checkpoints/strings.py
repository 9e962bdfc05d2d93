"""Reads an array of strings; 250,000 strings take a few hundredths of a second.

The position of each string is known only after the one before it was read, so the strings must be
walked. Most are shorter than 256 bytes: the walk takes the first byte of each length for the whole
length, and then all lengths are checked at once. Where that fails, the next strings are walked
exactly.
"""

import struct
from collections.abc import Callable
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints.files.byte_reader import ByteReader
from zeropoint.checkpoints.values import StringArray

STRING_BYTES = 1 << 24  # maximum length of a string
STRINGS_PER_CHECK = 16_384  # strings between two checks
_LENGTH_STRUCT = struct.Struct("<Q")
_BYTE_OFFSETS = np.arange(8)
I64 = NDArray[np.int64]
Walk = Callable[
    [bytes, int, int], tuple[I64, int]
]  # window, position, maximum count -> starts, end


def read_strings(cursor: ByteReader, count: int) -> StringArray:
    """Read `count` strings from here on. Raises CheckpointError as every reader here does."""
    raw = bytearray()
    starts = np.empty(count, np.uint32)  # the caller checked that the file has count · 8 bytes
    done = 0
    walk: Walk = _guess
    while done < count:
        window, at = _first(cursor, done)
        max_strings = min(count - done, STRINGS_PER_CHECK if walk is not _even else count)
        found, end = walk(window, at, max_strings)
        if not len(found):
            found, end = _exact(window, at, min(count - done, STRINGS_PER_CHECK))
        _check_text(cursor, window[at:end], found - at, done)
        starts[done : done + len(found)] = found + (len(raw) - at)
        walk = _next_walk(walk, found, end, max_strings, window)
        raw += memoryview(window)[at:end]
        cursor.position += end - at
        done += len(found)
    return StringArray(raw, starts)


def _next_walk(walk: Walk, found: I64, end: int, max_strings: int, window: bytes) -> Walk:
    """Choose how to go on: by what these strings were like."""
    whole = len(found) == max_strings or len(window) - end < 264
    if walk is _guess and not whole:
        return _exact
    steps = np.diff(found)
    if whole and len(found) > 99 and steps[0] < 264 and (steps == steps[0]).all():
        return _even
    return _guess


def _first(cursor: ByteReader, index: int) -> tuple[bytes, int]:
    """Return a window that holds the whole next string."""
    what = f"string {index}"
    cursor.need(8, what)
    window, at = cursor.peek(8)
    (length,) = _LENGTH_STRUCT.unpack_from(window, at)
    if length > STRING_BYTES:
        cursor.fail(f"a length of {length} is over the limit of {STRING_BYTES}", what)
    cursor.need(8 + length, what)
    return cursor.peek(8 + length)


def _guess(window: bytes, at: int, max_strings: int) -> tuple[I64, int]:
    """Walk as if all lengths were below 256; return the true beginning of that walk, and its end.

    The end of the window ends the walk: strings that are not wholly in it do not count.
    """
    places: list[int] = []
    append = places.append
    last = len(window) - 8
    for _ in repeat(None, max_strings):
        if at > last:
            break
        append(at)
        at += 8 + window[at]
    offsets = np.array(places, np.int64)
    lengths = np.frombuffer(window, np.uint8)[offsets[:, None] + _BYTE_OFFSETS].view("<u8")[:, 0]
    long = np.flatnonzero(lengths > 255)
    if long.size:
        return offsets[: long[0]], places[long[0]]
    if at > len(window):
        return offsets[:-1], places[-1]
    return offsets, at


def _even(window: bytes, at: int, max_strings: int) -> tuple[I64, int]:
    """Take as many strings as are as long as the first one."""
    (length,) = _LENGTH_STRUCT.unpack_from(window, at)
    step = 8 + int(length)
    count = min(max_strings, (len(window) - at) // step)
    rows = np.frombuffer(window, np.uint8, count * step, at).reshape(count, step)
    other = np.flatnonzero((rows[:, :8] != rows[0, :8]).any(axis=1))
    count = int(other[0]) if other.size else count
    return at + step * np.arange(count, dtype=np.int64), at + step * count


def _exact(window: bytes, at: int, max_strings: int) -> tuple[I64, int]:
    """Walk strings of any length; those that are not wholly in the window do not count."""
    found: list[int] = []
    last = len(window) - 8
    for _ in repeat(None, max_strings):
        if at > last:
            break
        end = at + 8 + int(_LENGTH_STRUCT.unpack_from(window, at)[0])
        if end > len(window):
            break
        found.append(at)
        at = end
    return np.array(found, np.int64), at


def _check_text(cursor: ByteReader, data: bytes, starts: I64, done: int) -> None:
    """Fail if any of these strings is not UTF-8: decode all at once, with NUL for the lengths."""
    plain = np.frombuffer(data, np.uint8).copy()
    for byte in range(8):
        plain[starts + byte] = 0
    try:
        str(plain.data, "utf-8")
    except UnicodeDecodeError as error:
        index = int(np.searchsorted(starts, error.start, side="right")) - 1
        where = cursor.position + error.start
        cursor.fail("is not UTF-8", f"string {done + index}", at=where)
