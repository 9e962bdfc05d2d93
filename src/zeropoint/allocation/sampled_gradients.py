"""What a prediction keeps of the gradients of a model: inputs, and gradients of sampled rows.

For a sampled row r with error Δw_r, and the sequences s,

    a[s, r] = Σ_t g[t, r] · ⟨x_t, Δw_r⟩  =  ⟨∂L_s/∂w_r, Δw_r⟩         over the tokens t of s

is the change of the loss of the sequence to first order. The inputs x and the gradients g of the
sampled rows take 4 · (columns + sampled rows) bytes per token; matrices with the same input share
its memory.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from zeropoint.allocation.sampled_errors import RowSample
from zeropoint.calibration import Calibration, InputSquares
from zeropoint.checkpoints import TensorInfo
from zeropoint.checkpoints.names import OUTPUT
from zeropoint.formats import F32

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

# Inputs (n, columns), gradients of the sampled rows (n, rows), and the sequence of each of the n.
Rows = tuple[F32, F32, I64]


class SampledGradients:
    """Collects gradients from a `GradientPass`, and the importance of the inputs."""

    def __init__(
        self, tensors: Mapping[str, TensorInfo], samples: Mapping[str, RowSample], output: str
    ) -> None:
        """`samples` are the rows of each tensor, and `output` is the name of the output matrix."""
        self.tensors = tensors
        self.samples = samples
        self.output = output
        self._products: dict[str, dict[int, list[Rows]]] = {}
        self._lookups: dict[str, list[tuple[I64, F32, I64]]] = {}
        self._squares = InputSquares()

    def add_products(
        self, name: str, expert: int | None, inputs: F32, gradients: F32, sequences: I64
    ) -> None:
        """Keep the inputs of a matrix, and the gradients of its sampled rows."""
        self._add_squares(name, expert or 0, inputs)
        if name not in self.samples:
            return
        matrix, count = expert or 0, self.tensors[name].shape[-2]
        sample = self.samples[name]
        rows = sample.rows[sample.of_expert(matrix, count)] - matrix * count
        parts = self._products.setdefault(name, {}).setdefault(matrix, [])
        parts.append((inputs, gradients[:, rows], sequences))

    def add_lookups(self, name: str, tokens: I64, gradients: F32, sequences: I64) -> None:
        """Keep the gradients of rows that were looked up; all of them have to be sampled."""
        if name in self.samples:
            places = np.searchsorted(self.samples[name].rows, tokens)
            self._lookups.setdefault(name, []).append((places, gradients, sequences))

    def first_order_changes(self, name: str, errors: F32, sequences: int, *, threads: int) -> F64:
        """Return a[s, r] for errors (rows, columns) of the sampled rows: (sequences, rows)."""
        changes = np.zeros((sequences, len(errors)))
        count = self.tensors[name].shape[-2]
        with threadpool_limits(threads):
            for matrix, parts in self._products.get(name, {}).items():
                columns = self.samples[name].of_expert(matrix, count)
                for inputs, gradients, numbers in parts:
                    if len(numbers):
                        terms = (inputs @ errors[columns].T) * gradients
                        starts = np.flatnonzero(np.diff(numbers, prepend=-1))
                        sums = np.add.reduceat(terms, starts, axis=0, dtype=np.float64)
                        changes[numbers[starts], columns] += sums
        for places, gradients, numbers in self._lookups.get(name, []):
            terms = np.einsum("tj,tj->t", gradients, errors[places], dtype=np.float64)
            np.add.at(changes, (numbers, places), terms)
        return changes

    def forget(self, name: str) -> None:
        """Free the memory of a tensor's gradients."""
        self._products.pop(name, None)
        self._lookups.pop(name, None)

    def calibration(self, chunks: int, chunk_tokens: int, corpus: str) -> Calibration:
        """Return the importance of the inputs that were collected, under GGUF names."""
        return Calibration(self._squares.statistics(), chunks, chunk_tokens, corpus=corpus)

    def _add_squares(self, name: str, matrix: int, inputs: F32) -> None:
        name = OUTPUT if name == self.output else name
        shape = self.tensors[self.output if name == OUTPUT else name].shape
        self._squares.begin(name, shape[0] if len(shape) > 2 else 1, shape[-1])
        self._squares.add(name, inputs, matrix)
