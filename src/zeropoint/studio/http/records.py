"""Wire format of the worker's records: 4 bytes of length (big endian), then JSON.

The length comes first, so that a record of any permitted size is read whole
and one that is too large is recognized before it is read.
"""

import asyncio
import json
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

RECORD_BYTES = 64 << 20  # maximum of one record: 12 million activations as base64

_LENGTH = struct.Struct(">I")


class UnreadableRecord(Exception):
    """The stream does not continue with a record; nothing after this point can be read."""


class RecordReader:
    """Reads records from a stream. A cancelled `read` loses nothing: the next one continues it."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self._length: int | None = None  # of the record whose length has been read

    async def read(self) -> dict[str, Any]:
        """Return the next record.

        Raises EOFError at the end of the stream, UnreadableRecord for anything but a record.
        """
        if self._length is None:
            (length,) = _LENGTH.unpack(await self._stream.readexactly(_LENGTH.size))
            if length > RECORD_BYTES:
                raise UnreadableRecord(
                    f"a record of {length} bytes exceeds the limit of {RECORD_BYTES}"
                )
            self._length = length
        data = await self._stream.readexactly(self._length)
        self._length = None
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            raise UnreadableRecord("not JSON") from None
        if not isinstance(found, dict):
            raise UnreadableRecord("not a JSON object")
        return found


def write_record(stream: BinaryIO, record: Mapping[str, Any]) -> None:
    """Write one record and flush. Raises ValueError if it is larger than RECORD_BYTES."""
    data = json.dumps(record).encode()
    if len(data) > RECORD_BYTES:
        raise ValueError(f"a record of {len(data)} bytes exceeds the limit of {RECORD_BYTES}")
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()
