"""How the tensors of a GGUF file are made from those of a Hugging Face folder."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints.base import Checkpoint, TensorInfo
from zeropoint.formats import F32, Format, QuantizedTensor

Rows = NDArray[np.int64]


class RowReader(Protocol):
    """Reads rows (over all leading axes of GGUF's order) of one tensor of a folder."""

    def read(self, folder: Checkpoint, name: str, low: int, high: int) -> QuantizedTensor:
        """Return the rows low … high − 1 as a tensor of shape (high − low, columns)."""


@dataclass(frozen=True)
class StoredRows:
    """The rows are stored as they are."""

    def read(self, folder: Checkpoint, name: str, low: int, high: int) -> QuantizedTensor:
        """Return the rows low … high − 1 as a tensor of shape (high − low, columns)."""
        return folder.read_rows(name, low, high)


@dataclass(frozen=True)
class SourceRows:
    """Rows of one tensor of the folder, in order."""

    tensor: str
    rows: Rows
    reader: RowReader = StoredRows()


@dataclass
class TensorSource:
    """How a GGUF tensor is made: rows of the folder's tensors and changes to them."""

    shape: tuple[int, ...]
    parts: list[SourceRows] = field(default_factory=list)
    constant: F32 | None = None  # the values of a computed tensor
    columns: Rows | None = None  # the order of columns, or of elements of a one-dimensional tensor
    negative_exponential: bool = False  # −e^x
    add: float = 0.0
    ternary: bool = False
    as_f32: bool = False
    format: Format | None = None  # None: that of the first part


def renamed(name: str, info: TensorInfo) -> TensorSource:
    """Return the source of a tensor that only gets another name; vectors become float32."""
    return TensorSource(
        info.shape, [SourceRows(name, np.arange(info.rows))], as_f32=len(info.shape) == 1
    )
