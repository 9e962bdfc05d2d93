"""zeropoint's cache with the interface of transformers' cache."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import Cache as TransformersCache
from transformers.cache_utils import CacheLayerMixin, LinearAttentionLayer

from zeropoint.models.architecture import Architecture
from zeropoint.models.cache import Cache
from zeropoint.models.layer_state import KeyValueState, RecurrentState
from zeropoint.models.mixers import Attention, DeltaNet, Mamba2, ShortConvolution


class CacheView(TransformersCache):  # type: ignore[misc]
    """A zeropoint cache with transformers' interface; the caller advances the lengths."""

    def __init__(self, architecture: Architecture, cache: Cache, batch: int, start: int) -> None:
        layers: list[CacheLayerMixin | LinearAttentionLayer] = []
        for layer, state in zip(architecture.layers, cache.states, strict=True):
            if layer.attention and isinstance(state, KeyValueState):
                layers.append(LayerView(layer.attention, state, cache.capacity, batch, start))
            elif isinstance(layer.mixer, DeltaNet) and isinstance(state, RecurrentState):
                layers.append(RecurrentView(layer.mixer, state, batch, start))
            elif isinstance(layer.mixer, ShortConvolution) and isinstance(state, RecurrentState):
                layers.append(ConvolutionView(state, batch, start))
            elif isinstance(layer.mixer, Mamba2) and isinstance(state, RecurrentState):
                layers.append(MambaView(layer.mixer, state, batch, start))
            else:  # a feed-forward part, which asks for nothing
                layers.append(LinearAttentionLayer())
        super().__init__(layers=layers)

    def store(self) -> None:
        """Store what the layers hold after a pass and have not stored yet."""
        for layer in self.layers:
            if isinstance(layer, ConvolutionView):
                layer.store()


class RecurrentView(LinearAttentionLayer):  # type: ignore[misc]
    """One recurrent layer of a `CacheView`: its states are read before and written after a pass.

    transformers keeps one position more of the convolution's inputs than it needs, and its heads
    of values in another order.
    """

    def __init__(self, mixer: DeltaNet, state: RecurrentState, batch: int, start: int) -> None:
        super().__init__()
        self.spec, self.state, self.batch = mixer, state, batch
        shared = mixer.value_heads // mixer.key_heads
        heads = np.arange(mixer.value_heads)
        self.heads = heads.reshape(shared, -1).T.reshape(-1) if mixer.tiled else heads
        values = self.heads[:, None] * mixer.size + np.arange(mixer.size)
        before = 2 * mixer.key_heads * mixer.size
        self.channels = np.concatenate([np.arange(before), before + values.reshape(-1)])
        if start:
            last, matrices = (array[:batch] for array in state.arrays)
            padded = np.pad(last[..., self.channels], ((0, 0), (1, 0), (0, 0)))
            self.lazy_initialization(torch.from_numpy(padded.swapaxes(1, 2).copy()))
            self.conv_states[0].copy_(torch.from_numpy(padded.swapaxes(1, 2).copy()))
            own = torch.from_numpy(matrices[:, self.heads, :, : mixer.size].copy())
            self.lazy_initialization(recurrent_states=own)
            self.recurrent_states[0].copy_(own)
            self.has_previous_state[0] = True

    def update_recurrent_state(
        self, recurrent_states: Tensor, state_idx: int = 0, **kwargs: Any
    ) -> Tensor:
        """Store the states after the pass, and the inputs of the convolution."""
        found: Tensor = super().update_recurrent_state(recurrent_states, state_idx)
        last, matrices = (array[: self.batch] for array in self.state.arrays)
        seen = self.conv_states[0][..., 1:].swapaxes(1, 2)
        last[..., self.channels] = seen.cpu().numpy()
        matrices[:, self.heads, :, : self.spec.size] = found.cpu().numpy()
        return found


class ConvolutionView(LinearAttentionLayer):  # type: ignore[misc]
    """One layer of a `CacheView` whose state are the inputs of a short convolution."""

    def __init__(self, state: RecurrentState, batch: int, start: int) -> None:
        super().__init__()
        self.last = state.arrays[0][:batch]
        if start:  # transformers keeps one position more than it needs
            padded = np.pad(self.last, ((0, 0), (1, 0), (0, 0))).swapaxes(1, 2).copy()
            self.lazy_initialization(torch.from_numpy(padded))
            self.conv_states[0].copy_(torch.from_numpy(padded))
            self.has_previous_state[0] = True

    def store(self) -> None:
        """Store the last inputs after a pass, which may have changed them in place."""
        self.last[:] = self.conv_states[0][..., 1:].swapaxes(1, 2).cpu().numpy()


class MambaView(ConvolutionView):
    """One layer of a `CacheView` with Mamba-2, whose states transformers holds transposed."""

    def __init__(self, mixer: Mamba2, state: RecurrentState, batch: int, start: int) -> None:
        super().__init__(state, batch, start)
        self.matrices = state.arrays[1][:batch, ..., : mixer.size]
        if start:
            own = torch.from_numpy(self.matrices.swapaxes(-1, -2).copy())
            self.lazy_initialization(recurrent_states=own)
            self.recurrent_states[0].copy_(own)

    def store(self) -> None:
        """Store the last inputs and the states after a pass."""
        super().store()
        self.matrices[:] = self.recurrent_states[0].swapaxes(-1, -2).cpu().numpy()


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
