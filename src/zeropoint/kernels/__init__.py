"""The same bits as `formats`, fast: the compiled extension behind a few functions."""

from zeropoint.kernels.dispatch import (
    decode,
    default_threads,
    encode,
    has_decoder,
    has_encoder,
    variant,
    weighted_error,
)

__all__ = [
    "decode",
    "default_threads",
    "encode",
    "has_decoder",
    "has_encoder",
    "variant",
    "weighted_error",
]
