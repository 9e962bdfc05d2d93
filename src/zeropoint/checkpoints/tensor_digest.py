"""One digest over the tensors of a model: it changes with any weight, and with no metadata.

    SHA-256 of, for each tensor in the order of the file:
        its entry in GGUF's table without the offset: name, axes, type
        the bytes of its blocks, without padding

The digest of a model in several files is that of the same model in one file.
"""

import hashlib
from collections.abc import Iterator

from zeropoint.checkpoints.base import Checkpoint
from zeropoint.checkpoints.gguf_layout import table_entry
from zeropoint.checkpoints.layout import TensorLike
from zeropoint.formats import U8

SLAB_BYTES = 1 << 24  # read at once


class TensorDigest:
    """The digest of tensors whose bytes are given in order, in any number of pieces."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._current: str | None = None  # name of the tensor whose bytes come

    def add(self, tensor: TensorLike, data: U8) -> None:
        """Add the next bytes of a tensor; a tensor without bytes is added once, with none."""
        if tensor.name != self._current:
            self._hash.update(table_entry(tensor))
            self._current = tensor.name
        if data.size:
            self._hash.update(data.reshape(-1).data)

    def add_all(self, checkpoint: Checkpoint) -> Iterator[int]:
        """Read and add all tensors of a GGUF model; yield the bytes added so far after each slab.

        Raises CheckpointError for a file that cannot be read.
        """
        done = 0
        for info in checkpoint.tensors.values():
            row_bytes = info.nbytes // info.rows if info.rows else 0
            step = max(SLAB_BYTES // row_bytes, 1) if row_bytes else max(info.rows, 1)
            into: U8 | None = None
            for start in range(0, max(info.rows, 1), step):
                stop = min(start + step, info.rows)
                rows = checkpoint.read_rows(info.name, start, stop, into=into)
                self.add(info, rows.data)
                owner = rows.data.base
                into = owner if owner is not None and owner.dtype == rows.data.dtype else None
                done += rows.data.nbytes
                yield done

    def hexdigest(self) -> str:
        """Return the digest of what was added, in hexadecimal."""
        return self._hash.hexdigest()


def tensors_sha256(checkpoint: Checkpoint) -> str:
    """Return the digest of a GGUF model; all its weights are read. Raises CheckpointError."""
    digest = TensorDigest()
    for _ in digest.add_all(checkpoint):
        pass
    return digest.hexdigest()
