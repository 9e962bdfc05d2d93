"""The forward pass in numpy: the steps that `architecture` describes.

This is the specification of the compiled engine, and what runs without the native extension.
Everything is float32. Products with matrices are `kernels.matmul`. In `exact` mode a row's result
is independent of other rows, except for the scores of attention, which numpy computes.
"""

import numpy as np

from zeropoint.formats import F32
from zeropoint.models.architecture import Architecture
from zeropoint.models.cache import Cache
from zeropoint.models.layer_steps import LayerSteps, PassRows, Positions, activate, rms_norm
from zeropoint.models.weights import Weights


def run(
    architecture: Architecture,
    weights: Weights,
    embeddings: F32,
    cache: Cache,
    starts: Positions,
    looked_up: F32 | None = None,
) -> F32:
    """Return the normed hidden states of (batch, n, width) embeddings, in the same shape.

    Sequence i begins at position starts[i]. The cache must have room. It is filled, but its lengths
    are not advanced. `looked_up` (batch, n, …) are the rows of the table of `layer_inputs`.
    """
    rows = PassRows(starts=starts, count=embeddings.shape[1], context=cache.capacity)
    x = embeddings.reshape(-1, embeddings.shape[2]) * np.float32(architecture.embedding_scale)
    inputs = project_inputs(architecture, weights, x, looked_up)
    for index, (layer, state) in enumerate(zip(architecture.layers, cache.states, strict=True)):
        steps = LayerSteps(weights, layer.tensors, architecture.epsilon)
        if layer.mixer:
            mixed = layer.mixer.mix(steps, steps.norm("attn_norm", x), state, rows)
            x = x + steps.norm("post_attention_norm", mixed) * np.float32(layer.residual_scale)
        if layer.feed_forward:
            out = layer.feed_forward.apply(steps, x)
            x = x + steps.norm("post_ffw_norm", out) * np.float32(layer.residual_scale)
        if layer.input_size and layer.feed_forward:
            opened = activate(
                layer.feed_forward.activation, steps.linear("inp_gate", x), inputs[index]
            )
            x = x + steps.norm("post_norm", steps.linear("proj", opened))
        if layer.has("layer_output_scale"):
            x = x * steps.vector("layer_output_scale")
    x = rms_norm(x, weights.vector(architecture.output_norm), architecture.epsilon)
    return x.reshape(embeddings.shape)


def project_inputs(
    architecture: Architecture, weights: Weights, x: F32, looked_up: F32 | None
) -> F32:
    """Return the layers' own inputs (layers, n, size) for scaled embeddings (n, width), or none."""
    if architecture.inputs is None:
        return np.empty((0, len(x), 0), np.float32)
    assert looked_up is not None
    rows = looked_up.reshape(len(x), -1)
    return architecture.inputs.project(weights, x, rows, architecture.epsilon)
