"""Mamba-2: a linear attention whose state forgets (arXiv:2405.21060).

    z, xBC, d = split(x · W_inᵀ)
    x, B, C = silu(causal convolution of xBC over the last `kernel` positions + bias)
    Δ = softplus(d + dt)    g = exp(a Δ),  a < 0
    S_p = g S_{p−1} + B ⊗ Δ x    y_p = S_pᵀ C + D x
    out = W_out · rms_norm(y · silu(z)) over the elements of each group

Each head has a state S of (state_size, size). The heads of a group share B and C.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np

from zeropoint.formats import F32
from zeropoint.models.layer_state import STATE_PITCH, LayerState, RecurrentShape, RecurrentState
from zeropoint.models.layer_steps import LayerSteps, PassRows, rms_norm, sigmoid, softplus
from zeropoint.models.layer_tensors import Has, LayerTensors, Shapes, with_extras
from zeropoint.models.mixers.convolution import convolve


@dataclass(frozen=True, kw_only=True)
class Mamba2:
    """The numbers of one layer's Mamba-2."""

    heads: int
    size: int  # elements of a head
    groups: int
    state_size: int
    kernel: int  # positions that the convolution sees, the current one included

    @property
    def inner(self) -> int:
        """The elements of all heads."""
        return self.heads * self.size

    @property
    def channels(self) -> int:
        """The inputs of the convolution at a position: heads, B and C."""
        return self.inner + 2 * self.groups * self.state_size

    @property
    def state(self) -> RecurrentShape:
        """The last inputs of the convolution, and the state of each head."""
        pitch = -(-self.size // STATE_PITCH) * STATE_PITCH
        return RecurrentShape(
            shapes=((self.kernel - 1, self.channels), (self.heads, self.state_size, pitch))
        )

    def shapes(self, width: int, has: Has) -> Shapes:
        """Return the required shape of each tensor that the layer may have, by role."""
        matrices: Shapes = {
            "ssm_in": (self.inner + self.channels + self.heads, width),
            "ssm_out": (width, self.inner),
        }
        return with_extras(matrices) | {
            "ssm_conv1d": (self.channels, self.kernel),
            "ssm_conv1d.bias": (self.channels,),
            "ssm_a": (self.heads, 1),
            "ssm_d": (self.heads, 1),
            "ssm_dt": (self.heads,),
            "ssm_norm": (self.groups, self.inner // self.groups),
        }

    def mix(self, steps: LayerSteps, x: F32, state: LayerState, rows: PassRows) -> F32:
        """Return what the layer computes from normed rows x (n, width): (n, width)."""
        joined = steps.linear("ssm_in", x)
        gate, inputs, times = np.split(joined, [self.inner, self.inner + self.channels], axis=1)
        times = softplus(times + steps.vector("ssm_dt"))
        decays = np.exp(times * steps.vector("ssm_a")[:, 0], dtype=np.float32)
        mixed = np.empty((len(x), self.heads, self.size), np.float32)
        last, matrices = cast(RecurrentState, state).arrays
        for sequence, start in enumerate(rows.starts.tolist()):
            own = rows.of(sequence)
            if start == 0:
                last[sequence], matrices[sequence] = 0, 0
            line = convolve(inputs[own], steps.vector("ssm_conv1d"), last[sequence])
            if steps.has("ssm_conv1d.bias"):
                line = line + steps.vector("ssm_conv1d.bias")
            line = line * sigmoid(line)
            self._advance(line, times[own], decays[own], matrices[sequence], mixed[own])
            heads = line[:, : self.inner].reshape(mixed[own].shape)
            mixed[own] += steps.vector("ssm_d") * heads
        gated = mixed.reshape(len(x), -1) * (gate * sigmoid(gate))
        grouped = gated.reshape(len(x), self.groups, -1)
        normed = rms_norm(grouped, steps.vector("ssm_norm"), steps.epsilon)
        return steps.linear("ssm_out", normed.reshape(len(x), -1))

    def _advance(self, line: F32, times: F32, decays: F32, matrices: F32, out: F32) -> None:
        """Take the positions of line (n, channels) one after another; `out` gets Sᵀ C."""
        heads = line[:, : self.inner].reshape(out.shape) * times[..., None]
        both = line[:, self.inner :].reshape(len(line), 2, self.groups, -1)
        keys, queries = np.repeat(both, self.heads // self.groups, axis=2).swapaxes(0, 1)
        state = matrices[..., : self.size]
        for position in range(len(line)):
            state *= decays[position, :, None, None]
            state += keys[position][..., None] * heads[position][:, None]
            out[position] = np.einsum("hi,hij->hj", queries[position], state)


def read_mamba2(tensors: LayerTensors) -> Mamba2:
    """Return the Mamba-2 of a layer; its tensors are taken.

    Raises CheckpointError for a missing key or tensor, and for sizes that do not fit each other.
    """
    header = tensors.header
    heads = header.integer("ssm.time_step_rank", minimum=1)
    groups = header.integer("ssm.group_count", minimum=1)
    inner = header.integer("ssm.inner_size", minimum=1)
    for key, value, whole in (
        ("ssm.time_step_rank", heads, inner),
        ("ssm.group_count", groups, heads),
    ):
        if whole % value:
            name = "ssm.inner_size" if whole is inner else "ssm.time_step_rank"
            raise header.wrong(
                key, f"is {value}; it must divide {header.architecture}.{name}, {whole}"
            )
    tensors.matrices("ssm_in", "ssm_out")
    tensors.weights("ssm_conv1d", "ssm_norm")
    tensors.take("ssm_conv1d.bias")
    tensors.vector("ssm_a", "ssm_a")
    tensors.vector("ssm_d", "ssm_d")
    tensors.vector("ssm_dt", "ssm_dt.bias")
    return Mamba2(
        heads=heads,
        size=inner // heads,
        groups=groups,
        state_size=header.integer("ssm.state_size", minimum=1),
        kernel=header.integer("ssm.conv_kernel", minimum=2),
    )
