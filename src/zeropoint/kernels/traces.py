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

UNIT_COLUMNS = 32  # columns with one activation scale

I32 = NDArray[np.int32]


@dataclass(frozen=True)
class IntegerTrace:
    """A product of 8-bit integers: mode `fast` on codes.

    For each unit u of 32 columns and each of its groups g (one or two, each with a scale):

        dots[u, g]  = Σ (codes − zero_point) · activation_codes            exact, in int32
        totals[u]   = totals[u − 1] + Σ_g dots[u, g] · scales[u, g] · activation_scales[u]
                                    + Σ_g minimums[u, g] · activation_sums[u, g]     in float32
    """

    #: (units, 32), as they are multiplied, with the zero point.
    codes: I32
    #: Subtracted by `starts`; 0: the codes are signed, or have a minimum.
    zero_point: int
    #: (units, groups), start of each dot product: −zero_point · the sum of activation codes.
    starts: I32
    #: (units, groups)
    dots: I32
    #: (units, groups)
    scales: F32
    #: (units, groups)
    minimums: F32 | None
    #: (units,), the sum after each unit.
    totals: F32
    #: (units, 32), in −127 … 127.
    activation_codes: I32
    #: (units,)
    activation_scales: F32
    #: (units, groups), scale · sum of the activation codes.
    activation_sums: F32 | None
    result: np.float32


@dataclass(frozen=True)
class FloatTrace:
    """A product in float32: mode `exact`, and `fast` for weights that are floats.

    In a unit of 32 columns `chains` are the partial sums; the last one of a unit is added to the
    total.
    """

    #: (units, 32), the decoded weights, with zeros after the last column.
    weights: F32
    #: (units, 32)
    chains: F32
    #: (units,), the sum after each unit.
    totals: F32
    result: np.float32


def trace(tensor: QuantizedTensor, x: F32, row: int, mode: Mode) -> IntegerTrace | FloatTrace:
    """Multiply a row of a (rows, columns) tensor with (columns,) activations and return the trace.

    A format without a kernel is decoded to float32 first, as in `pack`. Raises IndexError if the
    row does not exist, FormatError if the tensor is not a matrix.
    """
    return trace_packed(pack(tensor), x, row, mode)


def trace_packed(packed: "PackedMatrix", x: F32, row: int, mode: Mode) -> IntegerTrace | FloatTrace:
    """Return the trace for a matrix that is already packed."""
    x = np.ascontiguousarray(x, np.float32)
    units = -(-packed.columns // UNIT_COLUMNS)
    groups, zero_point, has_minimum = module().product_shape(packed)
    totals = np.empty(units, np.float32)
    if mode == "exact" or groups == 0:
        weights, chains = np.empty((2, units, UNIT_COLUMNS), np.float32)
        result = module().trace_exact(packed, row, x, weights, chains, totals)
        return FloatTrace(weights, chains, totals, np.float32(result))
    codes = np.empty((units, UNIT_COLUMNS), np.uint8)
    starts, dots = np.zeros((2, units, groups), np.int32)
    scales, minimums, sums = np.zeros((3, units, groups), np.float32)
    activation_codes = np.empty((units, UNIT_COLUMNS), np.int8)
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
