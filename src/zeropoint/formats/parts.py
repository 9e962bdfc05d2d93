"""The parts of blocks by name: scale, zero point or minimum, codes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Codes = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What n blocks say, unpacked: the weights are scale · (value − zero_point) + minimum.

    A format has a zero point, or a minimum, or neither. `value` is what a code means: the code
    itself for integers (`values` is None), a table's entry for floats and lookup tables.
    """

    codes: Codes  # (n, block_size)
    scale: F32  # (n, groups), a group is block_size / groups neighbours
    zero_point: Codes | None = None  # (n, groups), in codes
    minimum: F32 | None = None  # (n, groups), in weights
    values: F32 | None = None  # (n, block_size)

    def weights(self) -> F32:
        """Return the (n, block_size) weights, in float32."""
        (n, count), groups = self.codes.shape, self.scale.shape[1]
        values = self.codes.astype(np.float32) if self.values is None else self.values
        grouped = values.reshape(n, groups, count // groups)
        if self.zero_point is not None:
            grouped = grouped - self.zero_point[:, :, None].astype(np.float32)
        with np.errstate(invalid="ignore", over="ignore"):  # any bytes decode, inf · 0 too
            weights = self.scale[:, :, None] * grouped
            if self.minimum is not None:
                weights = weights + self.minimum[:, :, None]
        return weights.reshape(n, count)
