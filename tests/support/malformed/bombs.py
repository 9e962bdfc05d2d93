"""Small files that ask for much, and a program that measures what they get.

For each path on standard input it prints by how many bytes the resident memory of a process that
opens it peaks above what Python and numpy take by themselves, the processor time in seconds, and
how it ended.
"""

import os
import resource
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

from support.malformed.build import array, entry, head, header_json, key, padded, tensor, text, u32


def keys(count: int) -> bytes:
    return head(0, count) + b"".join(text(f"{n:x}") + u32(0) + b"\0" for n in range(count))


def strings(count: int, data: bytes) -> bytes:
    return head(0, 1) + key("a", 9, array(8, count)) + text(data) * count


def mixed_strings(count: int) -> bytes:
    """Short and long strings in turn: the fast way and the slow way at once."""
    pair = text(b"x" * 300) + text(b"")
    return head(0, 1) + key("a", 9, array(8, 2 * count)) + pair * count


def tensors(count: int) -> bytes:
    table = b"".join(tensor(f"{n:x}", (0,)) for n in range(count))
    return padded(head(count, 0) + table)


def wide_strings(count: int) -> bytes:
    value = text("🙂" + "x" * ((1 << 24) - 4))
    return head(0, count) + b"".join(text(f"{n}") + u32(8) + value for n in range(count))


def nested(count: int) -> bytes:
    return head(0, 1) + key("a", 9, array(9, count)) + array(0, 0) * count


def plain_tensors(count: int) -> bytes:
    def named(number: int) -> str:
        return f'"{number:x}":{{"dtype":"U8","shape":[],"data_offsets":[{number},{number + 1}]}}'

    return header_json(("{" + ",".join(map(named, range(count))) + "}").encode()) + bytes(count)


def json_bomb(start: bytes, piece: bytes, size: int) -> bytes:
    return header_json(start + piece * (size // len(piece)))


def mapped(number: int) -> bytes:
    return b'"%x":"a.safetensors"' % number


MB = 10**6
BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "40 bytes that ask for 2^62": ("gguf", lambda: head(0, 1) + key("a", 9, array(10, 2**59))),
    "a million keys": ("gguf", lambda: head(0, 10**6) + keys(99)[24:] + bytes(14 * MB)),
    "as many keys as may be": ("gguf", lambda: keys(65_536)),
    "20 MB of empty strings": ("gguf", lambda: strings(20 * MB // 8, b"")),
    "100 MB of empty strings": ("gguf", lambda: strings(100 * MB // 8, b"")),
    "20 MB of strings of one character": ("gguf", lambda: strings(20 * MB // 11, "€".encode())),
    "60 MB of long strings between empty ones": ("gguf", lambda: mixed_strings(60 * MB // 316)),
    "16 MB of bytes": (
        "gguf",
        lambda: head(0, 1) + key("a", 9, array(0, 1 << 24)) + bytes(1 << 24),
    ),
    "strings that Python widens fourfold": ("gguf", lambda: wide_strings(4)),
    "as many arrays in an array as may be": ("gguf", lambda: nested(65_536)),
    "a million tensors": ("gguf", lambda: head(10**6, 0) + bytes(33 * MB)),
    "as many tensors as may be": ("gguf", lambda: tensors(131_072)),
    "as many plain tensors as may be": ("safetensors", lambda: plain_tensors(131_072)),
    "more plain tensors than may be": ("safetensors", lambda: plain_tensors(150_000)),
    "20 MB of brackets": ("safetensors", lambda: json_bomb(b'{"a":', b"[", 20 * MB)),
    "20 MB of empty arrays": ("safetensors", lambda: json_bomb(b'{"a":[', b"[],", 20 * MB)),
    "20 MB of numbers": ("safetensors", lambda: json_bomb(b'{"a":{"shape":[', b"1,", 20 * MB)),
    "100 MB of spaces": ("safetensors", lambda: json_bomb(b"", b" ", 100 * MB)),
    "20 MB of escapes in a name": ("safetensors", lambda: json_bomb(b'{"', b"\\n", 20 * MB)),
    "16 MB of metadata": (
        "safetensors",
        lambda: header_json(b'{"__metadata__":{"a":"' + b"\\u20ac" * (15 * MB // 6) + b'"}}'),
    ),
    "65,536 keys of metadata": (
        "safetensors",
        lambda: header_json(
            b'{"__metadata__":{' + b",".join(b'"%x":""' % n for n in range(65_536)) + b"}}"
        ),
    ),
    "an index of 150,000 tensors": (
        "index.json",
        lambda: b'{"weight_map":{' + b",".join(map(mapped, range(150_000))) + b"}}",
    ),
    "an index with 20 MB of metadata": (
        "index.json",
        lambda: b'{"metadata":[' + b"[]," * (20 * MB // 3),
    ),
    "a config of empty objects": ("config.json", lambda: b'{"a":[' + b"{}," * 600_000 + b"{}]}"),
}  # fmt: skip


def write(name: str, folder: Path) -> tuple[Path, int]:
    """Write this bomb; return what to open, and how many bytes of it are header."""
    kind, make = BOMBS[name]
    data = make()
    if kind == "index.json":
        path = folder / "model.safetensors.index.json"
    elif kind == "config.json":
        (folder / "model.safetensors").write_bytes(header_json({"a": entry()}) + bytes(4))
        (folder / kind).write_bytes(data)
        return folder, len(data)
    else:
        path = folder / f"bomb.{kind}"
    path.write_bytes(data)
    size = len(data)
    if kind == "safetensors":
        size = min(struct.unpack("<Q", data[:8])[0], len(data))
    return path, size


def main() -> None:
    """Open each path that is read, in a process of its own in which all is imported already."""
    import zeropoint.checkpoints  # noqa: F401

    for line in sys.stdin:
        if os.fork() == 0:
            resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
            said = weigh(line.rstrip("\n"))
            sys.stdout.write(said + "\n")
            sys.stdout.flush()
            os._exit(0)
        _, status = os.wait()
        if status:
            sys.stdout.write(f"0 0 ended with {os.waitstatus_to_exitcode(status)}\n")
            sys.stdout.flush()


def weigh(path: str) -> str:
    """Open a file: bytes at the peak, seconds of processor time, and how it ended."""
    from zeropoint.checkpoints import open_checkpoint
    from zeropoint.errors import CheckpointError

    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    start = peak()
    began = time.process_time()
    try:
        open_checkpoint(path)
        result = "opened"
    except CheckpointError as error:
        result = f"refused {error}"
    seconds = time.process_time() - began
    return f"{peak() - start} {seconds} {result}"


def peak() -> int:
    """Return the largest resident size so far, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM: not Linux")


if __name__ == "__main__":
    main()
