"""Encodes the weights of a checkpoint by a recipe, into a file or in memory."""

from zeropoint.quantizers.checkpoint import (
    check_storable,
    check_writable,
    quantize_tensors,
    write_quantized,
)
from zeropoint.quantizers.nearest import dequantize, quantize
from zeropoint.quantizers.outcome import (
    KindSummary,
    relative_error,
    save_evidence,
    summarize_by_kind,
    summarize_errors,
    tensor_result,
)
from zeropoint.quantizers.outliers import TensorScanned, matrices, scan_outliers
from zeropoint.quantizers.provenance import output_metadata
from zeropoint.quantizers.records import OutputWritten, RowsWritten, TensorWritten, WriteOptions

__all__ = [
    "KindSummary",
    "OutputWritten",
    "RowsWritten",
    "TensorScanned",
    "TensorWritten",
    "WriteOptions",
    "check_storable",
    "check_writable",
    "dequantize",
    "matrices",
    "output_metadata",
    "quantize",
    "quantize_tensors",
    "relative_error",
    "save_evidence",
    "scan_outliers",
    "summarize_by_kind",
    "summarize_errors",
    "tensor_result",
    "write_quantized",
]
