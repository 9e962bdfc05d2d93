"""How the tensors of a GGUF file are made from those of a Hugging Face folder."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints.base import TensorInfo
from zeropoint.formats import F32

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class SourceRows:
    """Rows of one tensor of the folder, in order."""

    tensor: str
    rows: Rows


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


def renamed(name: str, info: TensorInfo) -> TensorSource:
    """Return the source of a tensor that only gets another name; vectors become float32."""
    return TensorSource(
        info.shape, [SourceRows(name, np.arange(info.rows))], as_f32=len(info.shape) == 1
    )
