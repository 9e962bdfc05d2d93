"""A short convolution between two gates, the mixer of LFM2 (arXiv:2511.23404).

    b, c, u = split(x · W_inᵀ)
    y_p = c_p · Σ_t w_t · (b · u)_{p − kernel + 1 + t}   of each channel
    out = y · W_outᵀ

It sees the last `kernel` positions. Its state are the products b · u before the current one.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np

from zeropoint.formats import F32
from zeropoint.models.layer_state import LayerState, RecurrentShape, RecurrentState
from zeropoint.models.layer_steps import LayerSteps, PassRows
from zeropoint.models.layer_tensors import Has, LayerTensors, Shapes, with_extras
from zeropoint.models.mixers.convolution import convolve

MAX_KERNEL = 1 << 16  # positions; the state has so many rows


@dataclass(frozen=True, kw_only=True)
class ShortConvolution:
    """The numbers of one layer's short convolution."""

    width: int  # channels, as many as the residual stream has elements
    kernel: int  # positions that it sees, the current one included

    @property
    def state(self) -> RecurrentShape:
        """The last inputs of the convolution."""
        return RecurrentShape(shapes=((self.kernel - 1, self.width),))

    def shapes(self, width: int, has: Has) -> Shapes:
        """Return the required shape of each tensor that the layer may have, by role."""
        matrices: Shapes = {
            "shortconv.in_proj": (3 * width, width),
            "shortconv.out_proj": (width, width),
        }
        return with_extras(matrices, biased=False) | {"shortconv.conv": (width, self.kernel)}

    def mix(self, steps: LayerSteps, x: F32, state: LayerState, rows: PassRows) -> F32:
        """Return what the convolution computes from normed rows x (n, width): (n, width)."""
        before, after, inputs = np.split(steps.linear("shortconv.in_proj", x), 3, axis=1)
        products, mixed = before * inputs, np.empty_like(x)
        (last,) = cast(RecurrentState, state).arrays
        for sequence, start in enumerate(rows.starts.tolist()):
            own = rows.of(sequence)
            if start == 0:
                last[sequence] = 0
            mixed[own] = convolve(products[own], steps.vector("shortconv.conv"), last[sequence])
        return steps.linear("shortconv.out_proj", after * mixed)


def read_short_convolution(tensors: LayerTensors) -> ShortConvolution:
    """Return the short convolution of a layer; its tensors are taken.

    Raises CheckpointError for a missing key or tensor.
    """
    header = tensors.header
    if header.text("hidden_activation", "silu") != "silu":
        raise header.wrong("hidden_activation", "models with short convolutions have silu only")
    tensors.matrices("shortconv.in_proj", "shortconv.out_proj", biased=False)
    tensors.weights("shortconv.conv")
    return ShortConvolution(
        width=header.integer("embedding_length", minimum=1),
        kernel=header.integer("shortconv.l_cache", minimum=2, maximum=MAX_KERNEL),
    )
