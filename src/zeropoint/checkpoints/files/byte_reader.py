"""Reads a header from front to back, and checks every length against the bytes that are left."""

import struct
from typing import NoReturn

from zeropoint.checkpoints.source import SourceFile
from zeropoint.errors import CheckpointError

WINDOW_BYTES = 1 << 20  # read at a time
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


class ByteReader:
    """A position in a file, with a window of bytes read ahead.

    `item` names what is being read ("tensor 3") in errors.
    """

    def __init__(self, file: SourceFile, limit: int) -> None:
        self.file = file
        self.item = "header"
        self.position = 0
        self._limit = limit  # maximum bytes of the whole header
        self._window = b""
        self._start = 0  # offset of the window in the file

    @property
    def left(self) -> int:
        """Bytes between here and the end of the file."""
        return self.file.size - self.position

    def fail(self, reason: str, what: str = "", *, at: int | None = None) -> NoReturn:
        """Raise CheckpointError at byte `at` (default: this position)."""
        offset = self.position if at is None else at
        field = f"{self.item} {what}".strip()
        raise CheckpointError(self.file.path, reason, offset=offset, field=field)

    def need(self, count: int, what: str) -> None:
        """Fail unless `count` more bytes are left."""
        if count > self.left:
            self.fail(f"{count} bytes are needed and {self.left} are left in the file", what)
        if self.position + count > self._limit:
            self.fail(f"the header is larger than {self._limit >> 20} MiB", what)

    def peek(self, count: int) -> tuple[bytes, int]:
        """Return a window, and where in it this position is; `count` bytes from there are in it."""
        at = self.position - self._start
        if at < 0 or at + count > len(self._window):
            size = min(max(count, WINDOW_BYTES), self.left)
            self._window = self.file.read(self.position, size).tobytes()
            self._start = self.position
            at = 0
        return self._window, at

    def take(self, count: int, what: str) -> bytes:
        """Return the next `count` bytes and step over them."""
        self.need(count, what)
        window, at = self.peek(count)
        self.position += count
        return window[at : at + count]

    def u32(self, what: str) -> int:
        """Read four bytes as an unsigned number."""
        self.need(4, what)
        window, at = self.peek(4)
        self.position += 4
        return int(_U32.unpack_from(window, at)[0])

    def u64(self, what: str) -> int:
        """Read eight bytes as an unsigned number."""
        self.need(8, what)
        window, at = self.peek(8)
        self.position += 8
        return int(_U64.unpack_from(window, at)[0])

    def count(self, limit: int, minimum: int, what: str) -> int:
        """Read a u64 count of items of at least `minimum` bytes each, up to `limit` items."""
        at = self.position
        number = self.u64(what)
        if number > limit:
            self.fail(f"{number} is over the limit of {limit}", what, at=at)
        if number * minimum > self.left:
            self.fail(
                f"{number} of at least {minimum} bytes each do not fit into the {self.left} bytes "
                "that are left in the file",
                what,
                at=at,
            )
        return number

    def text(self, limit: int, what: str) -> str:
        """Read a string: its length in bytes, then UTF-8."""
        length = self.count(limit, 1, what + " length")
        at = self.position
        data = self.take(length, what)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            self.fail("is not UTF-8", what, at=at + error.start)
