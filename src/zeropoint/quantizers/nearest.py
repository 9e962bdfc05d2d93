"""Encodes an array in one format, and decodes it."""

import numpy as np

from zeropoint import kernels
from zeropoint.errors import FormatError
from zeropoint.formats import F32, Format, QuantizedTensor, find_format


def quantize(
    weights: F32,
    format: Format | str,
    importance: F32 | None = None,
    *,
    threads: int | None = None,
) -> QuantizedTensor:
    """Encode an array of any shape so that Σ importance · (w − ŵ)² is small.

    `weights` are converted to float32. `format` is a Format or its name, in any case. `importance`
    is the weight of a squared error in each column: (columns,), or (experts, columns) for weights
    of shape (experts, rows, columns); None means 1 everywhere. `threads` None uses all processor
    cores; the bytes do not depend on it.

    Raises FormatError for a weight that is not finite, for rows that are not a multiple of the
    format's block, and for importance of another shape, negative, or not finite.
    """
    format = find_format(format) if isinstance(format, str) else format
    threads = kernels.default_threads() if threads is None else threads
    weights = np.asarray(weights, np.float32)
    if importance is not None and importance.ndim == 2:
        return quantize_experts(weights, format, importance, threads)
    shape, columns = weights.shape, weights.shape[-1] if weights.ndim else 1
    if importance is not None and importance.shape != (columns,):
        raise FormatError(
            f"importance has shape {importance.shape}, the rows have {columns} weights"
        )
    bound = format.for_shape(shape)
    # The block of a format "per tensor" is the whole tensor: its rows are joined.
    width = max(columns, bound.block_size)
    if importance is not None and width > columns:
        importance = np.tile(importance, width // columns)
    blocks = kernels.encode(bound, weights.reshape(-1, width), importance, threads=threads)
    return QuantizedTensor(bound, shape, blocks)


def quantize_experts(
    weights: F32, format: Format, importance: F32, threads: int
) -> QuantizedTensor:
    """Encode weights (experts, rows, columns), each expert with its own row of `importance`."""
    if weights.ndim != 3 or importance.shape != (weights.shape[0], weights.shape[2]):
        raise FormatError(
            f"importance of shape {importance.shape} needs weights (experts, rows, columns) with as"
            f" many experts and columns; these have shape {weights.shape}"
        )
    bound = format.for_shape(weights.shape)
    if bound.block_size > weights.shape[2]:
        raise FormatError(
            f"a block of {format.name} spans several experts; give one importance for all of them"
        )
    parts = [
        kernels.encode(bound, expert, row, threads=threads)
        for expert, row in zip(weights, importance, strict=True)
    ]
    return QuantizedTensor(bound, weights.shape, np.concatenate(parts))


def dequantize(tensor: QuantizedTensor, *, threads: int | None = None) -> F32:
    """Return the weights of a tensor as float32, in its shape. Any bytes can be decoded."""
    threads = kernels.default_threads() if threads is None else threads
    return kernels.decode(tensor.format, tensor.data, threads=threads).reshape(tensor.shape)
