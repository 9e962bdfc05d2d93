"""ggml's first formats: one float16 scale (and minimum) for 32 weights."""

from dataclasses import dataclass

import numpy as np

from zeropoint.formats.base import F32, U8, Format, check_weights


@dataclass(frozen=True, kw_only=True)
class Q8_0(Format):
    """8-bit codes, one scale: w = scale · q, q in −127…127.

    Block (34 bytes):  0-1 scale f16 | 2-33 codes i8
    """

    name: str = "Q8_0"
    block_size: int = 32
    block_bytes: int = 34
    group_size: int = 32

    def decode_blocks(self, blocks: U8) -> F32:
        scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)  # (n, 1)
        codes = blocks[:, 2:].copy().view(np.int8).astype(np.float32)  # (n, 32)
        with np.errstate(invalid="ignore"):  # inf · 0: any bytes decode
            return scale * codes

    def encode_blocks(self, weights: F32, importance: F32 | None = None) -> U8:
        check_weights(weights, importance, self.block_size)
        raise NotImplementedError
