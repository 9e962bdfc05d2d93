"""The compiled transformer: the same layers as `transformer.py`, each pass one call."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zeropoint import kernels
from zeropoint.formats import F32
from zeropoint.models.architecture import Architecture, LayerSpec
from zeropoint.models.cache import Cache
from zeropoint.models.rope import Rope
from zeropoint.models.weights import Weights

if TYPE_CHECKING:
    from zeropoint.kernels._native import Linear

_NORMS = (
    "attn_norm attn_q_norm attn_k_norm attn_sub_norm post_attention_norm ffn_norm ffn_sub_norm "
    "post_ffw_norm"
).split()
_LINEARS = "attn_qkv attn_q attn_k attn_v attn_output ffn_gate ffn_up ffn_down ffn_gate_inp".split()
_EXPERTS = "ffn_gate_exps ffn_up_exps ffn_down_exps".split()


class Compiled:
    """Made for a set of weights; replacing one means making it again, in microseconds."""

    def __init__(self, architecture: Architecture, weights: Weights) -> None:
        self.architecture = architecture
        self.weights = weights
        ropes = dict.fromkeys(layer.rope for layer in architecture.layers if layer.rope)
        self._ropes: list[Rope] = list(ropes)
        self._rotations: dict[int, list[tuple[F32, bool, float]]] = {}
        self._transformer = kernels.make_transformer(
            architecture.width, architecture.epsilon, weights.vector(architecture.output_norm)
        )
        for layer in architecture.layers:
            self._add(layer)

    def run(self, embeddings: F32, cache: Cache, starts: NDArray[np.int64]) -> F32:
        """Run (batch, n, width) embeddings, as `transformer.run` does."""
        x = embeddings * np.float32(self.architecture.embedding_scale)
        watch = self._watch if self.weights.watchers else None
        self._transformer.run(
            x,
            np.ascontiguousarray(starts, np.int64),
            self._turns(cache.capacity),
            cache.keys,
            cache.values,
            self.weights.mode,
            self.weights.threads,
            watch,
        )
        return x

    def head(self, rows: F32, tokens: range | None = None) -> F32:
        """Return (n, vocab) logits of (n, width) states, or of `tokens`, before any cap."""
        return self.weights.multiply(self.architecture.output, rows, outputs=tokens)

    def _turns(self, context: int) -> list[tuple[F32, bool, float]]:
        found = self._rotations.get(context)
        if found is None:
            found = [
                (rope.inverse_frequencies(context), rope.interleaved, rope.magnitude)
                for rope in self._ropes
            ]
            self._rotations[context] = found
        return found

    def _watch(self, layer: int, role: str, expert: int, rows: NDArray[np.float32]) -> None:
        name = self.architecture.layers[layer].tensors[role]
        watcher = self.weights.watchers.get(name)
        if watcher is not None:
            watcher(rows, None if expert < 0 else expert)

    def _add(self, layer: LayerSpec) -> None:
        numbers: dict[str, int | float | bool | str] = {
            "heads": layer.heads,
            "kv_heads": layer.kv_heads,
            "head_size": layer.head_size,
            "value_size": layer.value_size,
            "window": layer.window or 0,
            "scale": layer.scale,
            "softcap": layer.softcap or 0.0,
            "rope": self._ropes.index(layer.rope) if layer.rope else -1,
            "activation": layer.activation,
            "temperature_scale": layer.temperature.scale if layer.temperature else 0.0,
            "temperature_length": layer.temperature.length if layer.temperature else 1,
        }
        experts: dict[str, list[Linear]] = {}
        if layer.experts:
            numbers["experts_used"] = layer.experts.used
            numbers["experts_normalize"] = layer.experts.normalize
            numbers["experts_scale"] = layer.experts.scale
            experts = {role: self._linears(layer, role) for role in _EXPERTS}
        vectors = {
            role: self.weights.vector(layer.tensors[role]) for role in _NORMS if layer.has(role)
        }
        linears = {role: self._linears(layer, role)[0] for role in _LINEARS if layer.has(role)}
        self._transformer.add_layer(numbers, vectors, linears, experts)

    def _linears(self, layer: LayerSpec, role: str) -> "list[Linear]":
        """Return a matrix with its bias and scale, or one for each expert."""
        packed = self.weights.packed(layer.tensors[role])
        bias = self._optional(layer, f"{role}.bias")
        scale = self._optional(layer, f"{role}.scale")
        scales = [1.0] * len(packed) if scale is None else scale.tolist()
        return [(matrix, bias, scales[index]) for index, matrix in enumerate(packed)]

    def _optional(self, layer: LayerSpec, role: str) -> F32 | None:
        return self.weights.vector(layer.tensors[role]) if layer.has(role) else None
