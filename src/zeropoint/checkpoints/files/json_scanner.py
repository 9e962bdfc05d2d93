"""Reads JSON of a known shape directly from bytes, with the byte offset of every value.

A general parser creates objects for everything in the file: a header of 100 MB of `[],` would need
2 GB. This one expects a string, a number or a brace, and fails if something else follows.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from zeropoint.errors import CheckpointError, printable

_SPACE = re.compile(rb"[ \t\n\r]*+")
_STRING = re.compile(rb'"([^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+)"', re.DOTALL)
_KEY = re.compile(
    rb'[ \t\n\r]*+"([^"\\\x00-\x1f]*+)"[ \t\n\r]*+:[ \t\n\r]*+'
)  # a plain key, as most are
_NUMBER = re.compile(rb"(0|[1-9][0-9]{0,19})(?![0-9.eE+-])")
_ATOM = re.compile(rb"(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.+-])")
MAX_SKIPPED_VALUES = 65_536
MAX_DEPTH = 32


class JsonScanner:
    """A position in JSON text. `base` is the offset of the text in its file."""

    def __init__(self, data: bytes, path: Path, base: int = 0) -> None:
        self._data = data
        self._path = path
        self._base = base
        self.position = 0
        self.item = "header"
        self._skipped = 0

    def fail(self, reason: str, what: str = "", *, at: int | None = None) -> NoReturn:
        """Raise CheckpointError at byte `at` of the text (here, if not given)."""
        offset = self._base + (self.position if at is None else at)
        raise CheckpointError(
            self._path, reason, offset=offset, field=f"{self.item} {what}".strip()
        )

    def next(self) -> bytes:
        """Skip white space and return the next byte without consuming it; empty at the end."""
        byte = self._data[self.position : self.position + 1]
        if byte > b" " or not byte:
            return byte
        self.position = self._quote(self.position)
        return self._data[self.position : self.position + 1]

    def take(self, byte: bytes, what: str) -> None:
        """Consume this byte. Raises CheckpointError for any other one."""
        actual = self.next()
        if actual != byte:
            self.fail(f"expected '{byte.decode()}', found {_name(actual)}", what)
        self.position += 1

    def string(self, limit: int, what: str) -> str:
        """Read a string of at most `limit` bytes."""
        first = self.next()
        match = _STRING.match(self._data, self.position) if first == b'"' else None
        if not match:
            self.fail(f"expected a string, found {_name(first)}", what)
        if len(match[1]) > limit:
            self.fail(f"{len(match[1])} bytes are over the limit of {limit}", what)
        try:
            text = json.loads(match[0]) if b"\\" in match[1] else match[1].decode()
            text.encode()  # fails for an escape that is half of a surrogate pair
        except (UnicodeError, json.JSONDecodeError):
            self.fail("is not UTF-8 or has a wrong escape", what)
        self.position = match.end()
        return str(text)

    def number(self, what: str) -> int:
        """Read a whole number from 0 on, of at most 20 digits."""
        first = self.next()
        match = _NUMBER.match(self._data, self.position)
        if not match:
            self.fail(f"expected a whole number from 0 on, found {_name(first)}", what)
        self.position = match.end()
        return int(match[1])

    def numbers(self, limit: int, what: str) -> tuple[int, ...]:
        """Read an array of at most `limit` numbers."""
        self.take(b"[", what)
        numbers: list[int] = []
        while self.next() != b"]":
            if numbers:
                self.take(b",", what)
            if len(numbers) == limit:
                self.fail(f"there are more than {limit} numbers", what)
            numbers.append(self.number(what))
        self.position += 1
        return tuple(numbers)

    def keys(self, limit: int, key_bytes: int, what: str) -> Iterator[str]:
        """Step through an object: yield each key, once; the caller reads the value after it."""
        self.take(b"{", what)
        seen: set[str] = set()
        while self.next() != b"}":
            if seen:
                self.take(b",", what)
            at = self.position
            key = self._key(key_bytes, what)
            if key in seen:
                self.fail(f"'{printable(key)}' occurs twice", what, at=self._quote(at))
            if len(seen) == limit:
                self.fail(f"there are more than {limit} keys", what, at=self._quote(at))
            seen.add(key)
            yield key
        self.position += 1

    def match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Step over what matches here and return it, or stay and return None."""
        match = pattern.match(self._data, self.position)
        if match:
            self.position = match.end()
        return match

    def _key(self, limit: int, what: str) -> str:
        """Read a key and its colon; the plain ones, which are nearly all, at one stroke."""
        match = _KEY.match(self._data, self.position)
        if match and len(match[1]) <= limit:
            with contextlib.suppress(UnicodeDecodeError):
                key = match[1].decode()
                self.position = match.end()
                return key
        key = self.string(limit, what + " key")
        self.take(b":", what)
        return key

    def _quote(self, at: int) -> int:
        """Return the start of the string that follows `at` and white space."""
        match = _SPACE.match(self._data, at)
        return match.end() if match else at

    def skip(self, what: str, depth: int = 1) -> None:
        """Skip a value of any kind."""
        self._skipped += 1
        if self._skipped > MAX_SKIPPED_VALUES or depth > MAX_DEPTH:
            self.fail(
                f"has more than {MAX_SKIPPED_VALUES} values or is deeper than {MAX_DEPTH}", what
            )
        byte = self.next()
        if byte == b"{":
            for _ in self.keys(MAX_SKIPPED_VALUES, MAX_SKIPPED_VALUES, what):
                self.skip(what, depth + 1)
        elif byte == b"[":
            self.position += 1
            first = True
            while self.next() != b"]":
                if not first:
                    self.take(b",", what)
                first = False
                self.skip(what, depth + 1)
            self.position += 1
        elif byte == b'"':
            self.string(len(self._data), what)
        else:
            match = _ATOM.match(self._data, self.position)
            if not match:
                self.fail(f"expected a value, found {_name(byte)}", what)
            self.position = match.end()

    def end(self) -> None:
        """Raise CheckpointError unless only white space is left."""
        byte = self.next()
        if byte:
            self.fail(f"expected the end, found {_name(byte)}")


def _name(byte: bytes) -> str:
    return f"'{printable(byte.decode('latin-1'))}'" if byte else "the end"
