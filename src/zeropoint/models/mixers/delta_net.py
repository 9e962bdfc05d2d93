"""Gated delta net: a linear attention whose state forgets and is corrected (arXiv:2412.06464).

    q, k, v = silu(causal convolution of (x · Wᵀ) over the last `kernel` positions)
    q and k are divided by their length per head, q also by √key_size
    β = sigmoid(x · W_βᵀ)    g = exp(a · softplus(x · W_αᵀ + dt)),  a < 0
    S_p = g S_{p−1} + k ⊗ β (v − g S_{p−1}ᵀ k)    y_p = S_pᵀ q
    out = W_out · (rms_norm(y) · silu(x · W_zᵀ))

Each head of values has a state S of (key_size, value_size). Several of them share one head of
queries and keys.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np

from zeropoint.formats import F32
from zeropoint.models.layer_state import STATE_PITCH, LayerState, RecurrentShape, RecurrentState
from zeropoint.models.layer_steps import LayerSteps, PassRows, sigmoid, softplus
from zeropoint.models.layer_tensors import Has, LayerTensors, Shapes, with_extras
from zeropoint.models.mixers.convolution import convolve

LENGTH_EPSILON = np.float32(1e-6)  # added to squared lengths, whatever the epsilon of the norms


@dataclass(frozen=True, kw_only=True)
class DeltaNet:
    """The numbers of one layer's gated delta net."""

    key_heads: int
    value_heads: int
    size: int  # of a head of keys, and of values
    kernel: int  # positions that the convolution sees, the current one included
    tiled: bool  # value head h uses key head h % key_heads; otherwise h // (heads per key head)

    @property
    def channels(self) -> int:
        """Queries, keys and values of a position."""
        return (2 * self.key_heads + self.value_heads) * self.size

    @property
    def pitch(self) -> int:
        """Floats between the rows of a state."""
        return -(-self.size // STATE_PITCH) * STATE_PITCH

    @property
    def state(self) -> RecurrentShape:
        """The last inputs of the convolution, and the state of each head of values."""
        return RecurrentShape(
            shapes=(
                (self.kernel - 1, self.channels),
                (self.value_heads, self.size, self.pitch),
            )
        )

    @property
    def sources(self) -> list[int]:
        """The head of keys that each head of values uses."""
        shared = self.value_heads // self.key_heads
        heads = range(self.value_heads)
        return [head % self.key_heads if self.tiled else head // shared for head in heads]

    def shapes(self, width: int, has: Has) -> Shapes:
        """Return the required shape of each tensor that the layer may have, by role."""
        values = self.value_heads * self.size
        matrices: Shapes = {
            "attn_qkv": (self.channels, width),
            "attn_gate": (values, width),
            "ssm_alpha": (self.value_heads, width),
            "ssm_beta": (self.value_heads, width),
            "ssm_ba": (2 * self.value_heads, width),
            "ssm_out": (width, values),
        }
        return with_extras(matrices, biased=False) | {
            "ssm_conv1d": (self.channels, self.kernel),
            "ssm_a": (self.value_heads,),
            "ssm_dt": (self.value_heads,),
            "ssm_norm": (self.size,),
        }

    def mix(self, steps: LayerSteps, x: F32, state: LayerState, rows: PassRows) -> F32:
        """Return what the net computes from normed rows x (n, width): (n, width)."""
        inputs, gate = steps.linear("attn_qkv", x), steps.linear("attn_gate", x)
        rates, decays = self._gates(steps, x)
        mixed = np.empty((len(x), self.value_heads, self.size), np.float32)
        last, matrices = cast(RecurrentState, state).arrays
        for sequence, start in enumerate(rows.starts.tolist()):
            own = rows.of(sequence)
            if start == 0:
                last[sequence], matrices[sequence] = 0, 0
            qkv = convolve(inputs[own], steps.vector("ssm_conv1d"), last[sequence])
            qkv = qkv * sigmoid(qkv)
            self._advance(qkv, rates[own], decays[own], matrices[sequence], mixed[own])
        normed = steps.norm("ssm_norm", mixed).reshape(len(x), -1)
        return steps.linear("ssm_out", normed * (gate * sigmoid(gate)))

    def _gates(self, steps: LayerSteps, x: F32) -> tuple[F32, F32]:
        """Return β and g of each row and head of values: two (n, value_heads)."""
        if steps.has("ssm_ba"):  # β and α of each head of keys lie side by side
            both = steps.linear("ssm_ba", x).reshape(len(x), self.key_heads, 2, -1)
            beta, alpha = (both[:, :, part].reshape(len(x), -1) for part in range(2))
        else:
            beta, alpha = steps.linear("ssm_beta", x), steps.linear("ssm_alpha", x)
        alpha = alpha + steps.vector("ssm_dt")
        decays = np.exp(softplus(alpha) * steps.vector("ssm_a"), dtype=np.float32)
        return sigmoid(beta), decays

    def _advance(self, qkv: F32, rates: F32, decays: F32, matrices: F32, out: F32) -> None:
        """Take the positions of qkv (n, channels) one after another; `out` gets y."""
        heads = qkv.reshape(len(qkv), -1, self.size)
        q, k, v = np.split(heads, [self.key_heads, 2 * self.key_heads], axis=1)
        q, k = (part[:, self.sources] / _length(part)[:, self.sources] for part in (q, k))
        q = q * np.float32(self.size**-0.5)
        state = matrices[..., : self.size]
        for position in range(len(qkv)):
            decay = decays[position, :, None]
            known = np.einsum("hi,hij->hj", k[position], state) * decay
            change = (v[position] - known) * rates[position, :, None]
            state[:] = state * decay[..., None] + k[position][..., None] * change[:, None]
            out[position] = np.einsum("hi,hij->hj", q[position], state)


def _length(heads: F32) -> F32:
    squares = np.square(heads).sum(axis=-1, keepdims=True)
    length: F32 = np.sqrt(squares + LENGTH_EPSILON)
    return length


def is_delta_net(tensors: LayerTensors) -> bool:
    """Return whether a layer is a delta net: by a list of flags, or all but each n-th layer."""
    header, key = tensors.header, "attention.recurrent_layers"
    every = header.integer("full_attention_interval", 4, minimum=1)
    if header.get(key) is not None:
        return header.flag(key, layer=tensors.index)
    layers = header.integer("block_count") - header.integer("nextn_predict_layers", 0)
    return tensors.index < layers and (tensors.index + 1) % every != 0


def read_delta_net(tensors: LayerTensors) -> DeltaNet:
    """Return the gated delta net of a layer; its tensors are taken.

    Raises CheckpointError for a missing key or tensor, and for sizes that do not fit each other.
    """
    header = tensors.header
    key_heads = header.integer("ssm.group_count", minimum=1)
    value_heads = header.integer("ssm.time_step_rank", minimum=1)
    size = header.integer("ssm.state_size", minimum=1)
    name = header.architecture
    if value_heads % key_heads:
        raise header.wrong(
            "ssm.group_count",
            f"is {key_heads}; it must divide {name}.ssm.time_step_rank, {value_heads}",
        )
    inner = header.integer("ssm.inner_size")
    if inner != value_heads * size:
        raise header.wrong(
            "ssm.inner_size",
            f"is {inner}; it must be {name}.ssm.time_step_rank · {name}.ssm.state_size, "
            f"{value_heads} · {size}",
        )
    if header.text("hidden_activation", "silu") != "silu":
        raise header.wrong("hidden_activation", "the convolution of a delta net has silu only")
    _take_tensors(tensors)
    return DeltaNet(
        key_heads=key_heads,
        value_heads=value_heads,
        size=size,
        kernel=header.integer("ssm.conv_kernel", minimum=2),
        tiled=tensors.family.tiled_values,
    )


def _take_tensors(tensors: LayerTensors) -> None:
    tensors.matrices("attn_qkv", "attn_gate", biased=False)
    gates = ["ssm_ba"] if tensors.has("ssm_ba") else ["ssm_beta", "ssm_alpha"]
    tensors.matrices(*gates, "ssm_out", biased=False)
    tensors.weights("ssm_conv1d", "ssm_norm")
    tensors.vector("ssm_a", "ssm_a")
    tensors.vector("ssm_dt", "ssm_dt.bias")
