"""Other scales into blocks whose codes stay: what training the scales of a file needs.

The factors of all kinds of scale codes (see `scale_codes`) give the scales and minimums of a block:

    scale   = unit · Π factors of the kinds that scale the weights
    minimum = sign · Π factors of the kinds that scale the minimum

A product has at most two factors, and both are exact in float32, so the order is free.
"""

from collections.abc import Sequence
from functools import reduce

import numpy as np

from zeropoint.errors import FormatError
from zeropoint.formats.base import F32, Format
from zeropoint.formats.scale_codes import ScaleCodes, scale_codes

# What the scale of a group is beside its factors, where that is not 1.
_UNITS = {"IQ2_XXS": 0.25, "IQ2_XS": 0.25, "IQ2_S": 0.25, "IQ3_XXS": 0.5}
_SUBTRACTED_MINIMUMS = ("Q2_K", "Q4_K", "Q5_K")
# A step of MXFP4's scale is a factor of 2, and the values of IQ1 contain a shift of their own.
_NOT_TRAINABLE = ("MXFP4", "IQ1_S", "IQ1_M")


def can_rescale(format: Format) -> bool:
    """Return whether `rescalable` supports the format."""
    return format.name not in _NOT_TRAINABLE and bool(scale_codes(format))


def rescalable(format: Format) -> tuple[ScaleCodes, ...]:
    """Return the kinds of scale codes of a format, the finest first.

    Raises FormatError for a format whose scales cannot be trained.
    """
    if not can_rescale(format):
        raise FormatError(f"{format.name} has no scales that can be trained while its codes stay")
    return scale_codes(format)


def scale_unit(format: Format) -> float:
    """Return what the product of a format's scale factors is multiplied with: a power of two."""
    return _UNITS.get(format.name, 1.0)


def minimum_sign(format: Format) -> float:
    """Return −1 for a format that subtracts its minimums, 1 for others."""
    return -1.0 if format.name in _SUBTRACTED_MINIMUMS else 1.0


def group_scales(format: Format, factors: Sequence[F32]) -> tuple[F32, F32 | None]:
    """Return scales and minimums (n, groups) of n blocks from the factors of each kind.

    `factors` are (n, codes per block) float32, in the order of `rescalable`. The result is that of
    `Format.parts` for the blocks with these factors; None for a format without minimums.
    """
    kinds = rescalable(format)
    groups = format.block_size // min(kind.columns for kind in kinds)
    wide = [np.repeat(one, groups // one.shape[1], axis=1) for one in factors]
    scales = [one for kind, one in zip(kinds, wide, strict=True) if not kind.minimum]
    minimums = [one for kind, one in zip(kinds, wide, strict=True) if kind.minimum]
    scale = reduce(np.multiply, scales) * np.float32(scale_unit(format))
    if not minimums:
        return scale, None
    return scale, reduce(np.multiply, minimums) * np.float32(minimum_sign(format))
