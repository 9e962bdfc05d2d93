"""The parts of blocks: scale, zero point or minimum, and codes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Codes = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The unpacked contents of n blocks, whose weights are scale · (value − zero_point) + minimum.

    A format has a zero point, or a minimum, or neither. The value of a code is the code itself for
    integers (`values` is None), and an entry of a table for floats and lookup tables.
    """

    #: (n, block_size)
    codes: Codes
    #: (n, groups); a group has block_size / groups consecutive weights.
    scale: F32
    #: (n, groups), in units of codes.
    zero_point: Codes | None = None
    #: (n, groups), in units of weights.
    minimum: F32 | None = None
    #: (n, block_size)
    values: F32 | None = None

    def weights(self) -> F32:
        """Return the (n, block_size) weights in float32."""
        (n, count), groups = self.codes.shape, self.scale.shape[1]
        values = self.codes.astype(np.float32) if self.values is None else self.values
        grouped = values.reshape(n, groups, count // groups)
        if self.zero_point is not None:
            grouped = grouped - self.zero_point[:, :, None].astype(np.float32)
        with np.errstate(invalid="ignore", over="ignore"):  # any bytes decode, also to inf · 0
            weights = self.scale[:, :, None] * grouped
            if self.minimum is not None:
                weights = weights + self.minimum[:, :, None]
        return weights.reshape(n, count)
