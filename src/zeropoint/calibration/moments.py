"""Second moments Σ x xᵀ of the inputs of each matrix, in a folder of memory-mappable files.

    DIR/run.json             what text and what model they are of (a run folder)
    DIR/TENSOR.npy           (columns, columns) float32: Σ x xᵀ over the rows
    DIR/TENSOR.EXPERT.npy    the same for one expert
    DIR/TENSOR.json          how many rows: {"rows": [n, ...]}, one for each expert
    DIR/TENSOR.diagonal.npy  (experts, columns) float32: what is left of moments that were reduced

Matrices with the same input share one file: attn_k and attn_v that of attn_q, ffn_up that of
ffn_gate.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zeropoint.calibration.moment_sums import add_second_moments, complete
from zeropoint.calibration.statistics import Calibration, InputStatistics
from zeropoint.checkpoints.source import SourceFile
from zeropoint.errors import CheckpointError
from zeropoint.formats import F32
from zeropoint.results.run_store import RunFolder

VERB = "second moments"  # of the run folder

SAME_INPUT = {
    "attn_k": "attn_q",
    "attn_v": "attn_q",
    "ffn_up": "ffn_gate",
    "ffn_up_exps": "ffn_gate_exps",
}


def input_of(name: str, names: Mapping[str, object] | Sequence[str]) -> str:
    """Return the matrix whose input `name` shares; `name` if it shares none.

    >>> input_of("blk.3.attn_v.weight", ["blk.3.attn_q.weight", "blk.3.attn_v.weight"])
    'blk.3.attn_q.weight'
    """
    layer, _, role = name.removesuffix(".weight").rpartition(".")
    first = f"{layer}.{SAME_INPUT.get(role, role)}.weight"
    return first if first in names else name


class MomentFolder:
    """Collects second moments for groups of matrices, writes them, and reads them again."""

    def __init__(self, run: RunFolder, threads: int = 1) -> None:
        self.run = run
        self.threads = threads  # to add with; the bits do not depend on it
        self.use: object = None  # what keeps the folder from being deleted
        self._sums: dict[str, F32] = {}  # (experts, columns, columns)
        self._rows: dict[str, NDArray[np.int64]] = {}

    @classmethod
    def start(
        cls,
        path: Path,
        inputs: Mapping[str, object],
        settings: Mapping[str, object],
        *,
        threads: int = 1,
    ) -> "MomentFolder":
        """Begin a folder, or resume the one in `path`; `RunFolder.start` explains the errors."""
        return cls(RunFolder.start(path, VERB, inputs, settings), threads)

    @classmethod
    def open(cls, path: Path) -> "MomentFolder":
        """Open a folder for reading. Raises CheckpointError if it holds no second moments."""
        run = RunFolder.open(path)
        if run.identity.get("verb") != VERB:
            raise CheckpointError(
                path,
                "holds no second moments; `zeropoint calibrate MODEL -o FILE --second-moments DIR`"
                " writes them",
            )
        return cls(run)

    @property
    def corpus(self) -> str:
        """SHA-256 of the text, 64 hexadecimal digits; empty if the folder does not record it."""
        return str(self._identity("inputs").get("corpus", ""))

    @property
    def chunks(self) -> int:
        """Number of chunks of the text that the model read."""
        return _count(self._identity("settings").get("chunks"))

    @property
    def context(self) -> int:
        """Number of tokens of each chunk."""
        return _count(self._identity("settings").get("context"))

    def _identity(self, key: str) -> Mapping[str, object]:
        entry = self.run.identity.get(key)
        return entry if isinstance(entry, dict) else {}

    def calibration(
        self, shapes: Mapping[str, tuple[int, ...]], *, complete: bool = True
    ) -> Calibration:
        """Return the importance of the matrices of these shapes: the diagonals of their moments.

        Each is read on first access. Matrices without moments have no entry, unless the folder is
        not `complete`: then all of them have one, and it may be read once its moments are there.
        """
        statistics = _Diagonals(self, shapes, complete=complete)
        return Calibration(statistics, self.chunks, self.context, corpus=self.corpus)

    def has(self, name: str) -> bool:
        """Return whether the folder already has the moments of this matrix."""
        return (self.run.path / f"{name}.json").exists()

    def groups(self, shapes: Mapping[str, tuple[int, ...]], limit: int) -> list[list[str]]:
        """Group the distinct inputs that are missing, with at most `limit` bytes per group."""
        groups: list[list[str]] = []
        used = limit + 1
        for name, shape in shapes.items():
            if input_of(name, shapes) != name or self.has(name):
                continue
            size = moment_bytes(shape)
            if used + size > limit:
                groups.append([])
                used = 0
            groups[-1].append(name)
            used += size
        return groups

    def begin(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Allocate the sums of these matrices."""
        for name, shape in shapes.items():
            experts = shape[0] if len(shape) == 3 else 1
            self._sums[name] = np.zeros((experts, shape[-1], shape[-1]), np.float32)
            self._rows[name] = np.zeros(experts, np.int64)

    def add(self, name: str, rows: F32, expert: int | None) -> None:
        """Add Σ x xᵀ of input rows, (n, columns) float32."""
        add_second_moments(self._sums[name][expert or 0], rows, self.threads)
        self._rows[name][expert or 0] += len(rows)

    def save(self, names: Sequence[str]) -> None:
        """Write the moments of these matrices, and free their memory."""
        for name in names:
            sums, rows = self._sums.pop(name), self._rows.pop(name)
            for expert, matrix in enumerate(sums):
                complete(matrix)
                self._save_array(_file(name, expert, len(sums)), matrix)
            self.run.save_table(name, {"rows": rows.tolist()})

    def reduce(self, names: Sequence[str]) -> None:
        """Keep the diagonals of the moments of these matrices only, and delete the rest."""
        for name in names:
            if not (self.run.path / _diagonal_file(name)).exists():
                self._save_array(_diagonal_file(name), self._diagonal(name))
            experts = len(self.rows(name))
            for expert in range(experts):
                (self.run.path / _file(name, expert, experts)).unlink(missing_ok=True)

    def rows(self, name: str) -> list[int]:
        """Return how many input rows each matrix (expert) of a tensor was given.

        Raises CheckpointError if the moments are missing or damaged.
        """
        table = self.run.load_table(name)
        rows = table.get("rows") if isinstance(table, dict) else None
        if not isinstance(rows, list) or not rows or not all(isinstance(n, int) for n in rows):
            raise CheckpointError(self.run.path / f"{name}.json", "is damaged; delete it")
        return rows

    def statistics(self, name: str) -> InputStatistics:
        """Return Σ x² of the inputs of a matrix: the diagonals of its moments."""
        reduced = (self.run.path / _diagonal_file(name)).exists()
        sums = self._load_array(_diagonal_file(name)) if reduced else self._diagonal(name)
        return InputStatistics(np.asarray(sums), np.array(self.rows(name), np.int64))

    def read(self, name: str, expert: int = 0) -> tuple[F32, int]:
        """Return Σ x xᵀ, (columns, columns) float32 mapped from its file, and the number of rows.

        Raises CheckpointError if it is missing or damaged.
        """
        rows = self.rows(name)
        if not 0 <= expert < len(rows):
            raise CheckpointError(self.run.path / f"{name}.json", "is damaged; delete it")
        path = self.run.path / _file(name, expert, len(rows))
        matrix = self._load_array(path.name)
        if matrix.shape[0] != matrix.shape[1]:
            raise CheckpointError(path, "is not a square matrix of float32; delete it")
        return matrix, rows[expert]

    def _diagonal(self, name: str) -> F32:
        """Return the diagonals of the moments of a tensor, (experts, columns) float32."""
        moments = [self.read(name, expert)[0] for expert in range(len(self.rows(name)))]
        return np.stack([np.diag(matrix) for matrix in moments]).astype(np.float32)

    def _save_array(self, file: str, array: F32) -> None:
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        self.run.save_bytes(file, buffer.getbuffer())  # not a second copy

    def _load_array(self, file: str) -> F32:
        path = self.run.path / file
        SourceFile(path).close()  # mapping a pipe or a device would wait
        try:
            self.run.confirm(path.name, np.memmap(path, np.uint8, "r"))
            array: F32 = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise CheckpointError(path, f"cannot be read: {error}") from None
        if array.ndim != 2 or array.dtype != np.float32:
            raise CheckpointError(path, "is not a matrix of float32; delete it")
        return array


class _Diagonals(Mapping[str, InputStatistics]):
    """Σ x² of each matrix, from the second moments of its inputs."""

    def __init__(
        self, moments: MomentFolder, shapes: Mapping[str, tuple[int, ...]], *, complete: bool
    ) -> None:
        self._moments = moments
        self._inputs = {name: input_of(name, shapes) for name in shapes}
        if complete:
            self._inputs = {name: one for name, one in self._inputs.items() if moments.has(one)}
        self._read: dict[str, InputStatistics] = {}  # by input: small, and asked for repeatedly

    def __getitem__(self, name: str) -> InputStatistics:
        shared = self._inputs[name]
        if shared not in self._read:
            self._read[shared] = self._moments.statistics(shared)
        return self._read[shared]

    def __iter__(self) -> Iterator[str]:
        return iter(self._inputs)

    def __len__(self) -> int:
        return len(self._inputs)


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _diagonal_file(name: str) -> str:
    return f"{name}.diagonal.npy"


def _file(name: str, expert: int, experts: int) -> str:
    return f"{name}.{expert}.npy" if experts > 1 else f"{name}.npy"


def moment_bytes(shape: tuple[int, ...]) -> int:
    """Return the bytes of the second moments of a matrix, over all experts."""
    return 4 * (shape[0] if len(shape) == 3 else 1) * shape[-1] ** 2


def folder_bytes(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return the bytes of the folder for these matrices."""
    return sum(moment_bytes(s) for n, s in shapes.items() if input_of(n, shapes) == n)
