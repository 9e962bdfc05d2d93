"""The error that each format makes in a sample of a tensor's rows.

Encoding whole tensors in all formats of a menu would take longer than the rest of a prediction. So
only some rows are encoded: spread over the tensor, at least MIN_ROWS and about SAMPLED_WEIGHTS
weights. Of a table with a row per token, the rows of the text's own tokens are all in the sample,
because nearly all of the loss is there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint import kernels
from zeropoint.checkpoints import Checkpoint, TensorInfo
from zeropoint.errors import FormatError
from zeropoint.formats import F32, find_format
from zeropoint.plans.formats.recipe import KEEP

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

SAMPLED_WEIGHTS = 1 << 19  # of a tensor, about
MIN_ROWS = 16
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class RowSample:
    """Some rows of a tensor, counted over all leading axes."""

    #: (n,) ascending numbers of rows.
    rows: I64
    #: (n,) how many rows of the tensor each of them represents; 1: only itself.
    shares: F64

    def of_expert(self, expert: int, rows: int) -> slice:
        """Return the part of the sample in the matrix of an expert that has so many rows."""
        first, last = np.searchsorted(self.rows, [expert * rows, (expert + 1) * rows])
        return slice(int(first), int(last))


def sample_rows(info: TensorInfo, certain: I64 | None = None) -> RowSample:
    """Choose rows of a tensor.

    The tensor is cut into as many parts of equal length as rows are chosen, and one row of each is
    taken, at places that no period repeats: rows of attention matrices have a meaning that repeats
    with every head. The rows `certain` are in the sample and represent only themselves.
    """
    certain = np.zeros(0, np.int64) if certain is None else np.unique(certain)
    others = np.setdiff1d(np.arange(info.rows), certain, assume_unique=True)
    count = min(len(others), max(MIN_ROWS, SAMPLED_WEIGHTS // info.columns))
    numbers = np.arange(count)
    places = (numbers + numbers * _GOLDEN % 1.0) * len(others) / max(count, 1)
    chosen = others[places.astype(np.int64)]
    rows = np.concatenate([certain, chosen])
    shares = np.concatenate([np.ones(len(certain)), np.full(count, len(others) / max(count, 1))])
    order = np.argsort(rows)
    return RowSample(rows[order], shares[order])


def sampled_errors(
    checkpoint: Checkpoint,
    name: str,
    rows: I64,
    formats: Sequence[str],
    importance: F32 | None = None,
    *,
    threads: int,
) -> Iterator[tuple[str, F32]]:
    """Yield each format with the errors ŵ − w of some rows of a tensor, (n, columns) float32.

    The rows are rounded to nearest with `importance`, (columns,) or (experts, columns). The format
    `keep` has no error. Raises FormatError, with the name of the tensor, for weights that a format
    cannot hold.
    """
    info = checkpoint.tensors[name]
    weights = read_rows(checkpoint, name, rows, threads=threads)
    if importance is None or importance.ndim == 1:
        parts = [(slice(None), importance)]
    else:
        experts = rows // info.shape[-2]
        parts = [
            (slice(*np.searchsorted(experts, [expert, expert + 1])), importance[expert])
            for expert in np.unique(experts).tolist()
        ]
    for format in formats:
        if format == KEEP:
            yield format, np.zeros_like(weights)
            continue
        bound = find_format(format).for_shape(info.shape)
        errors = np.empty_like(weights)
        for part, costs in parts:
            try:
                blocks = kernels.encode(bound, weights[part], costs, threads=threads)
            except FormatError as error:
                raise FormatError(f"{checkpoint.path}: {name}: {error}") from None
            decoded = kernels.decode(bound, blocks, threads=threads)
            errors[part] = decoded.reshape(weights[part].shape) - weights[part]
        yield format, errors


def read_rows(checkpoint: Checkpoint, name: str, rows: I64, *, threads: int) -> F32:
    """Return rows of a tensor, counted over all leading axes, decoded: (n, columns) float32."""
    info = checkpoint.tensors[name]
    parts = [checkpoint.read_rows(name, row, row + 1).data for row in rows.tolist()]
    if not parts:
        return np.zeros((0, info.columns), np.float32)
    decoded = kernels.decode(info.format, np.concatenate(parts), threads=threads)
    return decoded.reshape(len(rows), info.columns)
