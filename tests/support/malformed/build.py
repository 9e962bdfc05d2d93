"""Parts of files that are wrong in one place, and the place that the error must name."""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


class _At:
    """Stands in a list of parts where the error belongs."""


AT = _At()
Part = bytes | _At


@dataclass(frozen=True)
class Case:
    """A file, or several, that no reader may accept.

    `make(folder)` writes it and returns what to open. The error names the byte `offset`, where it
    can, and a field or reason in which `says` occurs.
    """

    name: str
    make: Callable[[Path], Path]
    says: str
    offset: int | None = None


def u32(value: int) -> bytes:
    return struct.pack("<I", value % 2**32)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value % 2**64)


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return u64(len(data)) + data


def key(name: str | bytes, kind: int, *value: bytes) -> bytes:
    return text(name) + u32(kind) + b"".join(value)


def array(kind: int, count: int, data: bytes = b"") -> bytes:
    return u32(kind) + u64(count) + data


def tensor(name: str | bytes, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    """Build an entry of the table; the shape is in ggml's order, last axis first."""
    axes = b"".join(map(u64, shape))
    return text(name) + u32(len(shape)) + axes + u32(kind) + u64(offset)


def head(tensors: int, keys: int, version: int = 3) -> bytes:
    return b"GGUF" + u32(version) + u64(tensors) + u64(keys)


def padded(data: bytes, alignment: int = 32) -> bytes:
    return data + bytes(-len(data) % alignment)


def join(parts: tuple[Part, ...]) -> tuple[bytes, int | None]:
    """Return all bytes, and how many of them stand before the mark."""
    offset = None
    data = bytearray()
    for part in parts:
        if isinstance(part, _At):
            offset = len(data)
        else:
            data += part
    return bytes(data), offset


def file_case(name: str, says: str, *parts: Part, suffix: str = ".gguf") -> Case:
    data, offset = join(parts)

    def make(folder: Path) -> Path:
        path = folder / f"case{suffix}"
        path.write_bytes(data)
        return path

    return Case(name, make, says, offset)


def with_data(header: bytes, *data: Part, alignment: int = 32) -> tuple[Part, ...]:
    return (padded(header, alignment), *data)


def header_json(header: object) -> bytes:
    """Build a safetensors header of plain JSON, with its length."""
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    return u64(len(data)) + data


def entry(
    begin: int = 0, end: int = 4, shape: tuple[int, ...] = (1,), dtype: str = "F32"
) -> dict[str, object]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
