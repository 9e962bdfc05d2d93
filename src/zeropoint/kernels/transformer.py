"""The compiled forward pass: its types, and a function that makes it (see `models.compiled`)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zeropoint.formats import F32
from zeropoint.kernels.products import module

if TYPE_CHECKING:
    from zeropoint.kernels._native import (
        CacheType,
        LayerConfig,
        Linear,
        PackedMatrix,
        Rotation,
        Routing,
        Transformer,
    )


def make_transformer(
    width: int, epsilon: float, output_norm: F32, layers: Sequence["LayerConfig"]
) -> "Transformer":
    """Return a decoder without embedding and head. An empty `output_norm` leaves the norm out.

    Raises ZeropointError without the extension.
    """
    transformer: Transformer = module().Transformer(width, epsilon, output_norm, layers)
    return transformer


def make_routing(gating: str, **settings: float | bool) -> "Routing":
    """Return how experts are chosen; settings are the fields of `models.routing.Routing`."""
    native = module()
    routing: Routing = native.Routing()
    routing.gating = getattr(native.Gating, gating)
    for name, value in settings.items():
        setattr(routing, name, value)
    return routing


def make_layer(activation: str) -> "LayerConfig":
    """Return a layer without tensors; `activation` is one of `models.layer_steps.ACTIVATIONS`."""
    native = module()
    layer: LayerConfig = native.LayerConfig()
    layer.activation = getattr(native.Activation, activation)
    return layer


def cache_type(name: str) -> "CacheType":
    """Return how keys or values are stored: one of `models.cached_rows.CACHE_TYPES`."""
    found: CacheType = getattr(module().CacheType, name.lower())
    return found


def make_linear(weights: "PackedMatrix", bias: F32 | None, scale: float) -> "Linear":
    """Return a matrix whose product is multiplied by `scale`, after which `bias` is added."""
    linear: Linear = module().Linear(weights, bias, scale)
    return linear


def make_rotation(frequencies: F32, magnitude: float, *, interleaved: bool) -> "Rotation":
    """Return rotary positions: `frequencies` are radians per position, one per pair of elements."""
    rotation: Rotation = module().Rotation(frequencies, interleaved, magnitude)
    return rotation
