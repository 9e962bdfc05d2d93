"""Runs one layer of a model at a time, with only the weights of that layer in memory.

What goes from layer to layer is a row for each position: the hidden state, and behind it the keys
and values that later layers share, once their layer has run (see `row_width`).
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from zeropoint import kernels
from zeropoint.checkpoints import Checkpoint
from zeropoint.formats import F32, QuantizedTensor
from zeropoint.models.architecture import Architecture, LayerSpec
from zeropoint.models.base import ForwardHook
from zeropoint.models.cache import Cache
from zeropoint.models.compiled import CompiledEngine
from zeropoint.models.layer_inputs import NORM, PROJECTION, TABLE
from zeropoint.models.layer_state import KeyValueState
from zeropoint.models.weights import Weights, decode


class LayerRunner:
    """One layer of a model: rows before it become rows after it.

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
        spec = architecture.layers[layer]
        shared = _shared_columns(architecture)
        self._writes = shared.get(layer)
        self._reads = None if spec.source is None else shared[spec.source]
        self._layer, self._whole = layer, architecture
        alone = replace(architecture, layers=(_alone(spec),))
        self._weights = Weights(checkpoint, mode="exact", threads=threads)
        names = {*spec.tensors.values(), *((PROJECTION, NORM) if architecture.inputs else ())}
        self._weights.load(sorted(names), later=replaced)
        for name, tensor in replaced.items():
            self._weights.replace(name, tensor)
        self._engine = CompiledEngine(alone, self._weights, normed=False)

    def matrices(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the layer's matrices by GGUF name."""
        matrices = self._weights.matrices()
        names = self._whole.layers[self._layer].tensors.values()
        return {name: matrices[name] for name in matrices if name in names}

    def set_hook(self, name: str, hook: ForwardHook | None) -> None:
        """Call `hook` with every input of the matrix `name`. None removes the hook."""
        self._weights.hooks.pop(name, None)
        if hook is not None:
            self._weights.hooks[name] = hook

    def run(self, rows: F32, tokens: NDArray[np.int32]) -> F32:
        """Return the rows after the layer, for rows (n, `row_width`) of one sequence of `tokens`.

        The sequence begins at position 0.
        """
        count, width = len(rows), self._whole.width
        cache = Cache(self._engine.architecture, count, chunk=count, passing=True)
        cache.grow([0], count)
        (state,) = cache.states
        if self._reads:
            assert isinstance(state, KeyValueState)
            _unpack(state, rows[:, self._reads])
        after = rows.copy()
        states = rows[None, :, :width].copy()
        self._engine.run_scaled(states, [cache], np.zeros(1, np.int64), self._own(tokens))
        after[:, :width] = states[0]
        if self._writes:
            assert isinstance(state, KeyValueState)
            after[:, self._writes] = _packed(state, count)
        return after

    def _own(self, tokens: NDArray[np.int32]) -> F32:
        """Return the layer's own input (1, n, size), or none (0)."""
        inputs = self._whole.inputs
        if inputs is None:
            return np.empty(0, np.float32)
        x = self._weights.rows(self._whole.embedding, tokens)
        x = x * np.float32(self._whole.embedding_scale)
        looked_up = self._weights.rows(TABLE, tokens)
        one = range(self._layer, self._layer + 1)
        return inputs.project(self._weights, x, looked_up, self._whole.epsilon, one)


def row_width(architecture: Architecture) -> int:
    """Return the length of a row: the hidden state, and the keys and values that layers share."""
    shared = _shared_columns(architecture).values()
    return int(architecture.width + sum(columns.stop - columns.start for columns in shared))


def _shared_columns(architecture: Architecture) -> dict[int, slice]:
    """Return where in a row the keys and values of each layer are that later layers use."""
    columns: dict[int, slice] = {}
    at = architecture.width
    for source in sorted({one.source for one in architecture.layers if one.source is not None}):
        attention = architecture.layers[source].attention
        assert attention is not None
        size = attention.kv_heads * (attention.head_size + attention.value_size)
        columns[source] = slice(at, at + size)
        at += size
    return columns


def _alone(spec: LayerSpec) -> LayerSpec:
    """Return a layer as the only one of a model; it may share a cache with itself."""
    if spec.attention is None or spec.source is None:
        return spec
    return replace(spec, mixer=replace(spec.attention, source=0))


def _packed(state: KeyValueState, count: int) -> F32:
    """Return the keys and values of the first `count` positions, (count, size) float32."""
    keys, values = state.read(0, 0, count)
    parts = (keys, values[:, :, : state.value_size])
    return np.concatenate([part.swapaxes(0, 1).reshape(count, -1) for part in parts], axis=1)


def _unpack(state: KeyValueState, rows: F32) -> None:
    """Write what `_packed` has returned."""
    keys = rows[:, : state.kv_heads * state.head_size].reshape(len(rows), state.kv_heads, -1)
    values = rows[:, keys[0].size :].reshape(len(rows), state.kv_heads, -1)
    state.write(0, 0, keys, values)


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
