"""Turns weights into blocks by a recipe; never imports torch."""

from zeropoint.quantizers.checkpoint import (
    Options,
    RowsWritten,
    TensorWritten,
    quantize_checkpoint,
    quantize_steps,
)
from zeropoint.quantizers.nearest import dequantize, quantize
from zeropoint.quantizers.outliers import TensorScanned, scan_outliers

__all__ = [
    "Options",
    "RowsWritten",
    "TensorScanned",
    "TensorWritten",
    "dequantize",
    "quantize",
    "quantize_checkpoint",
    "quantize_steps",
    "scan_outliers",
]
