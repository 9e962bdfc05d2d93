"""zeropoint's cache with the interface of transformers' cache."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import Cache as TransformersCache
from transformers.cache_utils import CacheLayerMixin

from zeropoint.models.architecture import Architecture
from zeropoint.models.cache import Cache
from zeropoint.models.layer_state import KeyValueState
from zeropoint.models.mixers import Attention


class CacheView(TransformersCache):  # type: ignore[misc]
    """A zeropoint cache with transformers' interface; the caller advances the lengths."""

    def __init__(self, architecture: Architecture, cache: Cache, batch: int, start: int) -> None:
        layers = [
            LayerView(layer.attention, state, cache.capacity, batch, start)
            for layer, state in zip(architecture.layers, cache.states, strict=True)
            if layer.attention and isinstance(state, KeyValueState)
        ]
        super().__init__(layers=layers)


class LayerView(CacheLayerMixin):  # type: ignore[misc]
    """One layer of a `CacheView`."""

    def __init__(
        self, attention: Attention, state: KeyValueState, capacity: int, batch: int, start: int
    ) -> None:
        super().__init__()
        self.spec, self.state, self.capacity = attention, state, capacity
        self.batch, self.start = batch, start
        self.is_sliding = attention.window is not None
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Do nothing: the memory is allocated already."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Store (batch, kv_heads, n, size) states; return all that the queries may attend to."""
        stop = self.start + key_states.shape[-2]
        states = []
        for sequence in range(self.batch):
            keys, values = key_states[sequence], value_states[sequence]
            self.state.write(
                sequence,
                self.start,
                keys.transpose(0, 1).cpu().numpy(),
                values.transpose(0, 1).cpu().numpy(),
            )
            states.append(self.state.read(sequence, self._first(), stop))
        size = self.spec.value_size
        device = key_states.device
        return (
            torch.from_numpy(np.stack([keys for keys, _ in states])).to(device),
            torch.from_numpy(np.stack([values[..., :size] for _, values in states])).to(device),
        )

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return the number of visible positions and the first one."""
        return self.start + query_length - self._first(), self._first()

    def get_seq_length(self) -> int:
        """Return the number of positions before this pass."""
        return self.start

    def get_max_length(self) -> int:
        """Return the capacity of the cache in positions."""
        return self.capacity

    def _first(self) -> int:
        return 0 if self.spec.window is None else max(0, self.start - self.spec.window + 1)
