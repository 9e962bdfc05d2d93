"""Encodes the weights of a checkpoint by a recipe, into a file or in memory."""

from zeropoint.quantizers.checkpoint import (
    check_storable,
    quantize_checkpoint,
    quantize_steps,
    refuse,
)
from zeropoint.quantizers.nearest import dequantize, quantize
from zeropoint.quantizers.outcome import KindWritten, as_row, by_kind, relative_error, save_run
from zeropoint.quantizers.outliers import TensorScanned, matrices, scan_outliers
from zeropoint.quantizers.provenance import output_metadata
from zeropoint.quantizers.records import Options, OutputWritten, RowsWritten, TensorWritten

__all__ = [
    "KindWritten",
    "Options",
    "OutputWritten",
    "RowsWritten",
    "TensorScanned",
    "TensorWritten",
    "as_row",
    "by_kind",
    "check_storable",
    "dequantize",
    "matrices",
    "output_metadata",
    "quantize",
    "quantize_checkpoint",
    "quantize_steps",
    "refuse",
    "relative_error",
    "save_run",
    "scan_outliers",
]
