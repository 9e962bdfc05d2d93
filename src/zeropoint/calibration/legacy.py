"""Reads llama.cpp's older importance matrices (`.dat`), from before they were GGUF files.

    entries i32 | per entry: length i32, name | calls i32 | values i32 | mean · calls f32 …
    and, optionally: chunks i32 | length i32, name of the text

There is no magic number and no version: a file is accepted if all of its contents are valid.
"""

import struct
from dataclasses import dataclass

from zeropoint.checkpoints.files.byte_reader import ByteReader
from zeropoint.checkpoints.source import SourceFile
from zeropoint.errors import printable
from zeropoint.formats import F32

MAX_ENTRIES = 131_072
MAX_NAME_BYTES = 4096
MAX_FILE_BYTES = 1 << 31  # the whole file is in memory, unlike a GGUF imatrix
_I32 = struct.Struct("<i")


@dataclass(frozen=True)
class LegacyMatrix:
    """Contents of a `.dat` file."""

    entries: dict[str, tuple[F32, int]]  # name -> (mean · calls of each column, calls)
    chunks: int
    dataset: str


def read_legacy(file: SourceFile) -> LegacyMatrix:
    """Read and check a file. Raises CheckpointError if its contents are not valid."""
    cursor = ByteReader(file, MAX_FILE_BYTES)
    cursor.item = "importance matrix without GGUF's magic:"
    count = _number(cursor, "entry count", minimum=1, maximum=MAX_ENTRIES)
    entries: dict[str, tuple[F32, int]] = {}
    for index in range(count):
        cursor.item = f"entry {index}"
        at = cursor.position
        name = _text(cursor, "name")
        if not name or name in entries:
            cursor.fail(f"'{printable(name)}' is empty or a duplicate", "name", at=at)
        calls = _number(cursor, "calls", minimum=0, maximum=2**31 - 1)
        size = _number(cursor, "value count", minimum=1, maximum=2**31 - 1)
        cursor.need(4 * size, "values")
        values = file.read(cursor.position, 4 * size).view("<f4")
        cursor.position += 4 * size
        # A file with no calls counted holds means.
        entries[name] = (values, max(calls, 1))
    chunks, dataset = 0, ""
    if cursor.left:
        cursor.item = "end"
        chunks = _number(cursor, "chunks", minimum=0, maximum=2**31 - 1)
    if cursor.left:
        dataset = _text(cursor, "text's name")
    if cursor.left:
        cursor.fail(f"{cursor.left} bytes follow")
    return LegacyMatrix(entries, chunks, dataset)


def _number(cursor: ByteReader, what: str, *, minimum: int, maximum: int) -> int:
    at = cursor.position
    (number,) = _I32.unpack(cursor.take(4, what))
    if not minimum <= number <= maximum:
        cursor.fail(f"{number} is not from {minimum} to {maximum}", what, at=at)
    return int(number)


def _text(cursor: ByteReader, what: str) -> str:
    length = _number(cursor, f"{what} length", minimum=0, maximum=MAX_NAME_BYTES)
    at = cursor.position
    data = cursor.take(length, what)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        cursor.fail("is not UTF-8", what, at=at + error.start)
