"""The keys and values of positions already read: one cache for any number of sequences.

Keys lie in tiles of 16 positions, transposed, so that a vector of 16 scores is a sum of products
without a sum across lanes; values lie in rows. Layers with a window keep a ring of positions.

    keys[layer]     (sequences, kv_heads, slots / 16, head_size, 16) float32
    values[layer]   (sequences, kv_heads, slots, pitch)              float32, pitch ≥ value_size
    position p of a sequence is in slot p % slots
"""

from collections.abc import Sequence

import numpy as np

from zeropoint.errors import MeasurementError
from zeropoint.formats import F32
from zeropoint.models.architecture import Architecture

TILE = 16  # positions
VECTOR = 32  # rows of values are whole numbers of so many floats


class Cache:
    """Room for `capacity` positions of each of `sequences` sequences."""

    def __init__(
        self,
        architecture: Architecture,
        capacity: int,
        *,
        sequences: int = 1,
        chunk: int = 512,
        passing: bool = False,
    ) -> None:
        """`chunk` is how many positions are added at a time, at most; windows need room for them.

        `passing`: all layers of a shape share their room, for a single pass that nothing follows.
        """
        self.capacity = capacity
        self.chunk = max(1, min(chunk, capacity))
        self.lengths = np.zeros(sequences, np.int64)  # positions that each sequence has
        self.slots: list[int] = []
        self.keys: list[F32] = []
        self.values: list[F32] = []
        shared: dict[tuple[int, ...], tuple[F32, F32]] = {}
        for layer in architecture.layers:
            wanted = capacity if layer.window is None else layer.window - 1 + self.chunk
            slots = -(-min(capacity, wanted) // TILE) * TILE
            self.slots.append(slots)
            tiles = (sequences, layer.kv_heads, slots // TILE, layer.head_size, TILE)
            pitch = -(-layer.value_size // VECTOR) * VECTOR
            rows = (sequences, layer.kv_heads, slots, pitch)
            # Zeros: pages that are never written cost no memory, and no NaN waits in an unused
            # lane.
            room = shared.get(tiles + rows) if passing else None
            room = room or (np.zeros(tiles, np.float32), np.zeros(rows, np.float32))
            shared[tiles + rows] = room
            self.keys.append(room[0])
            self.values.append(room[1])

    @property
    def sequences(self) -> int:
        """How many sequences there are."""
        return len(self.lengths)

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values, used or not."""
        arrays = {id(array): array.nbytes for array in (*self.keys, *self.values)}
        return sum(arrays.values())

    def grow(self, sequences: Sequence[int], count: int) -> None:
        """Count `count` more positions of these sequences, or raise MeasurementError."""
        for sequence in sequences:
            if self.lengths[sequence] + count > self.capacity:
                raise MeasurementError(
                    f"the context is full: {self.capacity} tokens fit, "
                    f"{int(self.lengths[sequence]) + count} are asked for"
                )
        self.lengths[list(sequences)] += count

    def write(self, layer: int, sequence: int, start: int, keys: F32, values: F32) -> None:
        """Store keys (n, kv_heads, head_size) and values of positions start … start + n − 1."""
        slots = np.arange(start, start + len(keys)) % self.slots[layer]
        self.keys[layer][sequence][:, slots // TILE, :, slots % TILE] = keys
        self.values[layer][sequence][:, slots, : values.shape[-1]] = values.swapaxes(0, 1)

    def read(self, layer: int, sequence: int, start: int, stop: int) -> tuple[F32, F32]:
        """Return keys (kv_heads, n, head_size) and values of positions start … stop − 1."""
        slots = np.arange(start, stop) % self.slots[layer]
        keys = self.keys[layer][sequence][:, slots // TILE, :, slots % TILE].swapaxes(0, 1)
        return keys, self.values[layer][sequence][:, slots]

    def can_truncate(self, length: int, sequence: int = 0) -> bool:
        """Tell whether the windows still hold what comes before position `length`."""
        gone = int(self.lengths[sequence]) - length
        return gone <= self.chunk or all(slots >= self.capacity for slots in self.slots)

    def truncate(self, length: int, sequence: int = 0) -> None:
        """Forget the positions from `length` on. Raises ValueError if `can_truncate` says no."""
        if not 0 <= length <= self.lengths[sequence]:
            raise ValueError(f"sequence {sequence} has {self.lengths[sequence]} positions")
        if not self.can_truncate(length, sequence):
            raise ValueError(f"only the last {self.chunk} positions can be forgotten")
        self.lengths[sequence] = length

    def copy(self, source: int, target: int) -> None:
        """Put a copy of the sequence `source` in the place of `target`, which is forgotten."""
        for arrays in (self.keys, self.values):
            for array in arrays:
                array[target] = array[source]
        self.lengths[target] = self.lengths[source]

    def clear(self) -> None:
        """Forget everything."""
        self.lengths[:] = 0
