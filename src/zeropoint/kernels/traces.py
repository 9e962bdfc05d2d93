"""One dot product with all intermediate values of the kernel that computes it.

The values are not computed again in Python: the kernel is compiled a second time, with code that
records them (native/src/matmul/variants/fast.hpp and exact.hpp). Its result has the bits of
`matmul`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats import F32, QuantizedTensor
from zeropoint.kernels.products import Mode, module, pack

if TYPE_CHECKING:
    from zeropoint.kernels._native import PackedMatrix

UNIT = 32  # columns that share an activation scale

I32 = NDArray[np.int32]


@dataclass(frozen=True)
class IntegerTrace:
    """A product in 8-bit integers: `fast` on codes.

    Of each unit u of 32 columns and each of its groups g (one or two that have a scale each):

        dots[u, g]  = Σ (codes − zero_point) · activation_codes            exact, in int32
        totals[u]   = totals[u − 1] + Σ_g dots[u, g] · scales[u, g] · activation_scales[u]
                                    + Σ_g minimums[u, g] · activation_sums[u, g]     in float32
    """

    codes: I32  # (units, 32): as they are multiplied; the zero point is still in them
    zero_point: int  # taken off through `starts`; 0: the codes have their sign, or a minimum
    starts: I32  # (units, groups): −zero_point · the sum of activation codes; the dots begin here
    dots: I32  # (units, groups)
    scales: F32  # (units, groups)
    minimums: F32 | None  # (units, groups)
    totals: F32  # (units,): after each unit
    activation_codes: I32  # (units, 32): in −127 … 127
    activation_scales: F32  # (units,)
    activation_sums: F32 | None  # (units, groups): scale · sum of the activation codes
    result: np.float32


@dataclass(frozen=True)
class FloatTrace:
    """A product in float32: `exact`, and of weights that are floats also `fast`.

    In a unit of 32 columns `chains` adds product by product; a unit's last one goes to the total.
    """

    weights: F32  # (units, 32): as `decode` gives them; zeros after the last column
    chains: F32  # (units, 32)
    totals: F32  # (units,): after each unit
    result: np.float32


def trace(tensor: QuantizedTensor, x: F32, row: int, mode: Mode) -> IntegerTrace | FloatTrace:
    """Multiply one row of a (rows, columns) tensor with (columns,) activations, and tell all.

    A format that has no kernel is decoded to float32 first, as `pack` does. Raises IndexError if
    there is no such row, FormatError if the tensor is no matrix.
    """
    return trace_packed(pack(tensor), x, row, mode)


def trace_packed(packed: "PackedMatrix", x: F32, row: int, mode: Mode) -> IntegerTrace | FloatTrace:
    """Do the same with a matrix that is packed already."""
    x = np.ascontiguousarray(x, np.float32)
    units = -(-packed.columns // UNIT)
    groups, zero_point, has_minimum = module().product_shape(packed)
    totals = np.empty(units, np.float32)
    if mode == "exact" or groups == 0:
        weights, chains = np.empty((2, units, UNIT), np.float32)
        result = module().trace_exact(packed, row, x, weights, chains, totals)
        return FloatTrace(weights, chains, totals, np.float32(result))
    codes = np.empty((units, UNIT), np.uint8)
    starts, dots = np.zeros((2, units, groups), np.int32)
    scales, minimums, sums = np.zeros((3, units, groups), np.float32)
    activation_codes = np.empty((units, UNIT), np.int8)
    activation_scales = np.empty(units, np.float32)
    result = module().trace_fast(
        packed, row, x, codes, dots, scales, minimums, totals, activation_codes, activation_scales,
        starts, sums,
    )  # fmt: skip
    signed = codes if zero_point else codes.view(np.int8)
    return IntegerTrace(
        codes=signed.astype(np.int32), zero_point=zero_point, starts=starts, dots=dots,
        scales=scales, minimums=minimums if has_minimum else None, totals=totals,
        activation_codes=activation_codes.astype(np.int32), activation_scales=activation_scales,
        activation_sums=sums if has_minimum else None, result=np.float32(result),
    )  # fmt: skip
