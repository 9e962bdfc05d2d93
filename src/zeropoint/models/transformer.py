"""The forward pass in numpy: the steps that `architecture` describes.

This is the specification of the compiled engine, and what runs without the native extension.
Everything is float32. Products with matrices are `kernels.matmul`. In `exact` mode a row's result
is independent of other rows, except for the scores of attention, which numpy computes.
"""

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats import F32
from zeropoint.models.architecture import Architecture, Experts, LayerSpec
from zeropoint.models.cache import Cache
from zeropoint.models.rope import Rope
from zeropoint.models.weights import Weights

Positions = NDArray[np.int64]


def run(
    architecture: Architecture,
    weights: Weights,
    embeddings: F32,
    cache: Cache,
    starts: NDArray[np.int64],
) -> F32:
    """Return the normed hidden states of (batch, n, width) embeddings, in the same shape.

    Sequence i begins at position starts[i]. The cache must have room. It is filled, but its lengths
    are not advanced.
    """
    batch, count, width = embeddings.shape
    positions = starts[:, None] + np.arange(count)  # (batch, n)
    x = embeddings.reshape(-1, width) * np.float32(architecture.embedding_scale)
    angles: dict[Rope, tuple[F32, F32]] = {}
    for index, layer in enumerate(architecture.layers):
        if layer.rope and layer.rope not in angles:
            angles[layer.rope] = cosines_and_sines(
                layer.rope, positions.reshape(-1), cache.capacity
            )
        step = LayerSteps(architecture, weights, layer)
        q, k, v = step.project(x)
        if layer.rope:
            q, k = (rotate(layer.rope, part, *angles[layer.rope]) for part in (q, k))
        if layer.temperature:
            q = q * layer.temperature.factors(positions.reshape(-1))[:, None, None]
        mixed = np.empty((batch, count, layer.heads * layer.value_size), np.float32)
        for sequence in range(batch):
            rows = slice(sequence * count, (sequence + 1) * count)
            start = int(starts[sequence])
            cache.write(index, sequence, start, k[rows], v[rows])
            mixed[sequence] = attend(layer, cache, index, sequence, start, q[rows])
        x = x + step.after_attention(mixed.reshape(batch * count, -1))
        x = x + step.feed_forward(x)
    x = rms_norm(x, weights.vector(architecture.output_norm), architecture.epsilon)
    return x.reshape(embeddings.shape)


class LayerSteps:
    """The matrix products and norms of one layer."""

    def __init__(self, architecture: Architecture, weights: Weights, spec: LayerSpec) -> None:
        self.spec = spec
        self.epsilon = architecture.epsilon
        self.weights = weights

    def project(self, x: F32) -> tuple[F32, F32, F32]:
        """Return queries (n, heads, size), keys and values (n, kv_heads, size) of the rows of x."""
        spec, n = self.spec, len(x)
        normed = self._norm("attn_norm", x)
        if spec.has("attn_qkv"):
            queries, keys = spec.heads * spec.head_size, spec.kv_heads * spec.head_size
            joined = self._linear("attn_qkv", normed)
            q, k, v = np.split(joined, [queries, queries + keys], axis=1)
        else:
            q, k, v = (self._linear(role, normed) for role in ("attn_q", "attn_k", "attn_v"))
        q = q.reshape(n, spec.heads, spec.head_size)
        k = k.reshape(n, spec.kv_heads, spec.head_size)
        q, k = self._norm("attn_q_norm", q), self._norm("attn_k_norm", k)
        return q, k, v.reshape(n, spec.kv_heads, spec.value_size)

    def after_attention(self, mixed: F32) -> F32:
        """Return what attention adds to the residual stream: (n, width)."""
        mixed = self._linear("attn_output", self._norm("attn_sub_norm", mixed))
        return self._norm("post_attention_norm", mixed)

    def feed_forward(self, x: F32) -> F32:
        """Return what the feed-forward part adds to the residual stream: (n, width)."""
        normed = self._norm("ffn_norm", x)
        if self.spec.experts:
            out = self._mixture(self.spec.experts, normed)
        else:
            up = self._linear("ffn_up", normed)
            gate = self._linear("ffn_gate", normed) if self.spec.has("ffn_gate") else None
            if gate is None:
                gate, up = np.split(up, 2, axis=1)
            inner = activate(self.spec.activation, gate) * up
            out = self._linear("ffn_down", self._norm("ffn_sub_norm", inner))
        return self._norm("post_ffw_norm", out)

    def _mixture(self, experts: Experts, x: F32) -> F32:
        chosen, share = route(experts, self._linear("ffn_gate_inp", x))
        out = np.zeros((len(x), experts.used, x.shape[1]), np.float32)
        for expert in np.unique(chosen).tolist():
            rows, places = np.nonzero(chosen == expert)
            gate = self._linear("ffn_gate_exps", x[rows], expert)
            up = self._linear("ffn_up_exps", x[rows], expert)
            inner = activate(self.spec.activation, gate) * up
            down = self._linear("ffn_down_exps", inner, expert)
            out[rows, places] = down * share[rows, places, None]
        total = out[:, 0]
        for place in range(1, experts.used):  # in the order of choice, independent of the batch
            total = total + out[:, place]
        return total

    def _norm(self, role: str, x: F32) -> F32:
        if not self.spec.has(role):
            return x
        return rms_norm(x, self.weights.vector(self.spec.tensors[role]), self.epsilon)

    def _linear(self, role: str, x: F32, expert: int | None = None) -> F32:
        spec = self.spec
        y = self.weights.multiply(spec.tensors[role], np.ascontiguousarray(x), expert)
        scale, bias = f"{role}.scale", f"{role}.bias"
        if spec.has(scale):
            y = y * self.weights.vector(spec.tensors[scale])[expert or 0]
        if spec.has(bias):
            y = y + self.weights.vector(spec.tensors[bias])
        return y


def rms_norm(x: F32, weight: F32, epsilon: float) -> F32:
    """Return x / √(mean(x²) + epsilon) · weight, over the last axis."""
    mean = np.mean(np.square(x), axis=-1, keepdims=True, dtype=np.float32)
    inverse = np.reciprocal(np.sqrt(mean + np.float32(epsilon)))
    return np.multiply(x * inverse, weight, dtype=np.float32)


def cosines_and_sines(rope: Rope, positions: Positions, context: int) -> tuple[F32, F32]:
    """Return cosines and sines (n, dimensions / 2); the angle is rounded to float32 first."""
    angles = positions.astype(np.float32)[:, None] * rope.inverse_frequencies(context)
    wide = angles.astype(np.float64)
    magnitude = np.float32(rope.magnitude)
    return (
        np.cos(wide).astype(np.float32) * magnitude,
        np.sin(wide).astype(np.float32) * magnitude,
    )


def rotate(rope: Rope, heads: F32, cosines: F32, sines: F32) -> F32:
    """Rotate the pairs of (n, heads, size): (a, b) becomes (a·cos − b·sin, b·cos + a·sin)."""
    size = rope.dimensions
    out = heads.copy()
    if rope.interleaved:
        first, second = (..., slice(0, size, 2)), (..., slice(1, size, 2))
    else:
        first, second = (..., slice(0, size // 2)), (..., slice(size // 2, size))
    a, b = heads[first], heads[second]
    cosine, sine = cosines[:, None], sines[:, None]
    out[first] = a * cosine - b * sine
    out[second] = b * cosine + a * sine
    return out


def attend(
    layer: LayerSpec, cache: Cache, index: int, sequence: int, start: int, queries: F32
) -> F32:
    """Return attention (n, heads · value_size) of queries (n, heads, head_size) from `start` on."""
    count = len(queries)
    first = 0 if layer.window is None else max(0, start - layer.window + 1)
    keys, values = cache.read(index, sequence, first, start + count)
    values = values[..., : layer.value_size]
    shared = layer.heads // layer.kv_heads
    grouped = queries.reshape(count, layer.kv_heads, shared, -1).transpose(1, 2, 0, 3)
    scores = grouped @ keys.swapaxes(1, 2)[:, None] * np.float32(layer.scale)
    if layer.softcap is not None:
        cap = np.float32(layer.softcap)
        scores = np.tanh(scores / cap) * cap
    distance = (start + np.arange(count))[:, None] - np.arange(first, start + count)
    hidden = distance < 0
    if layer.window is not None:
        hidden |= distance >= layer.window
    scores = np.where(hidden, np.float32(-np.inf), scores)
    weights = softmax(scores)
    mixed = weights @ values[:, None]  # (kv_heads, shared, n, value_size)
    return mixed.transpose(2, 0, 1, 3).reshape(count, -1)


def softmax(scores: F32) -> F32:
    """Return exp(s − max) / Σ exp(s − max), over the last axis."""
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares: F32 = raised / raised.sum(axis=-1, keepdims=True)
    return shares


def activate(kind: str, x: F32) -> F32:
    """Return silu, gelu (the tanh form) or relu2 (squared ReLU) of x."""
    if kind == "silu":
        with np.errstate(over="ignore"):  # exp(−x) = inf: x · 0
            return np.divide(x, np.float32(1.0) + np.exp(-x), dtype=np.float32)
    if kind == "gelu":
        inner = np.float32(0.7978845608028654) * (x + np.float32(0.044715) * x * x * x)
        curve: F32 = np.float32(0.5) * (np.float32(1.0) + np.tanh(inner))
        return x * curve
    positive: F32 = np.maximum(x, np.float32(0.0))
    return positive * positive


def route(experts: Experts, scores: F32) -> tuple[NDArray[np.int64], F32]:
    """Return the experts of each row (n, used), best first, and their weights."""
    probabilities = softmax(scores)
    chosen = np.argsort(-probabilities, axis=1, kind="stable")[:, : experts.used]
    share = np.take_along_axis(probabilities, chosen, axis=1)
    if experts.normalize:
        share = share / share.sum(axis=1, keepdims=True)
    return chosen, share * np.float32(experts.scale)
