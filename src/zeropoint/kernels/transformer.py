"""A whole forward pass in one call of the compiled extension; `models/compiled.py` describes it."""

from typing import TYPE_CHECKING

from zeropoint.formats import F32
from zeropoint.kernels.products import module

if TYPE_CHECKING:
    from zeropoint.kernels._native import Transformer


def make_transformer(width: int, epsilon: float, output_norm: F32) -> "Transformer":
    """Return a transformer without layers. Raises ZeropointError without the extension."""
    made: Transformer = module().Transformer(width, epsilon, output_norm)
    return made
