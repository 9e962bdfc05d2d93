"""What a layer keeps of earlier positions: one class of state for each kind of layer.

`KeyValueState` holds keys and values. Keys lie in transposed tiles of 16 positions, so that a
vector of 16 scores needs no sum across SIMD lanes. Values lie in rows. Layers with a sliding window
keep a ring of positions. The other layers get slots as they need them, so that a large capacity
costs no memory until it is used.

    keys     (sequences, kv_heads, slots / 16, head_size, 16) float32
    values   (sequences, kv_heads, slots, pitch)              float32, pitch ≥ value_size
    position p of a sequence is in slot p % slots

`RecurrentState` holds arrays of a fixed size that every position changes. A pass that starts at
position 0 ignores what they held before.
"""

from dataclasses import dataclass
from math import prod
from typing import Protocol

import numpy as np

from zeropoint.formats import F32

TILE_POSITIONS = 16  # positions
FIRST_SLOTS = 128  # positions that are allocated at first
VALUE_PITCH = 32  # the length of a row of values is a multiple of it
STATE_PITCH = 32  # and that of a row of a head's recurrent state
MAX_CHECKPOINTS = 4  # of each sequence; the oldest is dropped


@dataclass(frozen=True, kw_only=True)
class StateRoom:
    """The sizes of a cache that its layers' states share; see `Cache`."""

    sequences: int
    capacity: int  # positions of a sequence
    chunk: int  # positions that are appended at a time
    passing: bool


class LayerState(Protocol):
    """The state of one layer for every sequence of a cache."""

    @property
    def arrays(self) -> list[F32]:
        """The memory, as the compiled engine takes it; the first axis is the sequence."""

    @property
    def max_bytes(self) -> int:
        """Bytes of the arrays when every sequence is full."""

    def grow(self, needed: int) -> None:
        """Allocate memory for `needed` positions of each sequence."""

    def obstacle(self, length: int, current: int, sequence: int) -> str:
        """Return why a sequence of `current` positions cannot be cut back to `length`, or ""."""

    def truncate(self, length: int, sequence: int) -> None:
        """Cut a sequence back; `obstacle` has found none."""

    def copy(self, source: int, target: int, length: int) -> None:
        """Replace the sequence `target` by the `length` positions of the sequence `source`."""

    def save(self, length: int, sequence: int) -> None:
        """Keep what is needed to cut the sequence, which now has `length` positions, back here."""

    def clear(self) -> None:
        """Discard what belongs to the positions of all sequences."""


class StateShape(Protocol):
    """The shape of a layer's state: plain data that makes it."""

    def make(self, room: StateRoom) -> LayerState:
        """Return a state of this shape."""


@dataclass(frozen=True, kw_only=True)
class KeyValueShape:
    """The keys and values of one layer of attention."""

    kv_heads: int
    head_size: int
    value_size: int
    window: int | None  # positions that a query attends to, itself included; None: all

    def make(self, room: StateRoom) -> "KeyValueState":
        """Return the state with its first slots."""
        return KeyValueState(self, room)


class KeyValueState:
    """Keys and values of one layer, of all positions or of the last ones in a ring."""

    def __init__(self, shape: KeyValueShape, room: StateRoom) -> None:
        capacity, self.chunk = room.capacity, room.chunk
        self.kv_heads, self.head_size = shape.kv_heads, shape.head_size
        self.value_size = shape.value_size
        ring = capacity if shape.window is None else shape.window - 1 + room.chunk
        self.max_slots = _tiles(min(capacity, ring)) * TILE_POSITIONS
        self.whole = self.max_slots >= capacity
        first = self.max_slots
        if ring >= capacity and not room.passing:
            first = min(first, _tiles(room.chunk) * TILE_POSITIONS, FIRST_SLOTS)
        pitch = -(-shape.value_size // VALUE_PITCH) * VALUE_PITCH
        lead = (room.sequences, shape.kv_heads)
        # Zeros, because unused lanes must not hold NaN.
        self.keys: F32 = np.zeros(
            (*lead, first // TILE_POSITIONS, shape.head_size, TILE_POSITIONS), np.float32
        )
        self.values: F32 = np.zeros((*lead, first, pitch), np.float32)

    @property
    def slots(self) -> int:
        """Positions that there is memory for now."""
        return int(self.values.shape[2])

    @property
    def arrays(self) -> list[F32]:
        return [self.keys, self.values]

    @property
    def max_bytes(self) -> int:
        sequences, kv_heads, _, pitch = self.values.shape
        return int(4 * sequences * self.max_slots * kv_heads * (self.keys.shape[3] + pitch))

    def grow(self, needed: int) -> None:
        if self.slots < min(needed, self.max_slots):
            tiles = _tiles(max(needed, self.slots * 3 // 2))
            more = min(self.max_slots, tiles * TILE_POSITIONS)
            self.keys = _longer(self.keys, more // TILE_POSITIONS)
            self.values = _longer(self.values, more)

    def write(self, sequence: int, start: int, keys: F32, values: F32) -> None:
        """Store keys (n, kv_heads, head_size) and values of positions start … start + n − 1."""
        slots = np.arange(start, start + len(keys)) % self.slots
        self.keys[sequence][:, slots // TILE_POSITIONS, :, slots % TILE_POSITIONS] = keys
        self.values[sequence][:, slots, : values.shape[-1]] = values.swapaxes(0, 1)

    def read(self, sequence: int, start: int, stop: int) -> tuple[F32, F32]:
        """Return keys (kv_heads, n, head_size) and values of positions start … stop − 1."""
        slots = np.arange(start, stop) % self.slots
        tiles, lanes = slots // TILE_POSITIONS, slots % TILE_POSITIONS
        return self.keys[sequence][:, tiles, :, lanes].swapaxes(0, 1), self.values[sequence][
            :, slots
        ]

    def obstacle(self, length: int, current: int, sequence: int) -> str:
        if self.whole or length == 0 or current - length <= self.chunk:
            return ""
        return f"only the last {self.chunk} positions can be discarded"

    def truncate(self, length: int, sequence: int) -> None:
        """Do nothing: the slots after `length` are written again before they are read."""

    def copy(self, source: int, target: int, length: int) -> None:
        tiles = min(self.keys.shape[2], _tiles(length))  # the other tiles are empty
        slots = tiles * TILE_POSITIONS
        self.keys[target, :, :tiles] = self.keys[source, :, :tiles]
        self.values[target, :, :slots] = self.values[source, :, :slots]

    def save(self, length: int, sequence: int) -> None:
        """Do nothing: the positions before `length` stay."""

    def clear(self) -> None:
        """Do nothing: slots are written before they are read."""


@dataclass(frozen=True, kw_only=True)
class RecurrentShape:
    """Arrays of a fixed size that every position changes; their shapes without the sequence."""

    shapes: tuple[tuple[int, ...], ...]

    def make(self, room: StateRoom) -> "RecurrentState":
        """Return the state, all zeros."""
        return RecurrentState(self, room)


class RecurrentState:
    """The arrays of a recurrent layer, and copies of them at positions to which it can return."""

    def __init__(self, shape: RecurrentShape, room: StateRoom) -> None:
        self._arrays: list[F32] = [
            np.zeros((room.sequences, *one), np.float32) for one in shape.shapes
        ]
        self._saved: list[dict[int, list[F32]]] = [{} for _ in range(room.sequences)]
        self._max_bytes = 4 * room.sequences * sum(map(prod, shape.shapes))

    @property
    def arrays(self) -> list[F32]:
        return self._arrays

    @property
    def max_bytes(self) -> int:
        return self._max_bytes

    def grow(self, needed: int) -> None:
        """Do nothing: the size does not depend on the positions."""

    def obstacle(self, length: int, current: int, sequence: int) -> str:
        if not self._arrays or length in (0, current, *self._saved[sequence]):
            return ""
        places = ", ".join(map(str, [0, *self._saved[sequence]]))
        return f"a recurrent layer can be cut back to the positions {places} only"

    def truncate(self, length: int, sequence: int) -> None:
        saved = self._saved[sequence]
        for array, kept in zip(self._arrays, saved.get(length, ()), strict=False):
            array[sequence] = kept
        self._saved[sequence] = {at: kept for at, kept in saved.items() if at <= length}

    def copy(self, source: int, target: int, length: int) -> None:
        for array in self._arrays:
            array[target] = array[source]
        self._saved[target] = dict(self._saved[source])

    def save(self, length: int, sequence: int) -> None:
        saved = self._saved[sequence]
        saved[length] = [array[sequence].copy() for array in self._arrays]
        if len(saved) > MAX_CHECKPOINTS:
            del saved[min(saved)]

    def clear(self) -> None:
        for saved in self._saved:
            saved.clear()


def _tiles(positions: int) -> int:
    return -(-positions // TILE_POSITIONS)


def _longer(array: F32, slots: int) -> F32:
    """Return a longer copy of an array of slots, or of tiles; the new ones are zero."""
    longer = np.zeros((*array.shape[:2], slots, *array.shape[3:]), np.float32)
    longer[:, :, : array.shape[2]] = array
    return longer
