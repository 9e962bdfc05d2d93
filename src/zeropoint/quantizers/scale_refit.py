"""Refits the scales of encoded rows while their codes stay, with the objective of error feedback.

If a scale changes by the ratio 1 + δ, its weights move by δ · u, where u is their part that is
proportional to it. The objective eᵀ H e then changes by −2 δ uᵀ H e + δ² uᵀ H u, so the best ratio
is 1 + uᵀ H e / uᵀ H u, and of the ratios that the format can store the nearest one to it. The
current one is among these, so the objective never rises.
"""

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats import F32
from zeropoint.formats.scale_codes import ScaleCodes
from zeropoint.kernels.panels import MAX_PANEL_COLUMNS
from zeropoint.quantizers.code_choice import CodeChoice

F64 = NDArray[np.float64]


def refit_scales(weights: F32, choice: CodeChoice, moments: F32) -> None:
    """Refit every scale and minimum of `choice` once, one after the other.

    `weights` (columns, rows) are those that the choice rounds, and `moments` (columns, columns) is
    H.
    """
    for kind in choice.scale_codes:
        _refit(kind, weights, choice, moments)


def _refit(kind: ScaleCodes, weights: F32, choice: CodeChoice, moments: F32) -> None:
    direction = choice.direction(kind)
    errors = weights - choice.decoded()
    rows = weights.shape[1]
    codes = kind.load(choice.blocks).reshape(rows, -1).T.copy()  # (codes per row, rows)
    width = max(MAX_PANEL_COLUMNS, kind.columns)
    for start in range(0, len(weights), width):
        panel = slice(start, min(start + width, len(weights)))
        gradient = moments[panel] @ errors
        for first in range(panel.start, panel.stop, kind.columns):
            here = slice(first, first + kind.columns)
            inside = slice(first - start, first - start + kind.columns)
            unit = first // kind.columns
            codes[unit], ratio = _best(
                kind, codes[unit], direction[here], gradient[inside], moments[here, here]
            )
            step = direction[here] * (ratio - 1)
            errors[here] -= step
            gradient -= moments[panel, here] @ step
    per_block = len(kind.places)
    choice.set_blocks(kind.store(choice.blocks, codes.T.reshape(-1, per_block)))


def _best(
    kind: ScaleCodes, codes: NDArray[np.int32], direction: F32, gradient: F32, moments: F32
) -> tuple[NDArray[np.int32], F32]:
    """Return the best code of one scale in each row, and its ratio to the current one.

    A scale without effect stays: its factor is 0, or all of its weights are.
    """
    slope = np.einsum("cr,cr->r", direction, gradient, dtype=np.float64)
    curvature = np.einsum("cr,cr->r", direction, moments @ direction, dtype=np.float64)
    current = kind.factors[codes].astype(np.float64)
    movable = (curvature > 0) & (current != 0) & np.isfinite(slope)
    wanted = 1 + np.divide(slope, curvature, out=np.zeros_like(slope), where=movable)
    found = np.where(movable, kind.nearest(current * wanted), codes)
    ratio = np.divide(kind.factors[found], current, out=np.ones_like(current), where=movable)
    change = ratio - 1
    worse = ~(change * (2 * slope - change * curvature) > 0)
    return np.where(worse, codes, found), np.where(worse, 1, ratio).astype(np.float32)
