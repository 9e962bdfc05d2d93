"""The compiled engine: the same layers as `transformer.py`, each pass one native call."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zeropoint import kernels
from zeropoint.formats import F32
from zeropoint.models.architecture import Architecture, LayerSpec
from zeropoint.models.cache import Cache
from zeropoint.models.feed_forward import ROUTER_NORM
from zeropoint.models.mixers import Attention, DeltaNet, Mamba2, Mixer, ShortConvolution
from zeropoint.models.rope import Rope
from zeropoint.models.routing import Routing
from zeropoint.models.transformer import project_inputs
from zeropoint.models.weights import Weights

if TYPE_CHECKING:
    from zeropoint.kernels._native import LayerConfig, Linear, Rotation
    from zeropoint.kernels._native import Routing as NativeRouting

_TRANSPOSED = (
    "ssm_conv1d",
    "shortconv.conv",
)  # (channels, kernel) in the file; the kernel takes whole rows


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
        ropes = (layer.attention.rope for layer in architecture.layers if layer.attention)
        self._ropes = list(dict.fromkeys(rope for rope in ropes if rope))
        self._rotations: dict[int, list[Rotation]] = {}
        self._transformer = kernels.make_transformer(
            architecture.width,
            architecture.epsilon,
            weights.vector(architecture.output_norm) if normed else np.empty(0, np.float32),
            [self._layer(layer) for layer in architecture.layers],
        )

    def run(
        self,
        embeddings: F32,
        cache: Cache,
        starts: NDArray[np.int64],
        looked_up: F32 | None = None,
    ) -> F32:
        """Return the normed hidden states of (batch, n, width) embeddings.

        Sequence i begins at position starts[i]. The cache must have room; it is filled but its
        lengths are not changed. `looked_up` (batch, n, …) are the rows of the table of
        `layer_inputs`.
        """
        return self.run_each(embeddings, [cache], starts, looked_up)

    def run_each(
        self,
        embeddings: F32,
        caches: Sequence[Cache],
        starts: NDArray[np.int64],
        looked_up: F32 | None = None,
    ) -> F32:
        """As `run`, but sequence i is the only sequence of caches[i], if there are several.

        All caches have the same capacity.
        """
        x = embeddings * np.float32(self.architecture.embedding_scale)
        flat = x.reshape(-1, x.shape[-1])
        self.run_scaled(
            x, caches, starts, project_inputs(self.architecture, self.weights, flat, looked_up)
        )
        return x

    def run_scaled(
        self, x: F32, caches: Sequence[Cache], starts: NDArray[np.int64], inputs: F32
    ) -> None:
        """As `run_each`, with scaled embeddings `x`, which become the result.

        `inputs` (layers, batch · n, size) are those of `layer_inputs`.
        """
        self._transformer.run(
            x,
            np.ascontiguousarray(starts, np.int64),
            self._rotations_for(caches[0].capacity),
            [[state.arrays for state in cache.states] for cache in caches],
            inputs.reshape(-1),
            self.weights.mode,
            self.weights.threads,
            self._call_hook if self.weights.hooks else None,
        )

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
        config = kernels.make_layer(layer.feed_forward.activation if layer.feed_forward else "silu")
        if layer.mixer:
            self._set_mixer(config, layer.mixer)
        if layer.experts:
            config.routing = _routing(layer.experts.routing)
        config.residual_scale = layer.residual_scale
        if layer.has("layer_output_scale"):
            config.output_scale = float(self.weights.vector(layer.tensors["layer_output_scale"])[0])
        shapes = self.weights.checkpoint.tensors
        for role, name in layer.tensors.items():
            if role == "exp_probs_b.bias":
                config.selection_bias = self.weights.vector(name)
            if role.endswith((".bias", ".scale")) and role != "ssm_conv1d.bias":
                continue  # parts of their matrix
            if role == "layer_output_scale":
                continue  # a number
            attribute = role.replace(".", "_")
            if name not in self.weights.matrices():
                setattr(config, attribute, self._elements(role, name))
            elif len(shapes[name].shape) == 2:
                setattr(config, attribute, self._linears(layer, role)[0])
            else:
                setattr(config, attribute, self._linears(layer, role))
        return config

    def _elements(self, role: str, name: str) -> F32:
        """Return the elements (n,) of a tensor that is no matrix, in the kernels' order."""
        values = self.weights.vector(name)
        if role == ROUTER_NORM:
            values = values * np.float32(self.architecture.width**-0.5)
        return np.ascontiguousarray(values.T if role in _TRANSPOSED else values).reshape(-1)

    def _set_mixer(self, config: "LayerConfig", mixer: Mixer) -> None:
        if isinstance(mixer, Attention):
            self._set_attention(config, mixer)
        if isinstance(mixer, DeltaNet):
            _set_delta_net(config, mixer)
        if isinstance(mixer, ShortConvolution):
            config.shortconv_kernel = mixer.kernel
        if isinstance(mixer, Mamba2):
            _set_mamba2(config, mixer)

    def _set_attention(self, config: "LayerConfig", attention: Attention) -> None:
        config.heads, config.kv_heads = attention.heads, attention.kv_heads
        config.head_size, config.value_size = attention.head_size, attention.value_size
        config.window = attention.window or 0
        config.scale = attention.scale
        config.softcap = attention.softcap or 0.0
        config.normed_values, config.shares = attention.normed_values, attention.source is not None
        config.key_type = kernels.cache_type(attention.keys.type)
        config.value_type = kernels.cache_type(attention.values.type)
        config.key_rotation = attention.keys.rotation
        config.value_rotation = attention.values.rotation
        config.gated = attention.gated
        config.rope = self._ropes.index(attention.rope) if attention.rope else -1
        if attention.temperature:
            config.temperature_scale = attention.temperature.scale
            config.temperature_length = attention.temperature.length

    def _linears(self, layer: LayerSpec, role: str) -> "list[Linear]":
        """Return a matrix with its bias and scale, or one for each expert."""
        packed = self.weights.packed(layer.tensors[role])
        bias = self._optional(layer, f"{role}.bias")
        scale = self._optional(layer, f"{role}.scale")
        scales = [1.0] * len(packed) if scale is None else scale.tolist()
        biases = [bias] * len(packed) if bias is None or bias.ndim == 1 else list(bias)
        return [
            kernels.make_linear(matrix, biases[index], scales[index])
            for index, matrix in enumerate(packed)
        ]

    def _optional(self, layer: LayerSpec, role: str) -> F32 | None:
        return self.weights.vector(layer.tensors[role]) if layer.has(role) else None


def _set_delta_net(config: "LayerConfig", part: DeltaNet) -> None:
    config.delta_key_heads, config.delta_value_heads = part.key_heads, part.value_heads
    config.delta_size, config.delta_kernel = part.size, part.kernel
    config.delta_tiled = part.tiled


def _set_mamba2(config: "LayerConfig", part: Mamba2) -> None:
    config.mamba_heads, config.mamba_size = part.heads, part.size
    config.mamba_groups, config.mamba_state_size = part.groups, part.state_size
    config.mamba_kernel = part.kernel


def _routing(routing: Routing) -> "NativeRouting":
    return kernels.make_routing(
        routing.gating,
        used=routing.used,
        groups=routing.groups,
        used_groups=routing.used_groups,
        normalize=routing.normalize,
        epsilon=routing.epsilon,
        scale=routing.scale,
        weights_inputs=routing.weights_inputs,
    )


def _rotation(rope: Rope, context: int) -> "Rotation":
    frequencies = rope.inverse_frequencies(context)
    return kernels.make_rotation(frequencies, rope.magnitude, interleaved=rope.interleaved)
