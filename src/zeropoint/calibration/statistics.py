"""Statistics of the inputs of each layer on a text: the importance of every input column.

For a matrix with input x, a change Δw of a weight in column j changes the output by x_j · Δw. The
mean squared change over the text gives the importance

    importance_j = Σ x_j² / rows        over the rows (tokens) that the matrix was given

This is the diagonal of the second moment of the inputs, and llama.cpp calls a file of it an
imatrix. Such files are read and written here byte for byte as in llama.cpp (GGUF, since its pull
request 9400; the older `.dat` is only read). All of their contents are checked.

Values that replace missing data, and why:

| Case | Importance |
|---|---|
| a tensor without an entry | none: all columns count the same |
| an expert that was never chosen (count 0) | ones, as in llama.cpp: its inputs are unknown |
| a matrix whose columns were all zero | ones: with zeros, any weights would be as good |
| single columns that were always zero | zero, as measured: errors in them change nothing |

The coverage report counts all of them (see `coverage`).
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.calibration.legacy import read_legacy
from zeropoint.checkpoints import (
    Checkpoint,
    NewTensor,
    StringArray,
    create_checkpoint,
    open_checkpoint,
)
from zeropoint.checkpoints.names import TOKEN_EMBEDDING
from zeropoint.checkpoints.source import SourceFile
from zeropoint.errors import CheckpointError, MeasurementError, printable
from zeropoint.formats import F32, FORMATS

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

SUMS, COUNTS = ".in_sum2", ".counts"
DATASETS, CHUNKS, CHUNK_TOKENS = (
    "imatrix.datasets",
    "imatrix.chunk_count",
    "imatrix.chunk_size",
)
CORPUS = "zeropoint.corpus"  # hash of the text; llama.cpp ignores the key
PLANNED = "zeropoint.planned_chunks"  # only in a file of a calibration that was interrupted
LEGACY_CHUNK_TOKENS = 512  # llama.cpp assumes it for files that do not state it
MAX_COUNT = 2**53


@dataclass(frozen=True)
class InputStatistics:
    """Sums over the inputs of one tensor, one row for each of its matrices (experts).

    A dense tensor of three axes has one count for all of them, and its sums are one row.
    """

    sums: F32  # (matrices, columns): Σ x², ≥ 0
    counts: I64  # (matrices,): rows that were summed

    def __post_init__(self) -> None:
        if self.sums.ndim != 2 or self.counts.shape != self.sums.shape[:1]:
            raise ValueError(f"sums {self.sums.shape} and counts {self.counts.shape} do not match")

    @property
    def mean(self) -> F32:
        """Importance as float32: (columns,) of one matrix, (matrices, columns) of several.

        The table above lists the values that replace missing data.
        """
        counts = self.counts.astype(np.float32)[:, None]
        # As in ggml, a float32 sum is divided by a float32 count.
        mean = np.divide(self.sums, counts, out=np.ones_like(self.sums), where=counts > 0)
        mean = ones_for_nothing(mean)
        return mean[0] if len(mean) == 1 else mean


class InputSquares:
    """Σ x² and the number of the inputs of tensors, while they are collected."""

    def __init__(self) -> None:
        self.sums: dict[str, F64] = {}  # by tensor: (matrices, columns)
        self._counts: dict[str, I64] = {}

    def begin(self, name: str, matrices: int, columns: int) -> None:
        """Start with nothing for a tensor, unless it is known already."""
        self.sums.setdefault(name, np.zeros((matrices, columns)))
        self._counts.setdefault(name, np.zeros(matrices, np.int64))

    def add(self, name: str, rows: F32, matrix: int) -> None:
        """Add the inputs (n, columns) of one matrix of a tensor; they are summed in float64."""
        wide = rows.astype(np.float64)
        self.sums[name][matrix] += np.einsum("ij,ij->j", wide, wide)
        self._counts[name][matrix] += len(rows)

    def statistics(self) -> dict[str, InputStatistics]:
        """Return the sums so far, by tensor."""
        return {
            name: InputStatistics(sums.astype(np.float32), self._counts[name])
            for name, sums in self.sums.items()
        }


def ones_for_nothing(importance: F32) -> F32:
    """Replace rows of (matrices, columns) that are all zero with ones, in place."""
    importance[~importance.any(axis=1)] = 1
    return importance


class Importance(Mapping[str, F32]):
    """Importance by tensor name, computed on access."""

    def __init__(self, statistics: Mapping[str, InputStatistics]) -> None:
        self._statistics = statistics

    def __getitem__(self, name: str) -> F32:
        return self._statistics[name].mean

    def __iter__(self) -> Iterator[str]:
        return iter(self._statistics)

    def __len__(self) -> int:
        return len(self._statistics)


@dataclass(frozen=True)
class Calibration:
    """Statistics of the inputs of each layer, from `tokens` tokens of a corpus."""

    statistics: Mapping[str, InputStatistics]  # by tensor name; may read a file on access
    chunks: int  # texts of `chunk_tokens` tokens that the model read
    chunk_tokens: int
    datasets: tuple[str, ...] = ()  # names of the texts, as in the file
    corpus: str = ""  # SHA-256 of the texts; "" if unknown
    planned: int | None = None  # chunks, if the calibration was interrupted before it read them all
    hessians: Mapping[str, F32] = field(default_factory=dict)  # (columns, columns): mean of x xᵀ

    @property
    def importance(self) -> Mapping[str, F32]:
        """Importance, (columns,) or (experts, columns), of each tensor that has an entry."""
        return Importance(self.statistics)

    @property
    def tokens(self) -> int:
        """Number of tokens that the model read."""
        return self.chunks * self.chunk_tokens


def read_imatrix(path: Path | str) -> Calibration:
    """Read an importance matrix of llama.cpp, in GGUF or in the older `.dat`.

    All of it is checked now, with one tensor in memory at a time, and read again on access, so that
    memory does not grow with the model. Raises CheckpointError for a file that is missing or
    malformed, or has values that are negative or not finite.
    """
    path = Path(path)
    file = SourceFile(path)
    start = file.read(0, min(file.size, 4)).tobytes()
    if start != b"GGUF":
        old = read_legacy(file)
        # As in llama.cpp, the means count as sums over chunks of 512 rows.
        entries = {
            name: InputStatistics(
                values[None] * np.float32(LEGACY_CHUNK_TOKENS),
                np.array([calls * LEGACY_CHUNK_TOKENS]),
            )
            for name, (values, calls) in old.entries.items()
        }
        for name, entry in entries.items():
            _check(path, name, entry.sums, entry.counts.astype(np.float64))
        names = (old.dataset,) if old.dataset else ()
        return Calibration(MappingProxyType(entries), old.chunks, LEGACY_CHUNK_TOKENS, names)
    file.close()
    checkpoint = open_checkpoint(path)
    metadata = checkpoint.metadata
    kind = metadata.get("general.type", "imatrix")
    if not isinstance(kind, str) or kind != "imatrix":  # an array would not compare to one value
        reason = f"is {printable(str(kind))!r}, not an importance matrix"
        raise CheckpointError(path, reason, field="general.type")
    datasets = metadata.get(DATASETS)
    if not isinstance(datasets, StringArray):
        reason = "is missing or not a list of names" + (
            "; this is a model, not an importance matrix" if TOKEN_EMBEDDING in
            checkpoint.tensors else "")  # fmt: skip
        raise CheckpointError(path, reason, field=DATASETS)
    chunks, planned = _number(checkpoint, CHUNKS), None
    if PLANNED in metadata:
        planned = _number(checkpoint, PLANNED)
        logging.getLogger(__name__).warning(
            "%s: holds %d of %d chunks, because the calibration was interrupted; calibrate again"
            " for the importance of the whole text", path, chunks, planned,
        )  # fmt: skip
    return Calibration(
        statistics=FileStatistics(checkpoint),
        chunks=chunks,
        chunk_tokens=_number(checkpoint, CHUNK_TOKENS),
        datasets=tuple(datasets),
        corpus=str(metadata.get(CORPUS, "")),
        planned=planned,
    )


class FileStatistics(Mapping[str, InputStatistics]):
    """The entries of a GGUF file, each read and checked on access."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        tensors = checkpoint.tensors
        self._names = sorted(name.removesuffix(SUMS) for name in tensors if name.endswith(SUMS))
        for name in sorted(name.removesuffix(COUNTS) for name in tensors if name.endswith(COUNTS)):
            if name + SUMS not in tensors:
                self._fail(name, f"has {COUNTS} but no {SUMS}")
        if not self._names:
            raise CheckpointError(checkpoint.path, f"has no tensor that ends with {SUMS}")
        for name in self._names:
            self[name]

    def __getitem__(self, name: str) -> InputStatistics:
        if name + SUMS not in self._checkpoint.tensors:
            raise KeyError(name)
        if name + COUNTS not in self._checkpoint.tensors:
            self._fail(name, f"has {SUMS} but no {COUNTS}")
        sums, counts = self._floats(name + SUMS), self._floats(name + COUNTS)
        if not counts.size or not sums.size or sums.size % counts.size:
            self._fail(name, f"has {sums.size} sums for {counts.size} counts")
        sums = sums.reshape(counts.size, -1)
        _check(self._checkpoint.path, name, sums, counts)
        return InputStatistics(sums, np.rint(counts).astype(np.int64))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _floats(self, name: str) -> NDArray[Any]:
        tensor = self._checkpoint.read(name)
        if tensor.format.name != "F32":
            self._fail(name, f"is {tensor.format.name}; sums and counts are F32")
        return tensor.data.reshape(-1).view("<f4")

    def _fail(self, name: str, reason: str) -> None:
        raise CheckpointError(self._checkpoint.path, reason, field=f"tensor '{printable(name)}'")


def write_imatrix(
    path: Path | str,
    calibration: Calibration,
    *,
    sources: Sequence[Path] = (),
    overwrite: bool = True,
    planned: int | None = None,
) -> None:
    """Write a calibration byte for byte as llama.cpp's `llama-imatrix` does.

    If `corpus` is known, there is one key more, and another one for a calibration that was
    interrupted before it read all `planned` chunks. The name must end in .gguf. The file appears
    when it is complete. Raises CheckpointError if the path is one of `sources` under any name, or
    exists and `overwrite` is false; NotEnoughSpace before anything is written.
    """
    metadata: dict[str, object] = {
        "general.type": "imatrix",
        DATASETS: StringArray.of(calibration.datasets),
        CHUNKS: np.uint32(calibration.chunks),
        CHUNK_TOKENS: np.uint32(calibration.chunk_tokens),
    }
    if calibration.corpus:
        metadata[CORPUS] = calibration.corpus
    if planned is not None:
        metadata[PLANNED] = np.uint32(planned)
    names = sorted(calibration.statistics, key=str.encode)
    tensors: list[NewTensor] = []
    for name in names:
        matrices, columns = calibration.statistics[name].sums.shape
        # As in ggml, a last axis of 1 is not written.
        several = matrices > 1
        tensors += (
            NewTensor(name + SUMS, (matrices, columns) if several else (columns,), FORMATS["F32"]),
            NewTensor(name + COUNTS, (matrices, 1) if several else (1,), FORMATS["F32"]),
        )
    with create_checkpoint(path, tensors, metadata, sources=sources, overwrite=overwrite) as writer:
        for name in names:
            entry = calibration.statistics[name]
            for suffix, values in ((SUMS, entry.sums), (COUNTS, entry.counts)):
                data = np.ascontiguousarray(values, "<f4").reshape(-1)
                writer.write(name + suffix, data.view(np.uint8))


def merge(calibrations: Iterable[Calibration]) -> Calibration:
    """Add up sums and counts, as if one model had read all the texts.

    Where one file has a single count and another has several, the single count is used for each of
    them, as in llama.cpp. Raises MeasurementError for tensors of different sizes, or without any
    calibration.
    """
    parts = list(calibrations)
    if not parts:
        raise MeasurementError("there is no calibration to merge")
    merged: dict[str, InputStatistics] = {}
    for part in parts:
        for name, entry in part.statistics.items():
            merged[name] = _add(name, merged[name], entry) if name in merged else entry
    chunk_tokens = parts[0].chunk_tokens
    tokens = sum(part.tokens for part in parts)
    hashes = [part.corpus for part in parts]
    joined = hashlib.sha256("\n".join(hashes).encode()).hexdigest() if all(hashes) else ""
    return Calibration(
        statistics=MappingProxyType(merged),
        chunks=tokens // chunk_tokens if chunk_tokens else 0,
        chunk_tokens=chunk_tokens,
        datasets=tuple(name for part in parts for name in part.datasets),
        corpus=hashes[0] if len(parts) == 1 else joined,
    )


def _add(name: str, first: InputStatistics, second: InputStatistics) -> InputStatistics:
    if first.sums.size != second.sums.size:
        raise MeasurementError(
            f"'{printable(name)}' has {first.sums.size} columns in one calibration and "
            f"{second.sums.size} in another, so they belong to different models"
        )
    matrices = max(len(first.counts), len(second.counts))
    if matrices % len(first.counts) or matrices % len(second.counts):
        raise MeasurementError(f"'{printable(name)}' has different numbers of experts")
    # Added in float64 and rounded once.
    sums = first.sums.astype(np.float64).reshape(matrices, -1)
    sums += second.sums.reshape(matrices, -1)
    counts = first.counts.repeat(matrices // len(first.counts))
    counts = counts + second.counts.repeat(matrices // len(second.counts))
    return InputStatistics(sums.astype(np.float32), counts)


def _number(checkpoint: Checkpoint, key: str) -> int:
    value = checkpoint.metadata.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**32:
        raise CheckpointError(checkpoint.path, "is missing or not a u32", field=key)
    return int(value)


def _check(path: Path, name: str, sums: NDArray[Any], counts: NDArray[Any]) -> None:
    """Raise CheckpointError unless sums are finite and ≥ 0, and counts are integers ≥ 0."""
    wrong = np.flatnonzero(~(np.isfinite(sums) & (sums >= 0)))
    if wrong.size:
        where = f"sum {int(wrong[0])} is {sums.reshape(-1)[wrong[0]]}; it must be finite and ≥ 0"
        raise CheckpointError(path, where, field=f"tensor '{printable(name)}'")
    whole = np.isfinite(counts) & (counts >= 0) & (counts < MAX_COUNT)
    wrong = np.flatnonzero(~(whole & (np.rint(np.where(whole, counts, 0)) == counts)))
    if wrong.size:
        where = f"count {int(wrong[0])} is {counts[wrong[0]]}; it must be an integer ≥ 0"
        raise CheckpointError(path, where, field=f"tensor '{printable(name)}'")
