"""Runs one layer of a model at a time, with only the weights of that layer in memory."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from zeropoint import kernels
from zeropoint.checkpoints import Checkpoint
from zeropoint.formats import F32, QuantizedTensor
from zeropoint.models.architecture import Architecture
from zeropoint.models.base import ForwardHook
from zeropoint.models.cache import Cache
from zeropoint.models.compiled import CompiledEngine
from zeropoint.models.weights import Weights, decode


class LayerRunner:
    """One layer of a model: hidden states before it become hidden states after it.

    The bits are those of a whole forward pass in `exact` mode.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        architecture: Architecture,
        layer: int,
        *,
        threads: int,
        replaced: Mapping[str, QuantizedTensor] | None = None,
    ) -> None:
        """Read the weights of the layer; `replaced` has tensors to use instead of the file's."""
        replaced = replaced or {}
        # The states carry the scale of the embedding already.
        spec = architecture.layers[layer]
        self.architecture = replace(architecture, layers=(spec,), embedding_scale=1.0)
        self._weights = Weights(checkpoint, mode="exact", threads=threads)
        self._weights.load(sorted(spec.tensors.values()), later=replaced)
        for name, tensor in replaced.items():
            self._weights.replace(name, tensor)
        self._engine = CompiledEngine(self.architecture, self._weights, normed=False)

    def matrices(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the layer's matrices by GGUF name."""
        return self._weights.matrices()

    def set_hook(self, name: str, hook: ForwardHook | None) -> None:
        """Call `hook` with every input of the matrix `name`. None removes the hook."""
        self._weights.hooks.pop(name, None)
        if hook is not None:
            self._weights.hooks[name] = hook

    def run(self, states: F32) -> F32:
        """Return the states after the layer, of one sequence (n, width) from position 0 on."""
        count = len(states)
        cache = Cache(self.architecture, count, chunk=count, passing=True)
        cache.grow([0], count)
        after: F32 = self._engine.run(states[None], cache, np.zeros(1, np.int64))[0]
        return after


def embed(
    checkpoint: Checkpoint,
    architecture: Architecture,
    tokens: NDArray[np.int32],
    table: QuantizedTensor | None = None,
) -> F32:
    """Return the hidden states (…, width) float32 before the first layer, for tokens (…).

    `table` is used instead of the token embedding of the file.
    """
    used, places = np.unique(tokens, return_inverse=True)
    if table is None:
        name = architecture.embedding
        rows = [decode(checkpoint.read_rows(name, token, token + 1)) for token in used.tolist()]
        vectors = np.concatenate(rows)
    else:
        blocks = table.data.reshape(table.shape[0], -1)[used]
        flat = np.ascontiguousarray(blocks).reshape(-1, table.format.block_bytes)
        vectors = kernels.decode(table.format, flat).reshape(len(used), -1)
    states = vectors.reshape(len(used), -1)[places.reshape(tokens.shape)]
    return states * np.float32(architecture.embedding_scale)
