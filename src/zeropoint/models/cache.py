"""The key-value cache of any number of sequences.

Keys lie in transposed tiles of 16 positions, so that a vector of 16 scores needs no sum across SIMD
lanes. Values lie in rows. Layers with a sliding window keep a ring of positions. The other layers
get slots as they need them, so that a large capacity costs no memory until it is used.

    keys[layer]     (sequences, kv_heads, slots / 16, head_size, 16) float32
    values[layer]   (sequences, kv_heads, slots, pitch)              float32, pitch ≥ value_size
    position p of a sequence is in slot p % slots
"""

from collections.abc import Sequence

import numpy as np

from zeropoint.errors import MeasurementError
from zeropoint.formats import F32
from zeropoint.models.architecture import Architecture

TILE_POSITIONS = 16  # positions
FIRST_SLOTS = 128  # positions that are allocated at first
VALUE_PITCH = 32  # the length of a row of values is a multiple of it


class Cache:
    """Keys and values for up to `capacity` positions of each of `sequences` sequences."""

    def __init__(
        self,
        architecture: Architecture,
        capacity: int,
        *,
        sequences: int = 1,
        chunk: int = 512,
        passing: bool = False,
    ) -> None:
        """Allocate the first slots.

        `chunk` is the maximum number of positions that are appended at a time; rings need room for
        them. `passing` lets all layers of one shape share their memory, for a single pass whose
        cache is not used afterwards.
        """
        self.capacity = capacity
        self.chunk = max(1, min(chunk, capacity))
        self.lengths = np.zeros(sequences, np.int64)  # positions in each sequence
        self.max_slots: list[int] = []
        self.keys: list[F32] = []
        self.values: list[F32] = []
        shared: dict[tuple[int, ...], tuple[F32, F32]] = {}
        for layer in architecture.layers:
            ring = capacity if layer.window is None else layer.window - 1 + self.chunk
            max_slots = -(-min(capacity, ring) // TILE_POSITIONS) * TILE_POSITIONS
            self.max_slots.append(max_slots)
            first = (
                max_slots
                if ring < capacity
                else min(max_slots, -(-self.chunk // TILE_POSITIONS) * TILE_POSITIONS, FIRST_SLOTS)
            )
            first = max_slots if passing else first
            tiles = (
                sequences,
                layer.kv_heads,
                first // TILE_POSITIONS,
                layer.head_size,
                TILE_POSITIONS,
            )
            pitch = -(-layer.value_size // VALUE_PITCH) * VALUE_PITCH
            rows = (sequences, layer.kv_heads, first, pitch)
            # Zeros, because unused lanes must not hold NaN.
            room = shared.get(tiles + rows) if passing else None
            room = room or (np.zeros(tiles, np.float32), np.zeros(rows, np.float32))
            shared[tiles + rows] = room
            self.keys.append(room[0])
            self.values.append(room[1])

    @property
    def sequences(self) -> int:
        """The number of sequences."""
        return len(self.lengths)

    @property
    def slots(self) -> list[int]:
        """Positions that each layer has memory for now."""
        return [values.shape[2] for values in self.values]

    @property
    def max_bytes(self) -> int:
        """Bytes of all keys and values when every sequence is full."""
        floats = 0
        for max_slots, keys, values in zip(self.max_slots, self.keys, self.values, strict=True):
            floats += max_slots * keys.shape[1] * (keys.shape[3] + values.shape[3])
        return 4 * self.sequences * floats

    def grow(self, sequences: Sequence[int], count: int) -> None:
        """Reserve `count` more positions in these sequences, and advance their lengths.

        Raises MeasurementError if that exceeds the capacity.
        """
        needed = int(self.lengths[list(sequences)].max()) + count
        if needed > self.capacity:
            raise MeasurementError(
                f"the context is full: it has room for {self.capacity} tokens, not {needed}"
            )
        for layer, max_slots in enumerate(self.max_slots):
            slots = self.values[layer].shape[2]
            if slots < min(needed, max_slots):
                more = min(
                    max_slots, -(-max(needed, slots * 3 // 2) // TILE_POSITIONS) * TILE_POSITIONS
                )
                self.keys[layer] = _longer(self.keys[layer], more // TILE_POSITIONS)
                self.values[layer] = _longer(self.values[layer], more)
        self.lengths[list(sequences)] += count

    def write(self, layer: int, sequence: int, start: int, keys: F32, values: F32) -> None:
        """Store keys (n, kv_heads, head_size) and values of positions start … start + n − 1."""
        slots = np.arange(start, start + len(keys)) % self.values[layer].shape[2]
        self.keys[layer][sequence][:, slots // TILE_POSITIONS, :, slots % TILE_POSITIONS] = keys
        self.values[layer][sequence][:, slots, : values.shape[-1]] = values.swapaxes(0, 1)

    def read(self, layer: int, sequence: int, start: int, stop: int) -> tuple[F32, F32]:
        """Return keys (kv_heads, n, head_size) and values of positions start … stop − 1."""
        slots = np.arange(start, stop) % self.values[layer].shape[2]
        keys = self.keys[layer][sequence][
            :, slots // TILE_POSITIONS, :, slots % TILE_POSITIONS
        ].swapaxes(0, 1)
        return keys, self.values[layer][sequence][:, slots]

    def can_truncate(self, length: int, sequence: int = 0) -> bool:
        """Return whether the rings still hold the positions before `length`."""
        gone = int(self.lengths[sequence]) - length
        whole = all(slots >= self.capacity for slots in self.max_slots)
        return length == 0 or gone <= self.chunk or whole

    def truncate(self, length: int, sequence: int = 0) -> None:
        """Discard the positions from `length` on. Raises ValueError if `can_truncate` is false."""
        if not 0 <= length <= self.lengths[sequence]:
            raise ValueError(f"sequence {sequence} has {self.lengths[sequence]} positions")
        if not self.can_truncate(length, sequence):
            raise ValueError(f"only the last {self.chunk} positions can be discarded")
        self.lengths[sequence] = length

    def copy(self, source: int, target: int) -> None:
        """Replace the sequence `target` by a copy of the sequence `source`."""
        length = int(self.lengths[source])
        for keys, values in zip(self.keys, self.values, strict=True):
            tiles = (
                min(values.shape[2], length + TILE_POSITIONS - 1) // TILE_POSITIONS
            )  # the other tiles are empty
            keys[target, :, :tiles] = keys[source, :, :tiles]
            values[target, :, : tiles * TILE_POSITIONS] = values[
                source, :, : tiles * TILE_POSITIONS
            ]
        self.lengths[target] = length

    def clear(self) -> None:
        """Discard all positions of all sequences."""
        self.lengths[:] = 0


def _longer(array: F32, slots: int) -> F32:
    """Return a longer copy of an array of slots, or of tiles; the new ones are zero."""
    longer = np.zeros((*array.shape[:2], slots, *array.shape[3:]), np.float32)
    longer[:, :, : array.shape[2]] = array
    return longer
