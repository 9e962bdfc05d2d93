"""Decodes rows from one format and encodes them in another in one pass over memory."""

from dataclasses import dataclass

import numpy as np

from zeropoint.formats import F32, U8, Format, QuantizedTensor
from zeropoint.kernels.dispatch import (
    check_importance,
    decode,
    encode,
    has_decoder,
    has_encoder,
    native,
    weighted_error,
)


@dataclass(frozen=True)
class TranscodedRows:
    """Rows of weights in their new format, and what that cost."""

    #: (blocks, block_bytes) uint8
    blocks: U8
    error: float  # Σ importance · (w − ŵ)², importance 1 where there is none
    power: float  # Σ importance · w²


def transcode(
    rows: QuantizedTensor, target: Format, importance: F32 | None = None, *, threads: int = 1
) -> TranscodedRows:
    """Encode the stored rows (rows, columns) in `target`.

    The result is that of `decode`, `encode` and `weighted_error`, bit for bit, and so are the
    errors raised. With compiled kernels for both formats the weights exist only a tile at a time,
    in the cache, so it is faster than these steps and needs no memory for float32 arrays.
    """
    columns = rows.shape[-1]
    module = native()
    if (
        module is not None
        and columns
        and columns % target.block_size == 0
        and has_decoder(rows.format.name)
        and has_encoder(target.name)
    ):
        if importance is not None:
            importance = check_importance(importance, columns)
        count = rows.data.size // rows.format.block_bytes * rows.format.block_size
        blocks = np.empty((count // target.block_size, target.block_bytes), np.uint8)
        stored = np.ascontiguousarray(rows.data).reshape(-1)
        found = module.transcode(
            *(rows.format.name, target.name, stored),
            *(importance, target.limit, columns, blocks, threads),
        )
        if found is not None:
            return TranscodedRows(blocks, *found)
    return transcode_in_steps(rows, target, importance, threads=threads)


def transcode_in_steps(
    rows: QuantizedTensor, target: Format, importance: F32 | None = None, *, threads: int = 1
) -> TranscodedRows:
    """Do what `transcode` does step by step: the specification of the kernel.

    Raises what `encode` raises for a weight that is not finite or that `target` cannot hold.
    """
    weights = decode(rows.format, rows.data, threads=threads).reshape(rows.shape)
    blocks = encode(target, weights, importance, threads=threads)
    decoded = decode(target, blocks, threads=threads).reshape(rows.shape)
    error = weighted_error(weights, decoded, importance, threads=threads)
    power = weighted_error(weights, None, importance, threads=threads)
    return TranscodedRows(blocks, error, power)
