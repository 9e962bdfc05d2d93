"""The compiled engine: the same layers as `transformer.py`, each pass one native call."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zeropoint import kernels
from zeropoint.formats import F32
from zeropoint.models.architecture import Architecture, Experts, LayerSpec
from zeropoint.models.cache import Cache
from zeropoint.models.rope import Rope
from zeropoint.models.weights import Weights

if TYPE_CHECKING:
    from zeropoint.kernels._native import LayerConfig, Linear, Rotation

_NORMS = (
    "attn_norm attn_q_norm attn_k_norm attn_sub_norm post_attention_norm ffn_norm ffn_sub_norm "
    "post_ffw_norm"
).split()
_LINEARS = "attn_qkv attn_q attn_k attn_v attn_output ffn_gate ffn_up ffn_down ffn_gate_inp".split()
_EXPERTS = "ffn_gate_exps ffn_up_exps ffn_down_exps".split()


class CompiledEngine:
    """Runs passes over one set of weights. After a weight is replaced it must be made again."""

    def __init__(
        self, architecture: Architecture, weights: Weights, *, normed: bool = True
    ) -> None:
        """Describe the layers to the extension. Without `normed`, `run` returns the residual stream
        of the last layer, and the output norm is not applied.
        """
        self.architecture = architecture
        self.weights = weights
        self._ropes = list(dict.fromkeys(layer.rope for layer in architecture.layers if layer.rope))
        self._rotations: dict[int, list[Rotation]] = {}
        self._transformer = kernels.make_transformer(
            architecture.width,
            architecture.epsilon,
            weights.vector(architecture.output_norm) if normed else np.empty(0, np.float32),
            [self._layer(layer) for layer in architecture.layers],
        )

    def run(self, embeddings: F32, cache: Cache, starts: NDArray[np.int64]) -> F32:
        """Return the normed hidden states of (batch, n, width) embeddings.

        Sequence i begins at position starts[i]. The cache must have room; it is filled but its
        lengths are not changed.
        """
        x = embeddings * np.float32(self.architecture.embedding_scale)
        self._transformer.run(
            x,
            np.ascontiguousarray(starts, np.int64),
            self._rotations_for(cache.capacity),
            cache.keys,
            cache.values,
            self.weights.mode,
            self.weights.threads,
            self._call_hook if self.weights.hooks else None,
        )
        return x

    def head(self, rows: F32, tokens: range | None = None) -> F32:
        """Return (n, vocab) logits of (n, width) states, or those of `tokens`, before any cap."""
        return self.weights.multiply(self.architecture.output, rows, outputs=tokens)

    def _rotations_for(self, context: int) -> "list[Rotation]":
        rotations = self._rotations.get(context)
        if rotations is None:
            rotations = [_rotation(rope, context) for rope in self._ropes]
            self._rotations[context] = rotations
        return rotations

    def _call_hook(self, layer: int, role: str, expert: int, rows: NDArray[np.float32]) -> None:
        hook = self.weights.hooks.get(self.architecture.layers[layer].tensors[role])
        if hook is not None:
            hook(rows, None if expert < 0 else expert)

    def _layer(self, layer: LayerSpec) -> "LayerConfig":
        config = kernels.make_layer(layer.activation)
        config.heads, config.kv_heads = layer.heads, layer.kv_heads
        config.head_size, config.value_size = layer.head_size, layer.value_size
        config.window = layer.window or 0
        config.scale = layer.scale
        config.softcap = layer.softcap or 0.0
        config.rope = self._ropes.index(layer.rope) if layer.rope else -1
        if layer.temperature:
            config.temperature_scale = layer.temperature.scale
            config.temperature_length = layer.temperature.length
        for role in _NORMS:
            if layer.has(role):
                setattr(config, role, self.weights.vector(layer.tensors[role]))
        for role in _LINEARS:
            if layer.has(role):
                setattr(config, role, self._linears(layer, role)[0])
        if layer.experts:
            self._set_experts(config, layer, layer.experts)
        return config

    def _set_experts(self, config: "LayerConfig", layer: LayerSpec, experts: Experts) -> None:
        config.experts_used = experts.used
        config.experts_normalize = experts.normalize
        config.experts_scale = experts.scale
        for role in _EXPERTS:
            setattr(config, role, self._linears(layer, role))

    def _linears(self, layer: LayerSpec, role: str) -> "list[Linear]":
        """Return a matrix with its bias and scale, or one for each expert."""
        packed = self.weights.packed(layer.tensors[role])
        bias = self._optional(layer, f"{role}.bias")
        scale = self._optional(layer, f"{role}.scale")
        scales = [1.0] * len(packed) if scale is None else scale.tolist()
        return [
            kernels.make_linear(matrix, bias, scales[index]) for index, matrix in enumerate(packed)
        ]

    def _optional(self, layer: LayerSpec, role: str) -> F32 | None:
        return self.weights.vector(layer.tensors[role]) if layer.has(role) else None


def _rotation(rope: Rope, context: int) -> "Rotation":
    frequencies = rope.inverse_frequencies(context)
    return kernels.make_rotation(frequencies, rope.magnitude, interleaved=rope.interleaved)
