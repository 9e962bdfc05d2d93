"""Inputs that each layer takes beside the stream: per-layer embeddings (Gemma 4 E2B and E4B).

p = norm(W x / √width)                              of the scaled embedding x, by layer
e = (p + √size · table[token]) / √2                 (layers, size) for each position
x = x + post_norm(proj(activation(inp_gate(x)) · e[layer]))    at the end of each layer
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from zeropoint.formats import F32
from zeropoint.models.header import ModelHeader
from zeropoint.models.layer_steps import TensorProducts, rms_norm

TABLE, PROJECTION, NORM = (
    f"per_layer_{name}.weight" for name in ("token_embd", "model_proj", "proj_norm")
)


@dataclass(frozen=True, kw_only=True)
class LayerInputs:
    """The sizes of the inputs of a model's layers."""

    layers: int
    size: int  # of the input of one layer

    @property
    def scale(self) -> float:
        """What the rows of the table are multiplied by."""
        return sqrt(self.size)

    def shapes(self, width: int, vocabulary: int) -> dict[str, tuple[int, ...]]:
        """Return the required shapes of the tensors outside of layers, by name."""
        together = self.layers * self.size
        return {
            TABLE: (vocabulary, together),
            PROJECTION: (together, width),
            NORM: (self.size,),
        }

    def project(
        self,
        weights: TensorProducts,
        x: F32,
        rows: F32,
        epsilon: float,
        layers: range | None = None,
    ) -> F32:
        """Return the inputs (layers, n, size) float32 of all layers, or of some.

        `x` (n, width) are scaled embeddings, `rows` (n, layers · size) those of the table.
        """
        layers = layers or range(self.layers)
        outputs = range(layers.start * self.size, layers.stop * self.size)
        shape = (len(x), len(layers), self.size)
        narrowed = weights.multiply(PROJECTION, x, outputs=outputs)
        narrowed = narrowed * np.float32(x.shape[1] ** -0.5)
        normed = rms_norm(narrowed.reshape(shape), weights.vector(NORM), epsilon)
        own = rows[:, outputs.start : outputs.stop].reshape(shape)
        both = normed + own * np.float32(self.scale)
        found: F32 = np.ascontiguousarray((both * np.float32(sqrt(0.5))).swapaxes(0, 1))
        return found


def read_layer_inputs(header: ModelHeader, layers: int) -> LayerInputs | None:
    """Return the inputs of the layers, or None if the file has none."""
    size = header.integer("embedding_length_per_layer_input", 0)
    return LayerInputs(layers=layers, size=size) if size else None
