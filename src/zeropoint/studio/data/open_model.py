"""The open models of the studio, and the statistics of the matrices that it has read.

Headers are read immediately, and weights when a page needs them. Statistics are cached until a file
changes. A scan of all weights runs in the background, one model at a time, and stops with the
studio.
"""

import atexit
import re
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from zeropoint import kernels
from zeropoint.checkpoints import Checkpoint, TensorInfo, open_model
from zeropoint.errors import CheckpointError
from zeropoint.formats import F32, find_format
from zeropoint.plans.formats import inventory
from zeropoint.quantizers import quantize
from zeropoint.quantizers.outliers import matrices
from zeropoint.quantizers.slabs import cut_slabs
from zeropoint.studio.data import weights
from zeropoint.studio.data.page_data import PageData

MAX_OPEN_MODELS = 4  # models open at a time
MAX_OUTLIERS = 32  # of a tensor, listed
MAX_BLOCK_WEIGHTS = 256  # weights of a row that are opened together, at most

_LAYER = re.compile(r"blk\.(\d{1,9})\.", re.ASCII)


class OpenedModel:
    """One open model: its checkpoint, the statistics of read matrices, a scan of the rest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint: Checkpoint = open_model(path, "inspect")
        self.stamps = stamps(self.checkpoint)
        self.matrices = {info.name: info for info in matrices(self.checkpoint)}
        self.names = list(self.checkpoint.tensors)
        self.total = sum(info.elements for info in self.matrices.values())
        self.done = 0  # weights that the scan has read
        self.problem: str | None = None  # why it ended early
        self._seen: dict[str, PageData] = {}
        self._lock = threading.Lock()
        self._scan: threading.Thread | None = None

    def info(self, index: int) -> TensorInfo:
        """Return the matrix with this index in the file. Raises KeyError for other indices."""
        if not 0 <= index < len(self.names):
            raise KeyError(index)
        return self.matrices[self.names[index]]

    def default_matrix(self) -> str:
        """Return the name of the matrix that a page shows first; "" for a file without matrices."""
        names = [n for n in self.matrices if n.startswith("blk.")] or list(self.matrices) or [""]
        return names[len(names) // 2]

    def outline(self) -> list[PageData]:
        """Return the description of every tensor, with its statistics if it has been read.

        Layers come in the order in which they are computed, whatever the order in the file.
        """
        rows: list[PageData] = [
            {
                "index": index,
                "name": info.name,
                "kind": inventory.kind_of(info.name),
                "shape": list(info.shape),
                "format": info.format.name,
                "bytes": info.nbytes,
                "relative_error": None,
                **{key: self._seen[info.name][key] for key in ("rms", "largest", "row", "column")
                   if info.name in self._seen},
            }
            for index, info in enumerate(self.checkpoint.tensors.values())
        ]  # fmt: skip
        return sorted(rows, key=lambda row: layer_order(row["name"]))

    def look_at(self, info: TensorInfo) -> PageData:
        """Return the statistics of one matrix, which is read if necessary."""
        known = self._seen.get(info.name)
        if known is None:
            known = self._seen.setdefault(info.name, weights.look_at(self.checkpoint, info))
        return known

    def scan(self) -> bool:
        """Start to read all weights unless a scan is running; return whether all have been read."""
        with self._lock:
            if self._scan is None:
                self._scan = threading.Thread(target=self._read_all, daemon=True)
                self._scan.start()
        return self.done >= self.total

    def seen(self) -> list[PageData]:
        """Return the statistics of all matrices. Call it after `scan` returned true."""
        return [self._seen[name] for name in self.matrices]

    def _read_all(self) -> None:
        with _SCAN_LOCK:
            try:
                for info in self.matrices.values():
                    if _SHUTDOWN.is_set():
                        return
                    self.look_at(info)
                    self.done += info.elements
            except (CheckpointError, OSError) as error:
                self.problem = str(error)


_SCAN_LOCK = threading.Lock()
_SHUTDOWN = threading.Event()


@atexit.register
def _end() -> None:
    """Wait for the scan's current matrix: a native call at exit would abort the process."""
    _SHUTDOWN.set()
    with _SCAN_LOCK:
        pass


class OpenedModels:
    """The most recently opened models."""

    def __init__(self) -> None:
        self._models: OrderedDict[Path, OpenedModel] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, path: Path) -> OpenedModel:
        """Return a model, reopened if its files have changed. Raises CheckpointError."""
        with self._lock:
            model = self._models.get(path)
            if model is not None and stamps(model.checkpoint) != model.stamps:
                model = None
            if model is None:
                model = OpenedModel(path)
            self._models[path] = model
            self._models.move_to_end(path)
            while len(self._models) > MAX_OPEN_MODELS:
                self._models.popitem(last=False)
            return model


def layer_order(name: str) -> tuple[int, ...]:
    """Return the position of a tensor: before the layers, in a layer, or after them."""
    match = _LAYER.match(name)
    if match:
        return (0, int(match[1]))
    return (1,) if name.startswith("output") else (-1,)


def stamps(checkpoint: Checkpoint) -> list[tuple[int, ...]] | None:
    """Return the size and time stamps of a model's files, or None if a file is gone."""
    try:
        states = [file.stat() for file in checkpoint.files]
    except OSError:
        return None
    return [(s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns) for s in states]


def outliers(model: OpenedModel, info: TensorInfo) -> list[PageData]:
    """Return the largest outliers of a matrix: row, column and value, the largest first."""
    seen = model.look_at(info)
    limit = _threshold(np.asarray(seen["counts"]), float(seen["limit"]))
    rows: list[tuple[float, int]] = []
    for slab in cut_slabs(info.shape, info.format):
        tensor = model.checkpoint.read_rows(info.name, slab.start, slab.stop)
        values = kernels.decode(info.format, tensor.data).reshape(-1)
        places = np.flatnonzero(np.abs(values) >= limit)
        if places.size > MAX_OUTLIERS:
            order = np.argsort(-np.abs(values[places]), kind="stable")[:MAX_OUTLIERS]
            places = places[order]
        rows += [(float(values[i]), slab.start * info.columns + int(i)) for i in places]
    rows.sort(key=lambda row: (-abs(row[0]), row[1]))
    return [
        {"row": place // info.columns, "column": place % info.columns, "value": value}
        for value, place in rows[:MAX_OUTLIERS]
    ]


def _threshold(counts: "np.ndarray[Any, Any]", limit: float) -> float:
    """Return, from the histogram, a magnitude that at least OUTLIERS weights reach."""
    half = counts.size // 2
    by_magnitude = counts[half:] + counts[:half][::-1]
    beyond = np.cumsum(by_magnitude[::-1])[::-1]
    reached = np.flatnonzero(beyond >= MAX_OUTLIERS)
    return float(reached[-1]) * limit / half if reached.size else 0.0


def block_of(
    model: OpenedModel, info: TensorInfo, row: int, column: int, name: str | None
) -> PageData:
    """Return the block that holds a column: its weights, and their values in a format.

    Without a name it is the file's own format, and `weights` are its decoded values. `levels` are
    the distinct values that the block stores. Raises IndexError for a position outside, FormatError
    for a format that cannot hold these rows.
    """
    if not (0 <= row < info.rows and 0 <= column < info.columns):
        raise IndexError(f"{info.name} has {info.rows} rows of {info.columns} weights")
    stored = model.checkpoint.read_rows(info.name, row, row + 1)
    given = kernels.decode(info.format, stored.data).reshape(-1)
    format, decoded = info.format, given
    if name is not None:
        quantized = quantize(given.reshape(1, -1), find_format(name), threads=1)
        format, decoded = (
            quantized.format,
            kernels.decode(quantized.format, quantized.data).reshape(-1),
        )
    size = min(
        format.block_size if format.block_size > 1 else MAX_BLOCK_WEIGHTS,
        MAX_BLOCK_WEIGHTS,
        info.columns,
    )
    first = column // size * size
    part = slice(first, min(first + size, info.columns))
    error = decoded.astype(np.float64) - given
    energy = float(np.square(given.astype(np.float64)).sum())
    return {
        "row": row,
        "column": first,
        "format": format.name,
        "bits_per_weight": format.bits_per_weight,
        "weights": _f32(given[part]),
        "decoded": _f32(decoded[part]),
        "levels": _f32(np.unique(decoded[part])),
        "row_error": float(np.square(error).sum() / energy) if energy else 0.0,
    }


def _f32(values: F32) -> F32:
    return np.ascontiguousarray(values, np.float32)
