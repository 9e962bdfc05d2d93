"""Compiled kernels that give the same bits as `formats`, and a compiled forward pass."""

from zeropoint.kernels.dispatch import (
    decode,
    default_threads,
    encode,
    first_not_finite,
    has_decoder,
    has_encoder,
    variant,
    weighted_error,
)
from zeropoint.kernels.passes import histogram, moments, worst_block
from zeropoint.kernels.products import (
    Mode,
    has_products,
    matmul,
    matmul_many,
    pack,
    pack_slabs,
    unpack_rows,
)
from zeropoint.kernels.traces import FloatTrace, IntegerTrace, trace, trace_packed
from zeropoint.kernels.transcoded_rows import TranscodedRows, transcode
from zeropoint.kernels.transformer import (
    cache_type,
    make_layer,
    make_linear,
    make_rotation,
    make_routing,
    make_transformer,
)

__all__ = [
    "FloatTrace",
    "IntegerTrace",
    "Mode",
    "TranscodedRows",
    "cache_type",
    "decode",
    "default_threads",
    "encode",
    "first_not_finite",
    "has_decoder",
    "has_encoder",
    "has_products",
    "histogram",
    "make_layer",
    "make_linear",
    "make_rotation",
    "make_routing",
    "make_transformer",
    "matmul",
    "matmul_many",
    "moments",
    "pack",
    "pack_slabs",
    "trace",
    "trace_packed",
    "transcode",
    "unpack_rows",
    "variant",
    "weighted_error",
    "worst_block",
]
