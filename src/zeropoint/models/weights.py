"""A model's tensors as the engines use them: packed matrices, vectors, single rows."""

from collections.abc import Container, Iterable, Iterator
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zeropoint import kernels
from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.names import is_matrix
from zeropoint.errors import CheckpointError
from zeropoint.formats import F32, FORMATS, U8, QuantizedTensor
from zeropoint.models.base import ForwardHook, Mode
from zeropoint.models.layer_inputs import TABLE, LayerInputs

if TYPE_CHECKING:
    from zeropoint.kernels._native import PackedMatrix

PANEL_ROWS = 16  # rows; slabs start at multiples of it
SLAB_BYTES = 16 << 20  # bytes that are read and packed at a time


class Weights:
    """Reads each tensor once; matrices stay quantized and are repacked for the products."""

    def __init__(self, checkpoint: Checkpoint, *, mode: Mode, threads: int) -> None:
        self.checkpoint = checkpoint
        self.mode: Mode = mode
        self.threads = threads
        self.hooks: dict[str, ForwardHook] = {}
        self._matrices: dict[str, list[PackedMatrix]] = {}  # one matrix, or one per expert
        self._vectors: dict[str, F32] = {}
        self._tables: dict[str, QuantizedTensor] = {}  # replaced embeddings

    def load(self, names: Iterable[str], *, pack: bool = True, later: Container[str] = ()) -> None:
        """Read these tensors: matrices are packed, the others become float32.

        Without `pack`, matrices are not read. Matrices among `later` are not read either; `replace`
        supplies them.
        """
        for name in names:
            info = self.checkpoint.tensors[name]
            if not is_matrix(name, info.shape):
                self._vectors[name] = self._finite(name, decode(self.checkpoint.read(name)))
            elif pack:
                self._matrices[name] = [] if name in later else self._read_matrices(name)

    def names(self) -> set[str]:
        """Return the names of the tensors that have been read or supplied."""
        return {*self._matrices, *self._vectors}

    @property
    def complete(self) -> bool:
        """Whether all matrices have been read or supplied."""
        return all(self._matrices.values())

    def replace(self, name: str, tensor: QuantizedTensor) -> None:
        """Use `tensor` instead of the one in the file."""
        if name not in self.checkpoint.tensors:
            raise CheckpointError(self.checkpoint.path, "the file has no such tensor", field=name)
        wanted = self.checkpoint.tensors[name].shape
        if tensor.shape != wanted:
            raise CheckpointError(
                self.checkpoint.path,
                f"cannot be replaced by a tensor of shape {tensor.shape}",
                field=name,
            )
        if tensor.format.block_size > wanted[-1]:  # one block for the whole tensor, not per row
            flat = kernels.decode(tensor.format, tensor.data, threads=self.threads)
            tensor = QuantizedTensor(FORMATS["F32"], wanted, flat.reshape(-1, 1).view(np.uint8))
        if name in self._vectors:
            self._vectors[name] = self._finite(name, decode(tensor))
        elif name in self._matrices:
            experts = prod(wanted[:-2])
            parts = tensor.data.reshape(experts, -1, tensor.format.block_bytes)
            self._matrices[name] = [
                kernels.pack_slabs(tensor.format, wanted[-2:], [part], threads=self.threads)
                for part in parts
            ]
        else:
            self._tables[name] = tensor

    def vector(self, name: str) -> F32:
        """Return a tensor that is no matrix, usually of one axis: float32."""
        return self._vectors[name]

    def matrices(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the matrices that multiply."""
        return {name: self.checkpoint.tensors[name].shape for name in self._matrices}

    def packed(self, name: str) -> "list[PackedMatrix]":
        """Return a packed matrix, or those of all experts, in a list."""
        return self._matrices[name]

    def tensor(self, name: str) -> QuantizedTensor:
        """Return a tensor as it is stored in the file, or the table that replaced it."""
        return self._tables.get(name) or self.checkpoint.read(name)

    def look_up(self, inputs: LayerInputs | None, tokens: NDArray[np.integer]) -> F32 | None:
        """Return the rows (…, layers · size) of the table of layers' own inputs, if there are any.

        `tokens` may have any shape.
        """
        if inputs is None:
            return None
        return self.rows(TABLE, tokens.reshape(-1)).reshape(*tokens.shape, -1)

    def rows(self, name: str, indices: NDArray[np.integer]) -> F32:
        """Return decoded rows of a matrix: (n,) indices give (n, columns) float32.

        An untied embedding is not held in memory: its rows are read from the file on access.
        """
        if name in self._matrices:
            wanted = indices.astype(np.int64)
            return kernels.unpack_rows(self._matrices[name][0], wanted, threads=self.threads)
        unique, places = np.unique(indices, return_inverse=True)
        table = self._tables.get(name)
        if table is not None:
            format, blocks = table.format, table.data.reshape(table.shape[0], -1)[unique]
        else:
            format = self.checkpoint.tensors[name].format
            read = self.checkpoint.read_rows
            blocks = np.stack([read(name, i, i + 1).data.reshape(-1) for i in unique.tolist()])
        flat = np.ascontiguousarray(blocks).reshape(-1, format.block_bytes)
        decoded = kernels.decode(format, flat, threads=self.threads)
        return decoded.reshape(len(unique), -1)[places]

    def slabs(self, name: str, expert: int | None, weights: int) -> Iterator[tuple[int, F32]]:
        """Yield a matrix as decoded slabs of rows with the number of their first row.

        A slab has at most `weights` weights, or one row: (rows, columns) float32.
        """
        packed = self._matrices[name][expert or 0]
        step = max(1, weights // packed.columns)
        for start in range(0, packed.rows, step):
            rows = np.arange(start, min(start + step, packed.rows))
            yield start, kernels.unpack_rows(packed, rows, threads=self.threads)

    def multiply(
        self, name: str, rows: F32, expert: int | None = None, outputs: range | None = None
    ) -> F32:
        """Return rows · Wᵀ: (n, in) float32 gives (n, out), or the range `outputs` of it."""
        hook = self.hooks.get(name)
        if hook is not None:
            hook(rows, expert)
        packed = self._matrices[name][expert or 0]
        return kernels.matmul(packed, rows, rows=outputs, mode=self.mode, threads=self.threads)

    def _read_matrices(self, name: str) -> "list[PackedMatrix]":
        info = self.checkpoint.tensors[name]
        rows, shape = info.shape[-2], info.shape[-2:]
        return [
            kernels.pack_slabs(
                info.format, shape, self._slabs(name, first, rows), threads=self.threads
            )
            for first in range(0, info.rows, rows)
        ]

    def _slabs(self, name: str, first: int, count: int) -> Iterator[U8]:
        """Yield rows first … first + count − 1 in slabs of whole panels."""
        info = self.checkpoint.tensors[name]
        row_bytes = max(1, info.nbytes // info.rows)
        step = max(1, SLAB_BYTES // row_bytes // PANEL_ROWS) * PANEL_ROWS
        for start in range(first, first + count, step):
            yield self.checkpoint.read_rows(name, start, min(start + step, first + count)).data

    def _finite(self, name: str, values: F32) -> F32:
        if not np.isfinite(values).all():
            raise CheckpointError(
                self.checkpoint.path, "holds a value that is not finite", field=name
            )
        return values


def decode(tensor: QuantizedTensor) -> F32:
    """Return a tensor as float32."""
    return kernels.decode(tensor.format, tensor.data).reshape(tensor.shape)
