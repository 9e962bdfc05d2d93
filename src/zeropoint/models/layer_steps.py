"""The steps that all kinds of layers are made of, in numpy: norms and products with matrices."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats import F32
from zeropoint.models.rope import Rope, cosines_and_sines

Positions = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class PassRows:
    """The rows of a pass: `count` positions of each sequence, sequence i from starts[i] on."""

    starts: Positions  # (batch,)
    count: int
    context: int  # the capacity of the cache in positions
    turns: dict[Rope, tuple[F32, F32]] = field(default_factory=dict)

    @property
    def positions(self) -> Positions:
        """The position of each row: (batch · count,)."""
        return (self.starts[:, None] + np.arange(self.count)).reshape(-1)

    def of(self, sequence: int) -> slice:
        """Return the rows of a sequence."""
        return slice(sequence * self.count, (sequence + 1) * self.count)

    def cosines_and_sines(self, rope: Rope) -> tuple[F32, F32]:
        """Return the cosines and sines (n, dimensions / 2) of each row, computed once."""
        if rope not in self.turns:
            self.turns[rope] = cosines_and_sines(rope, self.positions, self.context)
        return self.turns[rope]


class TensorProducts(Protocol):
    """The part of `Weights` that the steps of a layer need."""

    def vector(self, name: str) -> F32:
        """Return a tensor of one axis: (n,) float32."""

    def multiply(
        self, name: str, rows: F32, expert: int | None = None, outputs: range | None = None
    ) -> F32:
        """Return rows · Wᵀ: (n, in) float32 gives (n, out), or the range `outputs` of it."""


class LayerSteps:
    """The norms and matrix products of one layer, by role (see `layer_tensors`)."""

    def __init__(self, weights: TensorProducts, tensors: Mapping[str, str], epsilon: float) -> None:
        self.weights, self.tensors, self.epsilon = weights, tensors, epsilon

    def has(self, role: str) -> bool:
        """Return whether the layer has the tensor of a role."""
        return role in self.tensors

    def vector(self, role: str) -> F32:
        """Return a tensor of one axis: (n,) float32."""
        return self.weights.vector(self.tensors[role])

    def norm(self, role: str, x: F32) -> F32:
        """Return the RMS norm of x over its last axis, or x if the layer has no such norm."""
        if not self.has(role):
            return x
        weight = self.vector(role)
        if x.shape[-1] == weight.size:
            return rms_norm(x, weight, self.epsilon)
        rows = x.reshape(len(x), weight.size)  # all heads together
        return rms_norm(rows, weight, self.epsilon).reshape(x.shape)

    def linear(self, role: str, x: F32, expert: int | None = None) -> F32:
        """Return scale · (x · Wᵀ) + bias: (n, in) gives (n, out)."""
        y = self.weights.multiply(self.tensors[role], np.ascontiguousarray(x), expert)
        if self.has(f"{role}.scale"):
            y = y * self.vector(f"{role}.scale")[expert or 0]
        if self.has(f"{role}.bias"):
            bias = self.vector(f"{role}.bias")
            y = y + (bias if expert is None else bias[expert])
        return y


def rms_norm(x: F32, weight: F32, epsilon: float) -> F32:
    """Return x / √(mean(x²) + epsilon) · weight, over the last axis."""
    mean = np.mean(np.square(x), axis=-1, keepdims=True, dtype=np.float32)
    inverse = np.reciprocal(np.sqrt(mean + np.float32(epsilon)))
    return np.multiply(x * inverse, weight, dtype=np.float32)


def softmax(scores: F32, sinks: F32 | None = None) -> F32:
    """Return exp(s − max) / Σ exp(s − max), over the last axis.

    `sinks` (broadcast against scores, with a last axis of 1) are further scores that take a share.
    """
    top = scores.max(axis=-1, keepdims=True)
    top = top if sinks is None else np.maximum(top, sinks)
    raised = np.exp(scores - top)
    total = raised.sum(axis=-1, keepdims=True)
    total = total if sinks is None else total + np.exp(sinks - top)
    shares: F32 = raised / total
    return shares


def sigmoid(x: F32) -> F32:
    """Return 1 / (1 + e^-x)."""
    with np.errstate(over="ignore"):  # 1 / infinity
        return np.divide(np.float32(1.0), np.float32(1.0) + np.exp(-x), dtype=np.float32)


def softplus(x: F32) -> F32:
    """Return ln(1 + e^x)."""
    found: F32 = np.where(x > 20, x, np.log1p(np.exp(np.minimum(x, np.float32(20.0)))))
    return found


ACTIVATIONS, CLAMPED = ("silu", "gelu", "relu2"), "clamped_swiglu"
SWIGLU_GAIN, SWIGLU_LIMIT = np.float32(1.702), np.float32(7.0)  # of gpt-oss


def activate(kind: str, gate: F32, up: F32) -> F32:
    """Return the inner values of a feed-forward part from its gate and its up rows.

    silu, gelu (the tanh form), relu2 (squared ReLU)    f(gate) · up
    clamped_swiglu, g = min(gate, 7)                    g · sigmoid(1.702 g) · (1 + clip(up, -7, 7))
    """
    if kind == CLAMPED:
        gate = np.minimum(gate, SWIGLU_LIMIT)
        up = np.clip(up, -SWIGLU_LIMIT, SWIGLU_LIMIT)
        clamped: F32 = gate * sigmoid(SWIGLU_GAIN * gate) * (up + np.float32(1.0))
        return clamped
    return _activated(kind, gate) * up


def _activated(kind: str, x: F32) -> F32:
    if kind == "silu":
        with np.errstate(over="ignore"):  # exp(−x) = inf: x · 0
            return np.divide(x, np.float32(1.0) + np.exp(-x), dtype=np.float32)
    if kind == "gelu":
        inner = np.float32(0.7978845608028654) * (x + np.float32(0.044715) * x * x * x)
        curve: F32 = np.float32(0.5) * (np.float32(1.0) + np.tanh(inner))
        return x * curve
    positive: F32 = np.maximum(x, np.float32(0.0))
    return positive * positive
