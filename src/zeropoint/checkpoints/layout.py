"""The position of each byte of an output, computed before the first one is written.

A layout has every file's header, tensors and size. Sizes can therefore be predicted to the byte,
and free space can be checked before anything starts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from zeropoint.errors import CheckpointError, printable
from zeropoint.formats import Format


class TensorLike(Protocol):
    """Tensor attributes that a writer requires; a `TensorInfo` has them."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def format(self) -> Format: ...


@dataclass(frozen=True)
class NewTensor:
    """A tensor to write."""

    name: str
    shape: tuple[int, ...]  # PyTorch's order
    format: Format


@dataclass(frozen=True)
class ByteSpan:
    """The position of a tensor's bytes in a file, and the number of zeros after them."""

    tensor: TensorLike
    offset: int
    nbytes: int
    padding: int


@dataclass(frozen=True)
class PlannedFile:
    """One file of an output."""

    path: Path
    header: bytes  # all bytes before the data, with padding
    spans: tuple[ByteSpan, ...]
    size: int


@dataclass(frozen=True)
class FileLayout:
    """All files of an output. Without its key file a set of files cannot be opened."""

    files: tuple[PlannedFile, ...]
    key: int = 0  # index of the key file
    limit: int | None = None  # maximum bytes of a file of a set

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def tensor_bytes(tensor: TensorLike) -> int:
    """Return the bytes of a tensor's blocks. Raises FormatError for rows of partial blocks."""
    format = tensor.format.for_shape(tensor.shape)
    return math.prod(tensor.shape) // format.block_size * format.block_bytes


def check_names(path: Path, tensors: Sequence[TensorLike]) -> None:
    """Raise CheckpointError if two tensors have the same name."""
    seen: set[str] = set()
    for tensor in tensors:
        if tensor.name in seen:
            raise CheckpointError(path, f"two tensors have the name '{printable(tensor.name)}'")
        seen.add(tensor.name)
