"""Rounding with error feedback: the error of each column is carried into the columns after it.

What a matrix W (rows, columns) adds to the model's error on inputs x is, for each of its rows,

    (w − ŵ)ᵀ H (w − ŵ),    H = Σ x xᵀ / n                          (the objective)

Rounding to the nearest code ignores all of H but its diagonal. Error feedback (GPTQ, LDLQ) goes
through the columns and rounds column k of

    w_k + Σ_{j before k} (w_j − ŵ_j) A_jk,    A = R / diag(R),    H' = R Rᵀ

with R upper triangular: the best guess of what the errors made so far have to be compensated with.
H' is the regularized H: entries beside the diagonal are multiplied by 1 − s, and λ · mean(diag H)
is added on the diagonal. Otherwise feedback relies on correlations that only the calibration text
has, since 32,768 tokens say little about those of 8,960 inputs.
The scales stay those that the encoder searched; only the codes are chosen again, so every column
can come at any time. Columns with large H_kk come first, while most columns are left to
compensate.

A code of IQ1 to IQ3 names a point for 4 or 8 weights. There 8 columns g are rounded at once, with
A_jg = R_jg R_gg⁻¹, and errors in them cost eᵀ D e with D = R_gg R_ggᵀ, because the columns after
them will compensate the rest.

Then sweeps of coordinate descent give each code the value that minimizes the objective while all
others stay. A row keeps its searched codes if the objective did not fall.

Sources: Frantar et al., GPTQ (arXiv 2210.17323); Chee et al., QuIP, for the form with the
triangular factor of H itself (arXiv 2307.13304); Tseng et al., QuIP#, for blocks of columns
(arXiv 2402.04396). The rows are independent, so they are worked on in slabs of fixed size, and the
result does not depend on the number of threads.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from zeropoint.errors import FormatError
from zeropoint.formats import F32, U8, Format
from zeropoint.formats.point_codes import SIGNED_WEIGHTS
from zeropoint.kernels.panels import MAX_PANEL_COLUMNS, GroupMetric
from zeropoint.quantizers.code_choice import CodeChoice, code_choice
from zeropoint.quantizers.factor import upper_factor
from zeropoint.quantizers.scale_refit import refit_scales
from zeropoint.results.quantize import FeedbackResult

# Columns whose errors are applied to the columns after them in one product.
COLUMNS_PER_BLOCK = MAX_PANEL_COLUMNS
ROWS_PER_SLAB = 256  # fixed, so that the bytes do not depend on the number of threads
MAX_DAMPING = 10.0  # as a fraction of the mean of the diagonal
MIN_SWEEP_GAIN = 1e-3  # of the objective; a sweep that lowers it by less is the last one

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class FeedbackOptions:
    """How codes are chosen again."""

    #: Added to the diagonal of H, as a fraction of its mean; raised tenfold while H is singular.
    damping: float = 0.3
    #: Whether columns are rounded with feedback before the sweeps; if not, sweeps start at the
    #: encoder's codes.
    feed_back: bool = True
    #: Entries of H beside the diagonal are multiplied by 1 − shrinkage, because two inputs are less
    #: correlated in other text than in the calibration text.
    shrinkage: float = 0.3
    #: Sweeps of coordinate descent, at most; 0 for none.
    sweeps: int = 3
    #: How often scales and minimums are fitted to the chosen codes, each time before another sweep.
    refits: int = 0
    #: Whether columns are rounded in the order of falling H_kk, or from first to last.
    ordered: bool = True
    #: Columns whose errors are applied to the columns after them in one product, at most 128.
    panel_columns: int = COLUMNS_PER_BLOCK


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
    #: Columns that are rounded together: 8 for codes that name points, otherwise 1.
    at_once: int = 1
    #: What errors in 8 columns cost if later columns compensate them, in `order`; None for 1.
    compensated: GroupMetric | None = None
    #: What they cost while all others stay, from first to last; None for 1.
    fixed: GroupMetric | None = None


@dataclass(frozen=True)
class RecodedRows:
    """Rows whose codes were chosen again."""

    #: (rows · blocks per row, block_bytes)
    blocks: U8
    change: FeedbackResult


def prepare(
    moments: F32,
    options: FeedbackOptions = DEFAULTS,
    *,
    at_once: int = 1,
    threads: int = 1,
) -> FeedbackInputs:
    """Factor the second moments of a matrix' inputs.

    `moments` (columns, columns) is Σ x xᵀ or any positive multiple of it. A column that is always 0
    gets no feedback and gives none. `at_once` is `columns_at_once` of the format. Raises
    FormatError for moments that are not finite, or that no damping up to MAX_DAMPING makes positive
    definite.
    """
    diagonal = np.diag(moments).astype(np.float64)
    if not np.isfinite(moments).all() or (diagonal < 0).any():
        raise FormatError("second moments must be finite, with a diagonal that is not negative")
    mean = float(diagonal.mean()) or 1.0
    damped = (moments / np.float32(mean)).astype(np.float32)
    undamped = np.diag(damped).copy()
    damped *= np.float32(1 - options.shrinkage)
    order = _order(diagonal, at_once, options.ordered)
    damping = options.damping
    while True:
        damped[np.diag_indices(len(damped))] = undamped + np.float32(damping)
        try:
            factor = upper_factor(damped[np.ix_(order, order)].astype(np.float64), threads)
            break
        except np.linalg.LinAlgError:
            damping *= 10
            if damping > MAX_DAMPING:
                raise FormatError("second moments are not positive definite") from None
    corners = np.triu(_corners(factor, at_once))
    coefficients = _coefficients(factor, corners)
    if at_once == 1:
        return FeedbackInputs(damped, order, coefficients, damping)
    compensated = GroupMetric.of((corners @ corners.swapaxes(1, 2)).astype(np.float32))
    fixed = GroupMetric.of(_corners(damped, at_once))
    return FeedbackInputs(damped, order, coefficients, damping, at_once, compensated, fixed)


def _order(diagonal: F64, at_once: int, ordered: bool) -> NDArray[np.intp]:
    """Return the order of columns; those that are rounded together stay together."""
    columns = np.arange(len(diagonal)).reshape(-1, at_once)
    if not ordered:
        return columns.reshape(-1)
    return columns[np.argsort(-diagonal.reshape(-1, at_once).sum(axis=1), kind="stable")].reshape(
        -1
    )


def _corners(matrix: NDArray[Any], size: int) -> NDArray[Any]:
    """Return copies of the diagonal blocks, (columns / size, size, size)."""
    groups = np.arange(len(matrix) // size)
    return matrix.reshape(len(groups), size, len(groups), size)[groups, :, groups]


def _coefficients(factor: F64, corners: F64) -> F32:
    """Return R_jg R_gg⁻¹ for the rows j before each group g of columns, and 0 elsewhere."""
    columns, size = len(factor), corners.shape[1]
    inverses = np.linalg.inv(corners)
    number = np.arange(columns) // size  # of the group
    result = np.zeros(factor.shape, np.float32)
    for panel in _panels(columns, COLUMNS_PER_BLOCK):
        grouped = factor[: panel.stop, panel].reshape(panel.stop, -1, size).swapaxes(0, 1)
        groups = slice(panel.start // size, panel.stop // size)
        products = (grouped @ inverses[groups]).swapaxes(0, 1)
        result[: panel.stop, panel] = products.reshape(panel.stop, -1)
        result[panel, panel] *= number[panel, None] < number[None, panel]
    return result


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
    FormatError for a format without codes that can be chosen again.
    """
    per_row = weights.shape[1] // format.block_size

    def recode(start: int) -> RecodedRows:
        rows = slice(start, start + ROWS_PER_SLAB)
        part = blocks[start * per_row : (start + ROWS_PER_SLAB) * per_row]
        return _recode(weights[rows], part, format, inputs, options)

    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(recode, range(0, len(weights), ROWS_PER_SLAB)))
    change = sum((part.change for part in parts), NO_CHANGE)
    return RecodedRows(np.concatenate([part.blocks for part in parts] or [blocks]), change)


def _recode(
    rows: F32, blocks: U8, format: Format, inputs: FeedbackInputs, options: FeedbackOptions
) -> RecodedRows:
    weights = np.ascontiguousarray(rows.T)
    choice = code_choice(blocks, format, len(rows))
    before = _objective(weights - choice.decoded(), inputs.moments)
    after = before
    if options.feed_back:
        after = feed_back(weights, choice, inputs, options)
    if options.sweeps:
        after = descend(weights, choice, inputs, options)
    for _ in range(options.refits):
        refit_scales(weights, choice, inputs.moments)
        after = descend(weights, choice, inputs, replace(options, sweeps=1))
    worse = ~(after < before)  # NaN counts as worse
    stored = choice.stored().reshape(len(rows), -1)
    stored[worse] = blocks.reshape(len(rows), -1)[worse]
    change = FeedbackResult(
        objective_before=float(before.sum()),
        objective_after=float(np.where(worse, before, after).sum()),
        unchanged_rows=int(worse.sum()),
    )
    return RecodedRows(stored.reshape(blocks.shape), change)


def objective(errors: F32, moments: F32) -> F64:
    """Return eᵀ H e for each row e of `errors` (rows, columns): (rows,) float64."""
    return _objective(np.ascontiguousarray(errors.T), moments)


def _objective(errors: F32, moments: F32) -> F64:
    """Return eᵀ H e for each column e of `errors`, from the lower triangle of H."""
    total = np.zeros(errors.shape[1])
    for panel in _panels(len(errors), COLUMNS_PER_BLOCK):
        below = moments[panel, : panel.start] @ errors[: panel.start]
        total += _share(errors[panel], below, moments[panel, panel])
    return total


def _share(errors: F32, below: F32, corner: F32) -> F64:
    """Return what a panel adds to eᵀ H e, of which `below` is H e over the columns before it."""
    product = 2 * below + corner @ errors
    total: F64 = np.einsum("cr,cr->r", errors, product, dtype=np.float64)
    return total


def feed_back(
    weights: F32, choice: CodeChoice, inputs: FeedbackInputs, options: FeedbackOptions
) -> F64:
    """Round column after column of `weights` (columns, rows), each with the errors before it.

    Returns the objective of each row, (rows,); it is computed only if no sweep will.
    """
    order, coefficients = inputs.order, inputs.coefficients
    permuted = weights[order]
    errors = np.empty_like(permuted)
    for panel in _panels(len(order), options.panel_columns):
        columns = order[panel]
        target = permuted[panel] + coefficients[: panel.start, panel].T @ errors[: panel.start]
        choice.feed_back(
            columns,
            choice.panel(columns, target, coefficients[panel, panel]),
            _part(inputs.compensated, panel),
            permuted[panel],
            errors[panel],
        )
    if options.sweeps:
        return np.empty(0)
    return _objective(weights - choice.decoded(), inputs.moments)


def descend(
    weights: F32, choice: CodeChoice, inputs: FeedbackInputs, options: FeedbackOptions
) -> F64:
    """Give each code in turn the value that minimizes the objective; returns it, (rows,).

    With e = w − ŵ the best ŵ_k is ŵ_k + (H e)_k / H_kk, as if all other codes were final.
    """
    moments = inputs.moments
    rounded = choice.decoded()
    errors = weights - rounded
    previous = np.inf
    for _ in range(options.sweeps):
        total = np.zeros(weights.shape[1])
        for panel in _panels(len(weights), options.panel_columns):
            corner = moments[panel, panel]
            below = moments[panel, : panel.start] @ errors[: panel.start]
            gradient = below + corner @ errors[panel]
            gradient += moments[panel, panel.stop :] @ errors[panel.stop :]
            columns = np.arange(panel.start, panel.stop)
            choice.descend(
                columns,
                choice.panel(columns, gradient, corner),
                _part(inputs.fixed, panel),
                rounded[panel],
            )
            errors[panel] = weights[panel] - rounded[panel]
            total += _share(errors[panel], below, corner)
        if not previous - total.sum() > MIN_SWEEP_GAIN * total.sum():
            break
        previous = float(total.sum())
    return total


def _part(metric: GroupMetric | None, panel: slice) -> GroupMetric | None:
    """Return the part of a metric for the groups of a panel."""
    first, stop = panel.start // SIGNED_WEIGHTS, panel.stop // SIGNED_WEIGHTS
    return metric and metric.part(slice(first, stop))


def _panels(columns: int, size: int) -> Iterator[slice]:
    for start in range(0, columns, size):
        yield slice(start, min(start + size, columns))
