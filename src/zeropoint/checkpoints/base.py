"""The interface of a checkpoint: tensors by name that are read on access, and metadata."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self

from zeropoint.checkpoints.names import OUTPUT
from zeropoint.checkpoints.source import U8, SourceFile
from zeropoint.errors import CheckpointError, printable
from zeropoint.formats import Format, QuantizedTensor

Kind = Literal["gguf", "safetensors"]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a checkpoint, as its header describes it."""

    name: str
    shape: tuple[int, ...]  # PyTorch's order, (rows, columns); () is a single number
    format: Format
    nbytes: int  # bytes of its blocks, without padding
    file: Path  # the file that holds it
    offset: int  # of its first byte in that file, in bytes

    @property
    def columns(self) -> int:
        """The number of weights in a row: the length of the last axis."""
        return self.shape[-1] if self.shape else 1

    @property
    def rows(self) -> int:
        """The number of rows over all leading axes."""
        return math.prod(self.shape[:-1])

    @property
    def elements(self) -> int:
        """The number of weights."""
        return math.prod(self.shape)


class Checkpoint:
    """The files of a model, open for reading; nothing is read before it is accessed.

    It is a context manager; its files also close when it is garbage-collected. Any number of
    threads may read. Every read ends with a check of the file's size and modification time: a file
    that changed since `open_checkpoint` raises CheckpointError.
    """

    path: Path  # as given by the caller
    kind: Kind
    metadata: Mapping[str, object]  # GGUF: see `values`; a folder: its config.json
    tensors: Mapping[str, TensorInfo]  # in the order of the files
    file_bytes: int  # bytes of all files that hold tensors
    places: Mapping[str, int]  # GGUF: byte offset of each key in the first file; a folder: empty
    verbatim = True  # a tensor's bytes are those of its file at its offset

    def __init__(
        self,
        path: Path,
        kind: Kind,
        sources: Iterable[SourceFile],
        metadata: Mapping[str, object],
        tensors: Iterable[TensorInfo],
        places: Mapping[str, int] | None = None,
    ) -> None:
        self.path = path
        self.kind = kind
        self.places = MappingProxyType(dict(places or {}))
        self._sources = {source.path: source for source in sources}
        self.metadata = MappingProxyType(dict(metadata))
        self.tensors = MappingProxyType({tensor.name: tensor for tensor in tensors})
        self.file_bytes = sum(source.size for source in self._sources.values())

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that hold the tensors, shards in order."""
        return tuple(self._sources)

    @property
    def tied_output(self) -> bool:
        """Whether the token embedding is the output matrix too: there is no output.weight."""
        return OUTPUT not in self.tensors

    def read(self, name: str) -> QuantizedTensor:
        """Return a tensor, copied into memory."""
        tensor = self._find(name)
        data = self._read(tensor, 0, tensor.nbytes)
        return QuantizedTensor(tensor.format, tensor.shape, self._blocks(tensor, data))

    def read_rows(
        self, name: str, start: int, stop: int, *, into: U8 | None = None
    ) -> QuantizedTensor:
        """Return rows start … stop − 1 of a tensor as a tensor of shape (stop − start, columns).

        Rows are counted over all leading axes: a (experts, rows, columns) tensor has
        experts · rows of them. The result may use the memory of `into`, a uint8 array of any size.
        Raises IndexError outside of 0 ≤ start ≤ stop ≤ rows.
        """
        tensor = self._find(name)
        if not 0 <= start <= stop <= tensor.rows:
            raise IndexError(f"{name} has {tensor.rows} rows; {start}:{stop} is outside of them")
        row_bytes = tensor.nbytes // tensor.rows if tensor.rows else 0
        data = self._read(tensor, start * row_bytes, (stop - start) * row_bytes, into)
        shape = (stop - start, tensor.columns)
        return QuantizedTensor(tensor.format, shape, self._blocks(tensor, data))

    def map(self, name: str) -> QuantizedTensor:
        """Return a tensor whose data is a read-only view of the mapped file.

        Nothing is copied. If the file is truncated while it is mapped, access kills the process;
        use `read` for data that is processed only once.
        """
        tensor = self._find(name)
        data = self._sources[tensor.file].view(tensor.offset, tensor.nbytes)
        return QuantizedTensor(tensor.format, tensor.shape, self._blocks(tensor, data))

    def check_unchanged(self) -> None:
        """Raise CheckpointError if any of the files changed since it was opened."""
        for source in self._sources.values():
            source.check_unchanged()

    def close(self) -> None:
        """Close the files; mapped tensors stay valid."""
        for source in self._sources.values():
            source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{self.kind} checkpoint {self.path}: {len(self.tensors)} tensors>"

    def _find(self, name: str) -> TensorInfo:
        try:
            return self.tensors[name]
        except KeyError:
            raise CheckpointError(self.path, f"has no tensor '{printable(name)}'") from None

    def _read(self, tensor: TensorInfo, start: int, count: int, into: U8 | None = None) -> U8:
        source = self._sources[tensor.file]
        data = source.read(tensor.offset + start, count, into)
        source.check_unchanged()
        return data

    @staticmethod
    def _blocks(tensor: TensorInfo, data: U8) -> U8:
        return data.reshape(-1, tensor.format.block_bytes)
