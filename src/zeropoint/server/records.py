"""Records between the two processes: JSON objects, each behind its length in four bytes."""

import json
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

Record = dict[str, Any]
LENGTH = struct.Struct(">I")
MAX_RECORD_BYTES = 256 << 20  # a longer one is not a record


def pack(record: Mapping[str, Any]) -> bytes:
    """Return the bytes of a record. NaN and infinities are an error, because JSON has none."""
    data = json.dumps(record, allow_nan=False, separators=(",", ":")).encode()
    return LENGTH.pack(len(data)) + data


def unpack_length(data: bytes) -> int:
    """Return the length of the record that follows. Raises ValueError if it is too large."""
    (length,) = LENGTH.unpack(data)
    if length > MAX_RECORD_BYTES:
        raise ValueError(f"a record of {length} bytes")
    return int(length)


def read_record(stream: BinaryIO) -> Record | None:
    """Return the next record, or None where the stream ends."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    length = unpack_length(head)
    data = stream.read(length)
    if len(data) < length:
        return None
    record: Record = json.loads(data)
    return record
