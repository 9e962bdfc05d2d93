"""The same bits as `formats`, fast: the compiled extension behind two functions."""

from zeropoint.kernels.dispatch import decode, default_threads, has_decoder, variant

__all__ = ["decode", "default_threads", "has_decoder", "variant"]
