"""Reads slabs of a checkpoint ahead of their use, and hashes its files along the way.

The hash is the SHA-256 of each whole file, as `sha256sum` and model hubs show it. Tensors are
usually read in the order of the file, so only the gaps between them are read in addition. A file
with another order, or whose tensors are converted while they are read, is read a second time.
"""

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

import numpy as np

from zeropoint.checkpoints import Checkpoint, TensorInfo
from zeropoint.checkpoints.source import SourceFile
from zeropoint.formats import U8, QuantizedTensor
from zeropoint.quantizers.slabs import Slab

READ_BYTES = 1 << 22  # of a gap or of the end of a file, at a time


class SlabReader:
    """Reads tensors of one checkpoint. A context manager: it has a thread and open files."""

    def __init__(self, source: Checkpoint) -> None:
        self.source = source
        self._hashes = {path: FileHash(path) for path in source.files}
        self._free: deque[U8] = deque()  # arrays of rows that were released
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="zeropoint-read")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ahead.shutdown(wait=True, cancel_futures=True)
        for file in self._hashes.values():
            file.close()

    def start(self, info: TensorInfo, slab: Slab) -> "Future[QuantizedTensor]":
        """Begin to read the rows of a slab; reads run one after the other, in the background."""
        return self._ahead.submit(self._read, info, slab)

    def release(self, rows: QuantizedTensor) -> None:
        """Let a later read use the memory of these rows, which nobody needs any more.

        New memory has to be cleared by the system, which takes as long as a copy.
        """
        owner = rows.data.base
        if self.source.verbatim and isinstance(owner, np.ndarray):
            self._free.append(owner)

    def sha256(self) -> tuple[str, ...]:
        """Return the hash of each file, in order, after all slabs were read."""
        return tuple(self._ahead.submit(file.finish).result() for file in self._hashes.values())

    def _read(self, info: TensorInfo, slab: Slab) -> QuantizedTensor:
        into = self._free.popleft() if self._free else None
        tensor = self.source.read_rows(info.name, slab.start, slab.stop, into=into)
        if self.source.verbatim:
            row_bytes = info.nbytes // info.rows if info.rows else 0
            self._hashes[info.file].take(info.offset + slab.start * row_bytes, tensor.data)
        return tensor


class FileHash:
    """The SHA-256 of a file, from parts that were read in order."""

    def __init__(self, path: Path) -> None:
        self._file = SourceFile(path)
        self._hash = hashlib.sha256()
        self._position: int | None = 0  # bytes hashed; None after a part out of order

    def take(self, offset: int, data: U8) -> None:
        """Add the bytes at `offset`; bytes between them and the previous part are read."""
        if self._position is None:
            return
        if offset < self._position:
            self._position = None
            return
        self._skip_to(self._position, offset)
        self._hash.update(data.data)
        self._position = offset + data.size

    def finish(self) -> str:
        """Read the rest of the file, and return the hash in hexadecimal."""
        if self._position is None:
            self._hash = hashlib.sha256()
            self._position = 0
        self._skip_to(self._position, self._file.size)
        self._file.check_unchanged()
        return self._hash.hexdigest()

    def close(self) -> None:
        self._file.close()

    def _skip_to(self, start: int, stop: int) -> None:
        for offset in range(start, stop, READ_BYTES):
            self._hash.update(self._file.read(offset, min(READ_BYTES, stop - offset)).data)
