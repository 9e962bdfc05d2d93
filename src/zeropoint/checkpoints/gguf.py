"""Reads GGUF, versions 2 and 3, little-endian, and checks every length and offset.

    magic "GGUF" | version u32 | tensors u64 | keys u64
    per key:     key string | type u32 | value          (string: length u64, UTF-8)
    per tensor:  name string | axes u32 | length u64 per axis, last first | type u32 | offset u64
    zeros up to the alignment | tensor data, each tensor padded to the alignment

Some files are refused although the format allows them. Tensors that overlap, leave gaps or are out
of order are refused as in llama.cpp: two readers must not see two models. Bytes after the last
tensor and padding that is not zero could hide data. More than 131,072 tensors would need too much
memory (half a kilobyte each; the largest known file has fewer than 3,000). The layout follows
ggml's docs/gguf.md (2026-10).
"""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from zeropoint.checkpoints.base import TensorInfo
from zeropoint.checkpoints.files.byte_reader import ByteReader
from zeropoint.checkpoints.source import SourceFile
from zeropoint.checkpoints.strings import read_strings
from zeropoint.checkpoints.values import (
    ARRAY,
    BOOL,
    DTYPES,
    SCALARS,
    STRING,
    STRUCTS,
    TYPE_NAMES,
    UInt32,
)
from zeropoint.errors import FormatError, printable
from zeropoint.formats import GGML_TYPES, Format

MAX_KEYS = 65_536
MAX_TENSORS = 131_072
KEY_BYTES = 65_535
STRING_BYTES = 1 << 24
MAX_ARRAY_ITEMS = 1 << 24  # in one array, and in all string arrays together
ARRAYS_IN_ARRAYS = 65_536  # in the whole file
MAX_ARRAY_DEPTH = 4  # arrays in arrays in arrays in arrays
HEADER_BYTES = 512 << 20
NAME_BYTES = 63  # llama.cpp's limit is 64 with the terminating NUL
MAX_AXES = 4  # of a tensor, as ggml
ALIGNMENT = 1 << 20
ALIGNMENT_KEY = "general.alignment"
SMALL_ARRAY_BYTES = 4096  # smaller arrays within an array share one allocation
PADDING_READ = 4096  # bytes of each tensor's padding that are checked

# The types of `formats.GGML_TYPES` apart, these have numbers too.
ACTIVATION_TYPES = {9: "Q8_1", 15: "Q8_K"}  # only in memory, never in files
REMOVED_TYPES = {
    4: "Q4_2", 5: "Q4_3", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8",
    36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8",
}  # fmt: skip


@dataclass(frozen=True)
class GgufHeader:
    """The metadata and tensor table of a GGUF file, and the byte offsets of its keys."""

    metadata: dict[str, object]
    places: dict[str, int]  # key -> byte offset
    tensors: list[TensorInfo]
    table: int  # byte offset of the first tensor's entry


def read_gguf(file: SourceFile) -> GgufHeader:
    """Return the header of one file, checked against the whole file. Raises CheckpointError."""
    cursor = ByteReader(file, HEADER_BYTES)
    _read_start(cursor)
    tensor_count = cursor.count(MAX_TENSORS, 24, "tensor count")
    key_count = cursor.count(MAX_KEYS, 13, "key count")
    metadata, places = _read_metadata(cursor, key_count)
    alignment = _alignment(cursor, metadata, places)
    table = cursor.position
    tensors = _read_tensors(cursor, tensor_count, alignment)
    _check_data(cursor, tensors, alignment)
    return GgufHeader(metadata, places, tensors, table)


def find_entry(path: Path, name: str) -> int:
    """Return the byte offset of a tensor's entry, for an error; reads the header again."""
    file = SourceFile(path)
    cursor = ByteReader(file, HEADER_BYTES)
    cursor.position = read_gguf(file).table
    while True:
        at = cursor.position
        if _read_name(cursor) == name:
            return at
        _read_shape(cursor)
        cursor.take(12, "type and offset")


def pad(size: int, alignment: int) -> int:
    """Round up to a multiple of the alignment."""
    return -(-size // alignment) * alignment


def _read_start(cursor: ByteReader) -> None:
    magic = cursor.take(4, "magic")
    if magic != b"GGUF":
        cursor.fail(f"starts with {magic!r} and not with b'GGUF'", "magic", at=0)
    version = cursor.u32("version")
    if version in (2 << 24, 3 << 24):
        cursor.fail("is big-endian; convert it to little-endian first", "version", at=4)
    if version not in (2, 3):
        cursor.fail(f"is GGUF version {version}; versions 2 and 3 are read", "version", at=4)


def _read_metadata(cursor: ByteReader, count: int) -> tuple[dict[str, object], dict[str, int]]:
    metadata: dict[str, object] = {}
    places: dict[str, int] = {}
    values = _Values(cursor)
    for index in range(count):
        cursor.item = f"key {index}"
        at = cursor.position
        key = cursor.text(KEY_BYTES, "name")
        if not key or not key.isascii() or not key.isprintable():
            cursor.fail("is empty or has characters other than printable ASCII", "name", at=at)
        if key in metadata:
            cursor.fail(f"'{printable(key)}' occurs twice", "name", at=at)
        cursor.item = f"'{printable(key)}'"
        places[key] = at
        metadata[key] = values.read(cursor.u32("type"), 0)
    return metadata, places


class _Values:
    """Reads values, and limits those that need more memory than they have bytes."""

    def __init__(self, cursor: ByteReader) -> None:
        self._cursor = cursor
        self._strings = 0
        self._arrays = 0

    def read(self, kind: int, depth: int) -> object:
        """Read a value of this type number."""
        cursor = self._cursor
        at = cursor.position
        if kind == STRING:
            return cursor.text(STRING_BYTES, "value")
        if kind == ARRAY:
            return self._read_array(depth + 1)
        if kind not in STRUCTS:
            cursor.fail(f"{kind} is no type of GGUF", "type", at=at - 4)
        data = cursor.take(STRUCTS[kind].size, "value")
        if kind == BOOL:
            if data[0] > 1:
                cursor.fail(f"a bool is 0 or 1, not {data[0]}", "value", at=at)
            return bool(data[0])
        return SCALARS[kind](STRUCTS[kind].unpack(data)[0])

    def _read_array(self, depth: int) -> object:
        cursor = self._cursor
        at = cursor.position
        kind = cursor.u32("element type")
        if kind not in TYPE_NAMES:
            cursor.fail(f"{kind} is no type of GGUF", "element type", at=at)
        if kind == ARRAY and depth >= MAX_ARRAY_DEPTH:
            cursor.fail(f"arrays are nested deeper than {MAX_ARRAY_DEPTH}", "element type", at=at)
        min_item_bytes = STRUCTS[kind].size if kind in STRUCTS else 8 if kind == STRING else 12
        count = cursor.count(MAX_ARRAY_ITEMS, min_item_bytes, "count")
        if kind == STRING:
            self._strings += count
            if self._strings > MAX_ARRAY_ITEMS:
                cursor.fail(f"the file has more than {MAX_ARRAY_ITEMS} strings in arrays", "count")
            return read_strings(cursor, count)
        if kind == ARRAY:
            self._arrays += count
            if self._arrays > ARRAYS_IN_ARRAYS:
                cursor.fail(f"the file has more than {ARRAYS_IN_ARRAYS} arrays in arrays", "count")
            return [self._read_array(depth + 1) for _ in range(count)]
        cursor.need(count * min_item_bytes, "elements")
        if (
            depth > 1 and count * min_item_bytes <= SMALL_ARRAY_BYTES
        ):  # there may be 65,536 such arrays
            window, start = cursor.peek(count * min_item_bytes)
            data = np.frombuffer(window, np.uint8, count * min_item_bytes, start)
        else:
            data = cursor.file.read(cursor.position, count * min_item_bytes)
        if kind == BOOL and count and data.max() > 1:
            first = int((data > 1).argmax())
            cursor.fail("a bool is 0 or 1", f"element {first}", at=cursor.position + first)
        cursor.position += count * min_item_bytes
        data.flags.writeable = False
        return data.view(DTYPES[kind])


def _alignment(cursor: ByteReader, metadata: dict[str, object], places: dict[str, int]) -> int:
    value = metadata.get(ALIGNMENT_KEY, UInt32(32))
    cursor.item = f"'{ALIGNMENT_KEY}'"
    if not isinstance(value, UInt32):
        cursor.fail("must be of type u32", at=places[ALIGNMENT_KEY])
    if not 1 <= value <= ALIGNMENT or value & (value - 1):
        reason = f"{value} is not a power of two from 1 to {ALIGNMENT}"
        cursor.fail(reason, at=places[ALIGNMENT_KEY])
    return int(value)


def _read_tensors(cursor: ByteReader, count: int, alignment: int) -> list[TensorInfo]:
    """Read the tensor table. Offsets count from the data, which begins after the table."""
    found: dict[str, TensorInfo] = {}
    sizes: dict[tuple[tuple[int, ...], int], tuple[tuple[int, ...], int]] = {}  # most are alike
    path = cursor.file.path
    formats: dict[int, Format] = {}
    expected = 0
    for index in range(count):
        cursor.item = f"tensor {index}"
        at = cursor.position
        name = _read_name(cursor)
        if name in found:
            cursor.fail(f"'{printable(name)}' occurs twice", "name", at=at)
        shape = _read_shape(cursor)
        at = cursor.position
        number = cursor.u32("type")
        if number not in formats:
            formats[number] = _find_format(cursor, number, at)
        if (shape, number) not in sizes:
            nbytes = _tensor_bytes(cursor, shape, formats[number], at)
            sizes[shape, number] = shape, nbytes
        shape, nbytes = sizes[shape, number]
        at = cursor.position
        offset = cursor.u64("offset")
        if offset != expected:
            _fail_offset(cursor, offset, expected, alignment, at)
        if expected + nbytes > cursor.file.size:
            reason = f"its {nbytes} bytes do not fit into a file of {cursor.file.size}"
            cursor.fail(reason, "size", at=at)
        expected += pad(nbytes, alignment)
        found[name] = TensorInfo(name, shape, formats[number], nbytes, path, offset)
    start = pad(cursor.position, alignment)
    for info in found.values():  # a table may have 131,072 rows
        object.__setattr__(info, "offset", start + info.offset)
    return list(found.values())


def _read_name(cursor: ByteReader) -> str:
    at = cursor.position
    name = cursor.text(NAME_BYTES, "name")
    if not name or not name.isprintable():
        cursor.fail("is empty or has characters that do not print", "name", at=at)
    if "/" in name and (name[0] == "/" or ".." in name.split("/")):
        cursor.fail(f"'{printable(name)}' is a path out of its directory", "name", at=at)
    return name


def _read_shape(cursor: ByteReader) -> tuple[int, ...]:
    """Return the shape in PyTorch's order: the file has the last axis first."""
    at = cursor.position
    axes = cursor.u32("axes")
    if axes > MAX_AXES:
        cursor.fail(f"{axes} axes are over the limit of {MAX_AXES}", "axes", at=at)
    at = cursor.position
    lengths = struct.unpack(f"<{axes}Q", cursor.take(8 * axes, "shape"))
    # An empty tensor is allowed, but numpy multiplies its other axes, so they are checked too.
    if math.prod(length or 1 for length in lengths) > 1 << 59:
        cursor.fail(f"{'×'.join(map(str, lengths))} weights cannot be", "shape", at=at)
    return tuple(reversed(lengths))


def _find_format(cursor: ByteReader, number: int, at: int) -> Format:
    if number in REMOVED_TYPES:
        reason = (
            f"type {number} ({REMOVED_TYPES[number]}) was removed from GGUF; make the file anew"
        )
        cursor.fail(reason, "type", at=at)
    if number in ACTIVATION_TYPES:
        cursor.fail(f"type {number} ({ACTIVATION_TYPES[number]}) is not supported", "type", at=at)
    if number not in GGML_TYPES:
        cursor.fail(f"there is no type {number}", "type", at=at)
    return GGML_TYPES[number]


def _tensor_bytes(cursor: ByteReader, shape: tuple[int, ...], format: Format, at: int) -> int:
    try:
        format.for_shape(shape)
    except FormatError as error:
        cursor.fail(str(error), "shape", at=at)
    return math.prod(shape) // format.block_size * format.block_bytes


def _fail_offset(
    cursor: ByteReader, offset: int, expected: int, alignment: int, at: int
) -> NoReturn:
    if offset % alignment:
        reason = f"{offset} is no multiple of the alignment {alignment}"
    elif offset < expected:
        reason = f"{offset} overlaps the tensor before it, which ends at {expected}"
    else:
        reason = f"{offset} leaves a gap after the tensor before it, which ends at {expected}"
    cursor.fail(reason, "offset", at=at)


def _check_data(cursor: ByteReader, tensors: list[TensorInfo], alignment: int) -> None:
    """Check that all data is present, that padding is zero, and that nothing follows it."""
    file = cursor.file
    cursor.item = "padding"
    ends = [cursor.position] + [tensor.offset + tensor.nbytes for tensor in tensors]
    for tensor, end in zip(tensors, ends, strict=False):
        if tensor.offset + tensor.nbytes > file.size:
            cursor.item = f"tensor '{printable(tensor.name)}'"
            have = max(file.size - tensor.offset, 0)
            at = min(tensor.offset, file.size)
            cursor.fail(f"has {tensor.nbytes} bytes, {have} are left in the file", "data", at=at)
        _check_zeros(cursor, end, tensor.offset)
    if file.size > pad(ends[-1], alignment):
        cursor.item = "end"
        cursor.fail(f"{file.size - ends[-1]} bytes follow the last tensor", at=ends[-1])
    _check_zeros(cursor, ends[-1], file.size)


def _check_zeros(cursor: ByteReader, start: int, stop: int) -> None:
    if stop > start:
        wrong = cursor.file.read(start, min(stop - start, PADDING_READ)).nonzero()[0]
        if wrong.size:
            cursor.fail("is not zero", at=start + int(wrong[0]))
