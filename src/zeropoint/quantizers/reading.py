"""Reads slabs one ahead of their use, and hashes the files while they pass by.

The hash is the SHA-256 of each whole file, the one that `sha256sum` and model hubs show. Tensors
stand in a file in the order in which they are read, so hashing costs no second read: only the gaps
between them are read besides. In a file of another order, and where what is read is not what the
file holds, the hash takes a second pass.
"""

import hashlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from zeropoint.checkpoints import Checkpoint, TensorInfo
from zeropoint.checkpoints.source import SourceFile
from zeropoint.formats import U8, QuantizedTensor
from zeropoint.quantizers.slabs import Slab

PIECE = 1 << 22  # bytes of a gap or a tail read together


class SlabReader:
    """Reads tensors of one checkpoint. A context manager: it owns a thread and file descriptors."""

    def __init__(self, source: Checkpoint) -> None:
        self.source = source
        self._hashes = {path: FileHash(path) for path in source.files}
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="zeropoint-read")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ahead.shutdown(wait=True, cancel_futures=True)
        for file in self._hashes.values():
            file.close()

    def slabs(
        self, info: TensorInfo, slabs: Iterator[Slab]
    ) -> Iterator[tuple[Slab, QuantizedTensor]]:
        """Yield each slab with its rows; the next is read while the caller works on this one."""
        waiting: tuple[Slab, Future[QuantizedTensor]] | None = None
        for slab in slabs:
            following = (slab, self._ahead.submit(self._read, info, slab))
            if waiting:
                yield waiting[0], waiting[1].result()
            waiting = following
        if waiting:
            yield waiting[0], waiting[1].result()

    def sha256(self) -> tuple[str, ...]:
        """Return the hash of each file, in their order, once all slabs were read."""
        return tuple(self._ahead.submit(file.finish).result() for file in self._hashes.values())

    def _read(self, info: TensorInfo, slab: Slab) -> QuantizedTensor:
        tensor = self.source.read_rows(info.name, slab.start, slab.stop)
        if self.source.verbatim:
            row_bytes = info.nbytes // info.rows if info.rows else 0
            self._hashes[info.file].take(info.offset + slab.start * row_bytes, tensor.data)
        return tensor


class FileHash:
    """The SHA-256 of a file whose parts pass by in order."""

    def __init__(self, path: Path) -> None:
        self._file = SourceFile(path)
        self._hash = hashlib.sha256()
        self._position: int | None = 0  # bytes hashed; None: parts came out of order

    def take(self, offset: int, data: U8) -> None:
        """Take in the bytes at `offset`, and read what lies between them and those before."""
        if self._position is None:
            return
        if offset < self._position:
            self._position = None
            return
        self._skip_to(self._position, offset)
        self._hash.update(data.data)
        self._position = offset + data.size

    def finish(self) -> str:
        """Read what is left, and return the hash."""
        if self._position is None:
            self._hash = hashlib.sha256()
            self._position = 0
        self._skip_to(self._position, self._file.size)
        self._file.check_unchanged()
        return self._hash.hexdigest()

    def close(self) -> None:
        self._file.close()

    def _skip_to(self, start: int, stop: int) -> None:
        for offset in range(start, stop, PIECE):
            self._hash.update(self._file.read(offset, min(PIECE, stop - offset)).data)
