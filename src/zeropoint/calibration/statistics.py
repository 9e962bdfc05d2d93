"""What went into each layer while a model read a text: the importance of every input column.

For a matrix with input x, a change Δw of column j costs, on average over the text, x_j² · Δw². So

    importance_j = Σ x_j² / rows        over the rows (tokens) that the matrix was given

which is the diagonal of the second moment of its inputs, and what llama.cpp calls an imatrix. Its
files are read and written here with the same bytes (GGUF, since its pull request 9400; the older
`.dat` is read). They come from anywhere, so nothing in them is believed before it is checked.

What stands in where there is no evidence, and why:

| Case | Importance |
|---|---|
| a tensor without an entry | none: all columns count the same |
| an expert that was never asked (count 0) | ones, as in llama.cpp: nothing is known of its inputs |
| a matrix whose columns were all zero | ones: any error would cost nothing, and noise would do |
| single columns that were always zero | zero, as measured: errors there are free |

All of them are counted in the coverage report (`coverage`), so none of them is silent.
"""

import hashlib
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

I64 = NDArray[np.int64]

SUMS, COUNTS = ".in_sum2", ".counts"
DATASETS, CHUNKS, CHUNK_TOKENS = (
    "imatrix.datasets",
    "imatrix.chunk_count",
    "imatrix.chunk_size",
)
CORPUS = "zeropoint.corpus"  # ours: the text's hash; llama.cpp passes over it
LEGACY_CHUNK = 512  # tokens: what llama.cpp assumes of files that do not say
LARGEST_COUNT = 2**53


@dataclass(frozen=True)
class InputStatistics:
    """Sums over the inputs of one tensor, one line for each of its matrices (experts).

    A dense tensor of three axes has one count for all: its sums then stand in one line.
    """

    sums: F32  # (matrices, columns): Σ x², ≥ 0
    counts: I64  # (matrices,): rows that were summed

    def __post_init__(self) -> None:
        if self.sums.ndim != 2 or self.counts.shape != self.sums.shape[:1]:
            raise ValueError(f"sums {self.sums.shape} and counts {self.counts.shape} do not match")

    @property
    def mean(self) -> F32:
        """Importance: (columns,) of one matrix, (matrices, columns) of several; see the table."""
        counts = self.counts.astype(np.float32)[:, None]
        # As ggml: a float32 sum divided by a float32 count.
        mean = np.divide(self.sums, counts, out=np.ones_like(self.sums), where=counts > 0)
        mean = ones_for_nothing(mean)
        return mean[0] if len(mean) == 1 else mean


def ones_for_nothing(importance: F32) -> F32:
    """Replace, in place, lines of (matrices, columns) that are all zero by ones."""
    importance[~importance.any(axis=1)] = 1
    return importance


class Importance(Mapping[str, F32]):
    """Tensor name → mean squared inputs, worked out when asked for."""

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
    """What went into each layer while a model read `tokens` tokens of a corpus."""

    statistics: Mapping[str, InputStatistics]  # by tensor name; may read from a file when asked
    chunks: int  # texts of `chunk_tokens` tokens that the model read
    chunk_tokens: int
    datasets: tuple[str, ...] = ()  # names of the texts, as whoever made it wrote them
    corpus: str = ""  # a hash of their contents, if known
    hessians: Mapping[str, F32] = field(default_factory=dict)  # (columns, columns): mean of x xᵀ

    @property
    def importance(self) -> Mapping[str, F32]:
        """(columns,) or (experts, columns) for each tensor that has an entry."""
        return Importance(self.statistics)

    @property
    def tokens(self) -> int:
        """Tokens that were read."""
        return self.chunks * self.chunk_tokens


def read_imatrix(path: Path | str) -> Calibration:
    """Read an importance matrix of llama.cpp: GGUF, or the older `.dat`.

    All of it is checked now (one tensor in memory at a time) and read again when asked for, so that
    memory does not grow with the model. Raises CheckpointError for what is missing, malformed, not
    finite or negative.
    """
    path = Path(path)
    file = SourceFile(path)
    start = file.read(0, min(file.size, 4)).tobytes()
    if start != b"GGUF":
        old = read_legacy(file)
        # As llama.cpp: its means count as sums over chunks of 512 rows.
        entries = {
            name: InputStatistics(
                values[None] * np.float32(LEGACY_CHUNK), np.array([calls * LEGACY_CHUNK])
            )
            for name, (values, calls) in old.entries.items()
        }
        for name, entry in entries.items():
            _check(path, name, entry.sums, entry.counts.astype(np.float64))
        names = (old.dataset,) if old.dataset else ()
        return Calibration(MappingProxyType(entries), old.chunks, LEGACY_CHUNK, names)
    file.close()
    checkpoint = open_checkpoint(path)
    metadata = checkpoint.metadata
    kind = metadata.get("general.type", "imatrix")
    if not isinstance(kind, str) or kind != "imatrix":  # an array has no single comparison
        reason = f"is {printable(str(kind))!r}, not an importance matrix"
        raise CheckpointError(path, reason, field="general.type")
    datasets = metadata.get(DATASETS)
    if not isinstance(datasets, StringArray):
        reason = "is missing or no list of names" + (
            "; this is a model, not an importance matrix" if TOKEN_EMBEDDING in
            checkpoint.tensors else "")  # fmt: skip
        raise CheckpointError(path, reason, field=DATASETS)
    return Calibration(
        statistics=FileStatistics(checkpoint),
        chunks=_number(checkpoint, CHUNKS),
        chunk_tokens=_number(checkpoint, CHUNK_TOKENS),
        datasets=tuple(datasets),
        corpus=str(metadata.get(CORPUS, "")),
    )


class FileStatistics(Mapping[str, InputStatistics]):
    """The entries of a GGUF, each read and checked when it is asked for."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        tensors = checkpoint.tensors
        self._names = sorted(name.removesuffix(SUMS) for name in tensors if name.endswith(SUMS))
        for name in sorted(name.removesuffix(COUNTS) for name in tensors if name.endswith(COUNTS)):
            if name + SUMS not in tensors:
                self._fail(name, f"has {COUNTS} and no {SUMS}")
        if not self._names:
            raise CheckpointError(checkpoint.path, f"has no tensor that ends with {SUMS}")
        for name in self._names:
            self[name]

    def __getitem__(self, name: str) -> InputStatistics:
        if name + SUMS not in self._checkpoint.tensors:
            raise KeyError(name)
        if name + COUNTS not in self._checkpoint.tensors:
            self._fail(name, f"has {SUMS} and no {COUNTS}")
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
) -> None:
    """Write a calibration as llama.cpp's `llama-imatrix` would, byte for byte.

    (With `corpus` there is one key more.) The name must end in .gguf. Appears complete or not at
    all. Raises CheckpointError if the path is one of `sources` under any name, or if it exists and
    `overwrite` is false; NotEnoughSpace before anything is written.
    """
    metadata: dict[str, object] = {
        "general.type": "imatrix",
        DATASETS: StringArray.of(calibration.datasets),
        CHUNKS: np.uint32(calibration.chunks),
        CHUNK_TOKENS: np.uint32(calibration.chunk_tokens),
    }
    if calibration.corpus:
        metadata[CORPUS] = calibration.corpus
    names = sorted(calibration.statistics, key=str.encode)
    tensors: list[NewTensor] = []
    for name in names:
        matrices, columns = calibration.statistics[name].sums.shape
        # As ggml: a last axis of 1 is not written.
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

    A single count meets several (an old file and a newer one): it stands for each, as in
    llama.cpp. Raises MeasurementError for tensors of different sizes, or for nothing to merge.
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
            f"{second.sums.size} in another: they are not of the same model"
        )
    matrices = max(len(first.counts), len(second.counts))
    if matrices % len(first.counts) or matrices % len(second.counts):
        raise MeasurementError(f"'{printable(name)}' has different numbers of experts")
    # In float64, and rounded once.
    sums = first.sums.astype(np.float64).reshape(matrices, -1)
    sums += second.sums.reshape(matrices, -1)
    counts = first.counts.repeat(matrices // len(first.counts))
    counts = counts + second.counts.repeat(matrices // len(second.counts))
    return InputStatistics(sums.astype(np.float32), counts)


def _number(checkpoint: Checkpoint, key: str) -> int:
    value = checkpoint.metadata.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**32:
        raise CheckpointError(checkpoint.path, "is missing or no u32", field=key)
    return int(value)


def _check(path: Path, name: str, sums: NDArray[Any], counts: NDArray[Any]) -> None:
    """Raise CheckpointError unless sums are finite and ≥ 0 and counts are whole numbers."""
    wrong = np.flatnonzero(~(np.isfinite(sums) & (sums >= 0)))
    if wrong.size:
        where = f"sum {int(wrong[0])} is {sums.reshape(-1)[wrong[0]]}; it must be finite and ≥ 0"
        raise CheckpointError(path, where, field=f"tensor '{printable(name)}'")
    whole = np.isfinite(counts) & (counts >= 0) & (counts < LARGEST_COUNT)
    wrong = np.flatnonzero(~(whole & (np.rint(np.where(whole, counts, 0)) == counts)))
    if wrong.size:
        where = f"count {int(wrong[0])} is {counts[wrong[0]]}; it must be a whole number ≥ 0"
        raise CheckpointError(path, where, field=f"tensor '{printable(name)}'")
