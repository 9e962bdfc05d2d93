"""Data of the pages about a model file: its tensors, their histograms, parts of their rows.

Every matrix is read once, slab by slab; nothing is drawn at random, so the same file gives the same
page. Stored weights are exact: the float32 values that the file's format decodes to.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zeropoint import kernels
from zeropoint.checkpoints import Checkpoint, TensorInfo
from zeropoint.errors import CheckpointError, printable
from zeropoint.formats import F32
from zeropoint.plans import bits_per_weight
from zeropoint.plans.formats import inventory
from zeropoint.quantizers.details import Histogram
from zeropoint.quantizers.outliers import matrices
from zeropoint.quantizers.slabs import cut_slabs
from zeropoint.studio.data.page_data import PageData

PIECE_WEIGHTS = 256  # weights of a row that a page carries
HISTOGRAM_BINS = 128  # of a histogram of a tensor with pieces; half of them for the others
MAX_TENSORS_WITH_PIECES = 10  # tensors with pieces at most


@dataclass(frozen=True)
class TensorSeen:
    """Progress: one matrix has been read."""

    figures: PageData
    done: int  # weights so far


def describe_model(checkpoint: Checkpoint) -> PageData:
    """Return a page's description of the file: name, parameters, bytes, layers, formats."""
    infos = list(checkpoint.tensors.values())
    outline = inventory.outline(checkpoint.metadata)
    return {
        "name": checkpoint.path.name,
        "title": outline.name,
        "architecture": outline.architecture,
        "layers": outline.layers,
        "parameters": sum(info.elements for info in infos),
        "bytes": checkpoint.file_bytes,
        "bits_per_weight": bits_per_weight(checkpoint.file_bytes, infos),
        "formats": [
            {"format": share.label, "tensors": share.tensors, "elements": share.elements,
             "bytes": share.nbytes}
            for share in inventory.shares((info.format.name, info) for info in infos)
        ],
    }  # fmt: skip


def look(checkpoint: Checkpoint, *, threads: int | None = None) -> Iterator[TensorSeen]:
    """Read every matrix and yield its shape, RMS, largest weight and histogram."""
    done = 0
    for info in matrices(checkpoint):
        done += info.elements
        yield TensorSeen(look_at(checkpoint, info, threads=threads), done)


def look_at(checkpoint: Checkpoint, info: TensorInfo, *, threads: int | None = None) -> PageData:
    """Read one matrix: its shape, RMS, largest weight and histogram.

    Raises CheckpointError if a weight is NaN or infinite, because the RMS is undefined then.
    """
    threads = kernels.default_threads() if threads is None else threads
    histogram = Histogram()
    squares = 0.0
    largest, place = np.float32(0), 0
    for slab in cut_slabs(info.shape, info.format):
        tensor = checkpoint.read_rows(info.name, slab.start, slab.stop)
        weights = kernels.decode(info.format, tensor.data, threads=threads).reshape(-1)
        _, squared, index = kernels.moments(weights, threads=threads)
        squares += squared
        if not math.isfinite(squares):
            name = printable(info.name)
            raise CheckpointError(checkpoint.path, f"'{name}' has weights that are not finite")
        if abs(weights[index]) > abs(largest):
            largest, place = weights[index], slab.start * info.columns + index
        histogram.add(weights, threads=threads)
    row, column = divmod(place, info.columns)
    return {
        "name": info.name,
        "kind": inventory.kind_of(info.name),
        "shape": list(info.shape),
        "format": info.format.name,
        "bytes": info.nbytes,
        "rms": float(np.sqrt(squares / info.elements)),
        "largest": float(largest),
        "row": row,
        "column": column,
        "limit": histogram.limit,
        "counts": histogram.counts,
    }


def finish(checkpoint: Checkpoint, seen: Sequence[PageData]) -> list[PageData]:
    """Choose the tensors of which a page contains parts, and read those parts."""
    chosen = choose(seen)
    return [
        {
            **figures,
            "counts": merged(
                figures["counts"],
                HISTOGRAM_BINS if figures["name"] in chosen else HISTOGRAM_BINS // 2,
            ),
            **({"pieces": pieces(checkpoint, figures)} if figures["name"] in chosen else {}),
        }
        for figures in seen
    ]


def choose(seen: Sequence[PageData]) -> set[str]:
    """Return the tensors with the largest outliers, and one of each kind from a middle layer."""

    def ratio(figures: PageData) -> float:
        rms = figures["rms"]
        return abs(figures["largest"]) / rms if rms else 0.0

    outstanding = sorted(seen, key=ratio, reverse=True)[:3]
    middle: dict[str, PageData] = {}
    for figures in (*seen[len(seen) // 2 :], *seen[: len(seen) // 2]):
        middle.setdefault(str(figures["kind"]), figures)
    names = [str(figures["name"]) for figures in (*outstanding, *middle.values())]
    return set(list(dict.fromkeys(names))[:MAX_TENSORS_WITH_PIECES])


def pieces(checkpoint: Checkpoint, figures: PageData) -> list[PageData]:
    """Return two parts of rows: one with the largest weight of the tensor, and a typical one."""
    info = checkpoint.tensors[str(figures["name"])]
    row, column = int(figures["row"]), int(figures["column"])
    start = column // PIECE_WEIGHTS * PIECE_WEIGHTS
    if start + PIECE_WEIGHTS > info.columns:
        start = max(info.columns - PIECE_WEIGHTS, 0)
    ordinary = info.rows // 2 if info.rows // 2 != row else info.rows // 2 - 1
    return [
        {"row": at, "column": first, "what": what, "values": read_row(checkpoint, info, at, first)}
        for at, first, what in (
            (row, start, "with the largest weight"),
            (max(ordinary, 0), 0, "an ordinary one"),
        )
    ]


def read_row(checkpoint: Checkpoint, info: TensorInfo, row: int, first: int = 0) -> F32:
    """Return the weights of a row from `first` on, at most PIECE of them."""
    tensor = checkpoint.read_rows(info.name, row, row + 1)
    decoded = kernels.decode(info.format, tensor.data).reshape(-1)
    return np.asarray(decoded[first : first + PIECE_WEIGHTS], np.float32)


def merged(counts: object, bins: int) -> list[int]:
    """Merge neighbouring counts into `bins` equal bins."""
    array = np.asarray(counts)
    return [int(n) for n in array.reshape(bins, -1).sum(axis=1)]


def is_run(path: Path) -> bool:
    """Return whether a path is a run folder (and not a model)."""
    return (path / "run.json").is_file()
