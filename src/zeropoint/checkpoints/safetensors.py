"""Reads safetensors, and checks every length and offset.

    header length u64 | header, JSON, padded with spaces | tensor data without gaps
    {"__metadata__": {string: string}, NAME: {"dtype": "BF16", "shape": [2, 3],
     "data_offsets": [0, 12]}, ...}                        offsets count from the end of the header

Stricter than the safetensors library: a duplicate key is refused (the library takes the last one,
other tools the first, so that they would see two models), and so is a field that the library
ignores. For types of less than 8 bits each row must end on a byte, not only the tensor. A file has
at most 131,072 tensors. The layout follows the README of safetensors 0.8 (2026-05).
"""

import math
import re
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from zeropoint.checkpoints.base import TensorInfo
from zeropoint.checkpoints.dtypes import DTYPES
from zeropoint.checkpoints.files.json_scanner import JsonScanner
from zeropoint.checkpoints.source import SourceFile
from zeropoint.errors import CheckpointError, FormatError, printable
from zeropoint.formats import Format

MAX_HEADER_BYTES = 100_000_000  # the limit of the format
MAX_TENSORS = 131_072
NAME_BYTES = 4096
MAX_AXES = 32
METADATA_KEYS = 65_536
METADATA_BYTES = 1 << 24
# An entry as most writers make it. Other entries are read field by field.
_ENTRY = re.compile(
    rb'\{"dtype": ?"(?P<dtype>\w+)", ?"shape": ?\[(?P<shape>(?:N(?:, ?N)*+)?)\], ?'
    rb'"data_offsets": ?\[(?P<begin>N), ?(?P<end>N)\]\}'.replace(b"N", rb"(?:0|[1-9]\d{0,19})")
)
_METADATA = "__metadata__"
_NULL = re.compile(rb"null")
_FIELDS = ("dtype", "shape", "data_offsets")


@dataclass(frozen=True, slots=True)
class _Entry:
    place: int  # byte in the file
    format: Format
    shape: tuple[int, ...]
    begin: int
    end: int


def read_safetensors(file: SourceFile) -> tuple[dict[str, str], list[TensorInfo]]:
    """Return metadata and tensors of one file, in the order of its data, checked."""
    size, data = _read_header(file)
    scanner = JsonScanner(data, file.path, 8)
    metadata: dict[str, str] = {}
    tensors: list[TensorInfo] = []
    places = array("Q")  # byte offsets of the entries, for errors
    shapes: dict[tuple[int, ...], tuple[int, ...]] = {}  # equal shapes share one tuple
    for name in scanner.keys(MAX_TENSORS + 1, NAME_BYTES, "tensor"):
        if name == _METADATA:
            metadata = _read_metadata(scanner)
        else:
            entry = _read_entry(scanner, name)
            shape = shapes.setdefault(entry.shape, entry.shape)
            nbytes, offset = entry.end - entry.begin, 8 + size + entry.begin
            tensors.append(TensorInfo(name, shape, entry.format, nbytes, file.path, offset))
            places.append(entry.place)
        scanner.item = "header"
    scanner.end()
    return metadata, _check_data(file, 8 + size, tensors, places)


def _read_header(file: SourceFile) -> tuple[int, bytes]:
    def fail(reason: str, offset: int = 0) -> CheckpointError:
        return CheckpointError(file.path, reason, offset=offset, field="header length")

    if file.size < 8:
        raise fail(f"needs 8 bytes, but the file has {file.size}")
    (size,) = struct.unpack("<Q", file.read(0, 8).tobytes())
    if size > MAX_HEADER_BYTES:
        raise fail(f"{size} bytes exceed the limit of {MAX_HEADER_BYTES}")
    if size > file.size - 8:
        raise fail(f"needs {size} bytes, but the file has {file.size - 8} left")
    return size, file.read(8, size).tobytes()


def _read_metadata(scanner: JsonScanner) -> dict[str, str]:
    scanner.item = _METADATA
    metadata: dict[str, str] = {}
    if scanner.next() == b"n" and scanner.match(_NULL):  # as the library does
        return metadata
    start = scanner.position
    for key in scanner.keys(METADATA_KEYS, NAME_BYTES, "object"):
        metadata[key] = scanner.string(METADATA_BYTES, f"'{printable(key)}'")
        if scanner.position - start > METADATA_BYTES:
            scanner.fail(f"is larger than {METADATA_BYTES} bytes")
    return metadata


def _read_entry(scanner: JsonScanner, name: str) -> _Entry:
    scanner.item = f"tensor '{printable(name)}'"
    if not name.isprintable() or not name:
        scanner.fail("is empty or has characters that do not print", "name")
    scanner.next()
    place = scanner.position
    match = scanner.match(_ENTRY)
    format = DTYPES.get(match["dtype"].decode("latin-1")) if match else None
    if match and format and match["shape"].count(b",") < MAX_AXES:
        shape = tuple(map(int, match["shape"].split(b","))) if match["shape"] else ()
        offsets: tuple[int, ...] = (int(match["begin"]), int(match["end"]))
    else:
        scanner.position = place
        format, shape, offsets = _read_fields(scanner, place)
    _check_size(scanner, format, shape, offsets, place)
    return _Entry(8 + place, format, shape, *offsets)


def _read_fields(
    scanner: JsonScanner, place: int
) -> tuple[Format, tuple[int, ...], tuple[int, ...]]:
    format: Format | None = None
    shape: tuple[int, ...] | None = None
    offsets: tuple[int, ...] = ()
    for field in scanner.keys(3, 64, "entry"):
        scanner.next()
        at = scanner.position
        if field == "dtype":
            dtype = scanner.string(64, field)
            format = DTYPES.get(dtype)
            if format is None:
                scanner.fail(f"there is no type '{printable(dtype)}'", field, at=at)
        elif field == "shape":
            shape = scanner.numbers(MAX_AXES, field)
        elif field == "data_offsets":
            offsets = scanner.numbers(2, field)
            if len(offsets) != 2:
                scanner.fail("expected begin and end", field, at=at)
        else:
            scanner.fail(f"'{printable(field)}' is no field of a tensor", at=at)
    if format is None or shape is None or not offsets:
        scanner.fail(f"must have {', '.join(_FIELDS)}", at=place)
    return format, shape, offsets


def _check_size(
    scanner: JsonScanner,
    format: Format,
    shape: tuple[int, ...],
    offsets: tuple[int, ...],
    place: int,
) -> None:
    """Raise CheckpointError unless the distance of the offsets matches the shape."""
    if math.prod(length or 1 for length in shape) > 1 << 59:
        scanner.fail(f"{'×'.join(map(str, shape))} weights cannot be", "shape", at=place)
    try:
        format.for_shape(shape)
    except FormatError as error:
        scanner.fail(str(error), "shape", at=place)
    nbytes = math.prod(shape) // format.block_size * format.block_bytes
    if offsets[1] - offsets[0] != nbytes:
        reason = f"are {offsets[1] - offsets[0]} bytes apart, shape and type need {nbytes}"
        scanner.fail(reason, "data_offsets", at=place)


def _check_data(
    file: SourceFile, start: int, tensors: list[TensorInfo], places: Sequence[int]
) -> list[TensorInfo]:
    """Check that the tensors cover the data exactly, and return them in its order."""
    expected = start
    order = sorted(range(len(tensors)), key=lambda i: (tensors[i].offset, tensors[i].nbytes))
    for index in order:
        tensor = tensors[index]
        begin, end = tensor.offset - start, tensor.offset + tensor.nbytes - start
        reason = ""
        if tensor.offset < expected:
            reason = f"{begin} overlaps the tensor before it, which ends at {expected - start}"
        elif tensor.offset > expected:
            reason = f"{begin} leaves a gap after {expected - start}"
        elif start + end > file.size:
            reason = f"{end} is past the end of the data, which has {file.size - start} bytes"
        if reason:
            field = f"tensor '{printable(tensor.name)}' data_offsets"
            raise CheckpointError(file.path, reason, offset=places[index], field=field)
        expected = start + end
    if expected != file.size:
        reason = f"{file.size - expected} bytes follow the last tensor"
        raise CheckpointError(file.path, reason, offset=expected, field="end")
    return [tensors[index] for index in order]
