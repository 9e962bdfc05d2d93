"""Where each byte of an output will stand, known before the first is written.

Pure arithmetic: a plan has every file's header, tensors and size, so sizes can be predicted to the
byte and space can be checked before anything starts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from zeropoint.errors import CheckpointError, printable
from zeropoint.formats import Format


class TensorLike(Protocol):
    """What a writer has to know of a tensor: a `TensorInfo` will do."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def format(self) -> Format: ...


@dataclass(frozen=True)
class NewTensor:
    """A tensor that is to be written."""

    name: str
    shape: tuple[int, ...]  # PyTorch's order
    format: Format


@dataclass(frozen=True)
class ByteSpan:
    """Where a tensor's bytes stand in a file, and how many zeros follow them."""

    tensor: TensorLike
    offset: int
    nbytes: int
    padding: int


@dataclass(frozen=True)
class PlannedFile:
    """One file of an output."""

    path: Path
    header: bytes  # everything before the data, padding included
    spans: tuple[ByteSpan, ...]
    size: int


@dataclass(frozen=True)
class FileLayout:
    """All files of an output. Nothing opens a set of files without its key file."""

    files: tuple[PlannedFile, ...]
    key: int = 0  # index of the key file
    limit: int | None = None  # bytes that no file of a set was to exceed

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def tensor_bytes(tensor: TensorLike) -> int:
    """Bytes of a tensor's blocks. Raises FormatError if its rows are no whole blocks."""
    format = tensor.format.for_shape(tensor.shape)
    return math.prod(tensor.shape) // format.block_size * format.block_bytes


def check_names(path: Path, tensors: Sequence[TensorLike]) -> None:
    """Raise CheckpointError if two tensors have one name."""
    seen: set[str] = set()
    for tensor in tensors:
        if tensor.name in seen:
            raise CheckpointError(path, f"two tensors are named '{printable(tensor.name)}'")
        seen.add(tensor.name)
