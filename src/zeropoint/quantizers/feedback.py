"""Rounding with error feedback: the error of each column is carried into the columns after it.

What a matrix W (rows, columns) adds to the model's error on inputs x is, for each of its rows,

    (w − ŵ)ᵀ H (w − ŵ),    H = Σ x xᵀ / n                          (the objective)

Rounding to the nearest code ignores all of H but its diagonal. Error feedback (GPTQ, LDLQ) goes
through the columns and rounds column k of

    w_k + Σ_{j before k} (w_j − ŵ_j) A_jk,    A = R / diag(R),    H + λ·mean(diag H)·I = R Rᵀ

with R upper triangular: the best guess of what the errors made so far have to be compensated with.
The scales stay those that the encoder searched; only the codes are chosen again, so every column
can come at any time. Columns with large H_kk come first, while most columns are left to
compensate.

Then sweeps of coordinate descent give each code the value that minimizes the objective while all
others stay. A row keeps its searched codes if the objective did not fall.

Sources: Frantar et al., GPTQ (arXiv 2210.17323); Chee et al., QuIP, for the form with the
triangular factor of H itself (arXiv 2307.13304). The rows are independent, so they are worked on in
slabs of fixed size, and the result does not depend on the number of threads.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from zeropoint.errors import FormatError
from zeropoint.formats import F32, U8, Format
from zeropoint.formats.recode import CodeSet, code_set
from zeropoint.results.quantize import FeedbackResult

COLUMNS_PER_BLOCK = 128  # whose errors are applied to the columns after them in one product
ROWS_PER_SLAB = 256  # fixed, so that the bytes do not depend on the number of threads
MAX_DAMPING = 1.0

Codes = NDArray[np.int32]
F64 = NDArray[np.float64]


@dataclass(frozen=True)
class FeedbackOptions:
    """How codes are chosen again."""

    #: Added to the diagonal of H, as a fraction of its mean; raised tenfold while H is singular.
    damping: float = 0.01
    #: Sweeps of coordinate descent after the feedback; 0 for none.
    sweeps: int = 3
    #: Whether columns are rounded in the order of falling H_kk, or from first to last.
    ordered: bool = True


DEFAULTS = FeedbackOptions()
NO_CHANGE = FeedbackResult(objective_before=0.0, objective_after=0.0, unchanged_rows=0)


@dataclass(frozen=True)
class FeedbackInputs:
    """What feedback needs to know of the inputs of a matrix, made once for all matrices with them.

    `prepare` makes it from the second moments.
    """

    #: (columns, columns) float32: H with its damping.
    moments: F32
    #: (columns,): which column is rounded first, second, …
    order: NDArray[np.intp]
    #: (columns, columns) float32, strictly upper triangular, rows and columns in that order.
    coefficients: F32
    #: What was added to the diagonal, as a fraction of its mean.
    damping: float


@dataclass(frozen=True)
class RecodedRows:
    """Rows whose codes were chosen again."""

    #: (rows · blocks per row, block_bytes)
    blocks: U8
    change: FeedbackResult


def prepare(moments: F32, options: FeedbackOptions = DEFAULTS) -> FeedbackInputs:
    """Factor the second moments of a matrix' inputs.

    `moments` (columns, columns) is Σ x xᵀ or any positive multiple of it. A column that is always 0
    gets no feedback and gives none. Raises FormatError for moments that are not finite, or that no
    damping up to MAX_DAMPING makes positive definite.
    """
    diagonal = np.diag(moments).astype(np.float64)
    if not np.isfinite(moments).all() or (diagonal < 0).any():
        raise FormatError("second moments must be finite, with a diagonal that is not negative")
    mean = float(diagonal.mean()) or 1.0
    columns = len(diagonal)
    order = np.argsort(-diagonal, kind="stable") if options.ordered else np.arange(columns)
    damping = options.damping
    with threadpool_limits(1):  # more threads add in another order
        while True:
            damped = moments.astype(np.float64) / mean
            damped[np.diag_indices(columns)] += damping
            try:
                factor = _upper_factor(damped[np.ix_(order, order)])
                break
            except np.linalg.LinAlgError:
                damping *= 10
                if damping > MAX_DAMPING:
                    raise FormatError("second moments are not positive definite") from None
    factor /= np.diag(factor)
    coefficients = np.triu(factor, 1).astype(np.float32)
    return FeedbackInputs(damped.astype(np.float32), order, coefficients, damping)


def _upper_factor(matrix: F64) -> F64:
    """Return the upper triangular R with matrix = R Rᵀ: the Cholesky factor from the far corner."""
    return np.linalg.cholesky(matrix[::-1, ::-1])[::-1, ::-1].astype(np.float64)


def round_with_feedback(
    weights: F32,
    blocks: U8,
    format: Format,
    inputs: FeedbackInputs,
    *,
    threads: int = 1,
    options: FeedbackOptions = DEFAULTS,
) -> RecodedRows:
    """Choose the codes of encoded rows again so that the objective is small.

    `weights` (rows, columns) are what `blocks` (rows · columns / block_size, block_bytes) encode in
    `format`; the scales and minimums in them stay. The bytes do not depend on `threads`. Raises
    FormatError for a format without codes of single weights.
    """
    codes = code_set(format)
    per_row = weights.shape[1] // format.block_size

    def recode(start: int) -> RecodedRows:
        rows = slice(start, start + ROWS_PER_SLAB)
        part = blocks[start * per_row : (start + ROWS_PER_SLAB) * per_row]
        return _recode(weights[rows], part, format, codes, inputs, options)

    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(recode, range(0, len(weights), ROWS_PER_SLAB)))
    change = sum((part.change for part in parts), NO_CHANGE)
    return RecodedRows(np.concatenate([part.blocks for part in parts] or [blocks]), change)


def _recode(
    weights: F32,
    blocks: U8,
    format: Format,
    codes: CodeSet,
    inputs: FeedbackInputs,
    options: FeedbackOptions,
) -> RecodedRows:
    grid = _Grid.of(blocks, format, codes, weights.shape)
    searched = grid.decoded(grid.searched)
    chosen = feed_back(weights, grid, inputs)
    if options.sweeps:
        chosen = descend(weights, grid, inputs, chosen, options.sweeps)
    before = objective(weights - searched, inputs.moments)
    after = objective(weights - grid.decoded(chosen), inputs.moments)
    worse = ~(after < before)  # NaN counts as worse
    chosen[worse] = grid.searched[worse]
    stored = codes.store(blocks, codes.codes[chosen].reshape(-1, format.block_size))
    change = FeedbackResult(
        objective_before=float(before.sum()),
        objective_after=float(np.where(worse, before, after).sum()),
        unchanged_rows=int(worse.sum()),
    )
    return RecodedRows(stored, change)


def objective(errors: F32, moments: F32) -> F64:
    """Return eᵀ H e for each row e of `errors` (rows, columns): (rows,) float64."""
    total: F64 = np.einsum("rc,rc->r", errors @ moments, errors, dtype=np.float64)
    return total


@dataclass(frozen=True)
class _Grid:
    """The values that each weight of some rows can take: scale · value + minimum."""

    scale: F32  # (rows, groups)
    minimum: F32 | None  # (rows, groups)
    group_size: int
    codes: CodeSet
    searched: NDArray[np.intp]  # (rows, columns), what the encoder chose, as indices into `codes`

    @classmethod
    def of(cls, blocks: U8, format: Format, codes: CodeSet, shape: tuple[int, ...]) -> "_Grid":
        parts = format.parts(blocks)
        rows, columns = shape
        scale = parts.scale.reshape(rows, -1)
        # A code that only older encoders wrote, such as FP4's −0, becomes the one of equal value.
        values = parts.codes.astype(np.float32) if parts.values is None else parts.values
        searched = np.searchsorted(codes.values, values.reshape(shape))
        minimum = None if parts.minimum is None else parts.minimum.reshape(rows, -1)
        return cls(scale, minimum, columns // scale.shape[1], codes, searched)

    def nearest(self, column: int, wanted: F32) -> tuple[NDArray[np.intp], F32]:
        """Return the index of the value nearest to each wanted weight of a column, and the weight.

        Where the scale is 0 all codes mean the same, and the first one is returned.
        """
        group = column // self.group_size
        scale = self.scale[:, group]
        if self.minimum is not None:
            wanted = wanted - self.minimum[:, group]
        divided = np.divide(wanted, scale, out=np.zeros_like(wanted), where=scale != 0)
        index = self.codes.nearest(divided)
        values = scale * self.codes.values[index]
        if self.minimum is not None:
            values = values + self.minimum[:, group]
        return index, values

    def decoded(self, chosen: NDArray[np.intp]) -> F32:
        """Return the weights (rows, columns) that chosen codes mean."""
        rows, columns = chosen.shape
        values = self.codes.values[chosen].reshape(rows, -1, self.group_size)
        weights = self.scale[:, :, None] * values
        if self.minimum is not None:
            weights = weights + self.minimum[:, :, None]
        return weights.reshape(rows, columns)


def feed_back(weights: F32, grid: _Grid, inputs: FeedbackInputs) -> NDArray[np.intp]:
    """Round column after column, each with the errors of those before it: (rows, columns)."""
    order, coefficients = inputs.order, inputs.coefficients
    permuted = weights[:, order]
    errors = np.zeros_like(permuted)
    chosen = np.empty(weights.shape, np.intp)
    for block in _blocks(weights.shape[1]):
        # Fortran order: a column is contiguous.
        wanted = np.asfortranarray(
            permuted[:, block] + errors[:, : block.start] @ coefficients[: block.start, block]
        )
        inside = coefficients[block, block]
        for at in range(wanted.shape[1]):
            column = order[block.start + at]
            chosen[:, column], found = grid.nearest(column, wanted[:, at])
            error = permuted[:, block.start + at] - found
            errors[:, block.start + at] = error
            wanted[:, at + 1 :] += error[:, None] * inside[at, at + 1 :]
    return chosen


def descend(
    weights: F32, grid: _Grid, inputs: FeedbackInputs, chosen: NDArray[np.intp], sweeps: int
) -> NDArray[np.intp]:
    """Give each code in turn the value that minimizes the objective; returns (rows, columns).

    With e = w − ŵ the best ŵ_k is ŵ_k + (H e)_k / H_kk, as if all other codes were final.
    """
    moments, curvature = inputs.moments, np.diag(inputs.moments)
    chosen = chosen.copy()
    rounded = np.asfortranarray(grid.decoded(chosen))
    gradient = (weights - rounded) @ moments
    for _ in range(sweeps):
        for block in _blocks(weights.shape[1]):
            inner = np.asfortranarray(gradient[:, block])
            steps = np.zeros_like(inner)
            for at in range(inner.shape[1]):
                column = block.start + at
                wanted = rounded[:, column] + inner[:, at] / curvature[column]
                chosen[:, column], nearest = grid.nearest(column, wanted)
                step = rounded[:, column] - nearest
                rounded[:, column], steps[:, at] = nearest, step
                inner[:, at + 1 :] += step[:, None] * moments[column, column + 1 : block.stop]
            gradient += steps @ moments[block]
    return chosen


def _blocks(columns: int) -> Iterator[slice]:
    for start in range(0, columns, COLUMNS_PER_BLOCK):
        yield slice(start, min(start + COLUMNS_PER_BLOCK, columns))
