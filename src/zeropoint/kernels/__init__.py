"""The same bits as `formats`, fast: the compiled extension behind a few functions."""

from zeropoint.kernels.dispatch import (
    decode,
    default_threads,
    encode,
    first_not_finite,
    has_decoder,
    has_encoder,
    moments,
    variant,
    weighted_error,
)

__all__ = [
    "decode",
    "default_threads",
    "encode",
    "first_not_finite",
    "has_decoder",
    "has_encoder",
    "moments",
    "variant",
    "weighted_error",
]
