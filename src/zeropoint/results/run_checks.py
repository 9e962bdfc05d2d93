"""Checks of the arrays and rows of a run, made where they are loaded.

A run folder may have been edited, or written by another program: its arrays may have any shape and
its numbers any size. Each kind of array has one rule; everything behind it may rely on that.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FINITE = sys.float_info.max
ROUNDING = 1e-6  # a figure that cannot be negative may be, by this much

# Exceptions that wrong types and sizes of a damaged file cause in code that reads it.
DAMAGE_EXCEPTIONS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class ArrayRule:
    """The shape, kind and range of one array.

    `shape` has numbers, and names for lengths that several arrays share. `kind` is a numpy scalar
    type. All values lie in `low` … `high`; NaN does not.
    """

    shape: tuple[int | str, ...]
    kind: type[Any]
    low: float = -FINITE
    high: float = FINITE


ArrayRules = Mapping[str, ArrayRule]


def check_arrays(
    arrays: Mapping[str, NDArray[Any]], rules: ArrayRules, sizes: Mapping[str, int] | None = None
) -> None:
    """Raise ValueError for the first array that is missing or breaks its rule.

    `sizes` gives lengths that are known; the others must agree with each other.
    """
    known = dict(sizes or {})
    for name, rule in rules.items():
        array = arrays.get(name)
        if array is None:
            raise ValueError(f"it has no {name}")
        if not np.issubdtype(array.dtype, rule.kind):
            raise ValueError(f"{name} is of type {array.dtype}")
        wanted = [length if isinstance(length, int) else known.get(length) for length in rule.shape]
        if len(wanted) != array.ndim or any(
            want not in (None, have) for want, have in zip(wanted, array.shape, strict=True)
        ):
            raise ValueError(f"{name} has shape {array.shape}")
        known |= {
            length: have
            for length, have in zip(rule.shape, array.shape, strict=True)
            if isinstance(length, str)
        }
        if issubclass(rule.kind, np.number) and not _in_range(array, rule):
            raise ValueError(f"{name} has a value outside {rule.low:g} … {rule.high:g}")


def _in_range(array: NDArray[Any], rule: ArrayRule) -> bool:
    low, high = np.float64(rule.low), np.float64(rule.high)  # not rounded to the array's type
    return bool(((array >= low) & (array <= high)).all())


def finite_number(value: object, low: float = -FINITE) -> float:
    """Return a number of a row. Raises ValueError if it is no number, not finite, or too small."""
    if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > FINITE:
        raise ValueError("expected a finite number")
    if math.isnan(value) or value < low:
        raise ValueError(f"expected a number of at least {low:g}")
    return float(value)
