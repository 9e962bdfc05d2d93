"""The feed-forward part of a layer: a dense one, or a mixture of experts.

dense      ffn_down(ffn_sub_norm(activation(ffn_gate(x)) * ffn_up(x)))
mixture    Σ_e share_e(x) · expert_e(x) over the experts that the router ffn_gate_inp chooses
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import UnsupportedModel
from zeropoint.formats import F32
from zeropoint.models.layer_steps import LayerSteps, activate, softmax
from zeropoint.models.layer_tensors import Has, LayerTensors, Shapes, with_extras

DENSE = ("ffn_gate", "ffn_up", "ffn_down")
STACKS = ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")


class FeedForward(Protocol):
    """One kind of feed-forward part."""

    @property
    def activation(self) -> str:
        """The activation: silu, gelu (the tanh form) or relu2 (squared ReLU)."""

    @property
    def inner(self) -> int:
        """The columns of the last matrix, or of each expert's."""

    def shapes(self, width: int, has: Has) -> Shapes:
        """Return the required shape of each tensor that the layer may have, by role."""

    def apply(self, steps: LayerSteps, x: F32) -> F32:
        """Return what it computes from normed rows x: (n, width) gives (n, width)."""


@dataclass(frozen=True, kw_only=True)
class Dense:
    """The same matrices for all rows."""

    activation: str
    inner: int  # columns of ffn_down

    def shapes(self, width: int, has: Has) -> Shapes:
        """Return the required shape of each tensor that the layer may have, by role.

        Without a matrix ffn_gate, the gate's rows are the first half of ffn_up.
        """
        matrices: Shapes = {
            "ffn_gate": (self.inner, width),
            "ffn_up": (self.inner if has("ffn_gate") else 2 * self.inner, width),
            "ffn_down": (width, self.inner),
        }
        return with_extras(matrices) | {"ffn_sub_norm": (self.inner,)}

    def apply(self, steps: LayerSteps, x: F32) -> F32:
        """Return what it computes from normed rows x: (n, width) gives (n, width)."""
        up = steps.linear("ffn_up", x)
        gate = steps.linear("ffn_gate", x) if steps.has("ffn_gate") else None
        if gate is None:
            gate, up = np.split(up, 2, axis=1)
        inner = activate(self.activation, gate) * up
        return steps.linear("ffn_down", steps.norm("ffn_sub_norm", inner))


@dataclass(frozen=True, kw_only=True)
class Experts:
    """A mixture of experts: the `used` best of `count`, weighted by the softmax of a router."""

    activation: str
    inner: int  # columns of each expert's ffn_down_exps
    count: int
    used: int
    normalize: bool  # divide the weights of the chosen experts by their sum
    scale: float  # then multiply them by this

    def shapes(self, width: int, has: Has) -> Shapes:
        """Return the required shape of each tensor that the layer may have, by role."""
        stacks: Shapes = {
            "ffn_gate_exps": (self.count, self.inner, width),
            "ffn_up_exps": (self.count, self.inner, width),
            "ffn_down_exps": (self.count, width, self.inner),
        }
        return with_extras(stacks, biased=False) | {"ffn_gate_inp": (self.count, width)}

    def apply(self, steps: LayerSteps, x: F32) -> F32:
        """Return what it computes from normed rows x: (n, width) gives (n, width)."""
        chosen, share = self.route(steps.linear("ffn_gate_inp", x))
        out = np.zeros((len(x), self.used, x.shape[1]), np.float32)
        for expert in np.unique(chosen).tolist():
            rows, places = np.nonzero(chosen == expert)
            gate = steps.linear("ffn_gate_exps", x[rows], expert)
            up = steps.linear("ffn_up_exps", x[rows], expert)
            inner = activate(self.activation, gate) * up
            down = steps.linear("ffn_down_exps", inner, expert)
            out[rows, places] = down * share[rows, places, None]
        total = out[:, 0]
        for place in range(1, self.used):  # in the order of choice, independent of the batch
            total = total + out[:, place]
        return total

    def route(self, scores: F32) -> tuple[NDArray[np.int64], F32]:
        """Return the experts of each row (n, used), best first, and their weights."""
        probabilities = softmax(scores)
        chosen = np.argsort(-probabilities, axis=1, kind="stable")[:, : self.used]
        share = np.take_along_axis(probabilities, chosen, axis=1)
        if self.normalize:
            share = share / share.sum(axis=1, keepdims=True)
        return chosen, share * np.float32(self.scale)


def read_feed_forward(tensors: LayerTensors) -> FeedForward:
    """Return the feed-forward part of a layer; its tensors are taken.

    Raises UnsupportedModel for an activation, and CheckpointError for a missing tensor.
    """
    dense = DENSE[1:] if tensors.family.fused_gate else DENSE
    whole = all(map(tensors.has, dense))
    if tensors.family.has_experts and tensors.has("ffn_gate_inp") and not whole:
        return _read_experts(tensors)
    tensors.norms("ffn_sub_norm")
    tensors.matrices(*dense)
    return Dense(activation=_read_activation(tensors), inner=_read_inner(tensors, "ffn_down"))


def _read_experts(tensors: LayerTensors) -> Experts:
    header, family = tensors.header, tensors.family
    tensors.weights("ffn_gate_inp")
    tensors.matrices(*STACKS, biased=False)
    count, used = header.integer("expert_count"), header.integer("expert_used_count")
    if not 0 < used <= count:
        raise header.wrong(
            "expert_used_count", f"is {used}; it must be from 1 to expert_count, {count}"
        )
    return Experts(
        activation=_read_activation(tensors),
        inner=_read_inner(tensors, "ffn_down_exps"),
        count=count,
        used=used,
        normalize=not family.optional_expert_norm or header.flag("expert_weights_norm", True),
        scale=header.number("expert_weights_scale", 0.0) or 1.0,
    )


def _read_inner(tensors: LayerTensors, role: str) -> int:
    """Return the inner size: the file's key, otherwise the columns of the last matrix."""
    header = tensors.header
    size = header.integer("feed_forward_length", 0, layer=tensors.index)
    if role == "ffn_down_exps":
        size = header.integer("expert_feed_forward_length", size)
    return size or int(header.tensor(tensors.names[role]).shape[-1])


def _read_activation(tensors: LayerTensors) -> str:
    name = tensors.header.text("hidden_activation", tensors.family.activation)
    name = {"gelu_pytorch_tanh": "gelu"}.get(name, name)
    if name not in ("silu", "gelu", "relu2"):
        raise UnsupportedModel(
            f"{tensors.header.checkpoint.path}: activation {name!r} is not supported; "
            "supported: silu, gelu, relu2"
        )
    return name
