"""What a layer keeps of earlier positions: one class of state for each kind of layer.

`KeyValueState` holds keys and values. Keys lie in transposed tiles of 16 positions, so that a
vector of 16 scores needs no sum across SIMD lanes. Values lie in rows. Layers with a sliding window
keep a ring of positions. The other layers get slots as they need them, so that a large capacity
costs no memory until it is used.

    keys     (sequences, kv_heads, slots / 16, head_size, 16) float32
    values   (sequences, kv_heads, slots, pitch)              float32, pitch ≥ value_size
    position p of a sequence is in slot p % slots

Both may be stored in fewer bits (see `cached_rows`): as float16 in the same shapes, or as uint8
with the bytes of a row of blocks in the place of its values.

`RecurrentState` holds arrays of a fixed size that every position changes. A pass that starts at
position 0 ignores what they held before.
"""

from dataclasses import dataclass
from math import prod
from typing import Protocol

import numpy as np

from zeropoint.formats import F32
from zeropoint.models.cached_rows import EXACT_ROWS, CachedRows

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
    def arrays(self) -> list[np.ndarray]:
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

    def mark(self, length: int, sequence: int) -> None:
        """As `save`, until the next mark; what `save` has kept stays."""

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
    keys: CachedRows = EXACT_ROWS
    values: CachedRows = EXACT_ROWS

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
        self.stored = (shape.keys, shape.values)
        # Zeros, because unused lanes must not hold NaN.
        self.keys: np.ndarray = np.zeros(
            (*lead, first // TILE_POSITIONS, shape.keys.elements(shape.head_size), TILE_POSITIONS),
            shape.keys.dtype,
        )
        self.values: np.ndarray = np.zeros(
            (*lead, first, shape.values.elements(pitch)), shape.values.dtype
        )

    @property
    def slots(self) -> int:
        """Positions that there is memory for now."""
        return int(self.values.shape[2])

    @property
    def arrays(self) -> list[np.ndarray]:
        return [_bits(self.keys), _bits(self.values)]

    @property
    def max_bytes(self) -> int:
        used = self.keys.nbytes + self.values.nbytes
        return used // self.slots * self.max_slots

    def grow(self, needed: int) -> None:
        if self.slots < min(needed, self.max_slots):
            tiles = _tiles(max(needed, self.slots * 3 // 2))
            more = min(self.max_slots, tiles * TILE_POSITIONS)
            self.keys = _longer(self.keys, more // TILE_POSITIONS)
            self.values = _longer(self.values, more)

    def write(self, sequence: int, start: int, keys: F32, values: F32) -> None:
        """Store keys (n, kv_heads, head_size) and values of positions start … start + n − 1."""
        slots = np.arange(start, start + len(keys)) % self.slots
        rows = [rows.encode(part) for rows, part in zip(self.stored, (keys, values), strict=True)]
        _write_keys(self.keys[sequence], self.stored[0], slots, rows[0])
        self.values[sequence][:, slots, : rows[1].shape[-1]] = rows[1].swapaxes(0, 1)

    def read(self, sequence: int, start: int, stop: int) -> tuple[F32, F32]:
        """Return keys (kv_heads, n, head_size) and values of positions start … stop − 1."""
        slots = np.arange(start, stop) % self.slots
        keys = _read_keys(self.keys[sequence], self.stored[0], slots)
        values = self.values[sequence][:, slots]
        return self.stored[0].decode(keys), self.stored[1].decode(values)

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

    def mark(self, length: int, sequence: int) -> None:
        """Do nothing, as `save`."""

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
        self._arrays: list[np.ndarray] = [
            np.zeros((room.sequences, *one), np.float32) for one in shape.shapes
        ]
        self._saved: list[dict[int, list[np.ndarray]]] = [{} for _ in range(room.sequences)]
        self._marked: list[dict[int, list[np.ndarray]]] = [{} for _ in range(room.sequences)]
        self._max_bytes = 4 * room.sequences * sum(map(prod, shape.shapes))

    @property
    def arrays(self) -> list[np.ndarray]:
        return self._arrays

    @property
    def max_bytes(self) -> int:
        return self._max_bytes

    def grow(self, needed: int) -> None:
        """Do nothing: the size does not depend on the positions."""

    def obstacle(self, length: int, current: int, sequence: int) -> str:
        kept = self._kept(sequence)
        if not self._arrays or length in (0, current, *kept):
            return ""
        places = ", ".join(map(str, [0, *kept]))
        return f"a recurrent layer can be cut back to the positions {places} only"

    def truncate(self, length: int, sequence: int) -> None:
        kept = self._kept(sequence)
        for array, state in zip(self._arrays, kept.get(length, ()), strict=False):
            array[sequence] = state
        for places in (self._saved, self._marked):
            places[sequence] = {at: kept for at, kept in places[sequence].items() if at <= length}

    def _kept(self, sequence: int) -> dict[int, list[np.ndarray]]:
        return self._marked[sequence] | self._saved[sequence]

    def copy(self, source: int, target: int, length: int) -> None:
        for array in self._arrays:
            array[target] = array[source]
        self._saved[target] = dict(self._saved[source])
        self._marked[target] = {}

    def save(self, length: int, sequence: int) -> None:
        saved = self._saved[sequence]
        saved[length] = [array[sequence].copy() for array in self._arrays]
        if len(saved) > MAX_CHECKPOINTS:
            del saved[min(saved)]

    def mark(self, length: int, sequence: int) -> None:
        copies = self._saved[sequence].get(length) or [one[sequence].copy() for one in self._arrays]
        self._marked[sequence] = {length: copies}

    def clear(self) -> None:
        for kept in (*self._saved, *self._marked):
            kept.clear()


def _tiles(positions: int) -> int:
    return -(-positions // TILE_POSITIONS)


def _bits(array: np.ndarray) -> np.ndarray:
    """Return an array as the compiled engine takes it: float16 as its bits."""
    return array.view(np.uint16) if array.dtype == np.float16 else array


def _write_keys(tiles: np.ndarray, stored: CachedRows, slots: np.ndarray, rows: np.ndarray) -> None:
    """Write rows (n, kv_heads, elements) into tiles (kv_heads, tiles, elements, 16)."""
    places, lanes = slots // TILE_POSITIONS, slots % TILE_POSITIONS
    if not stored.block_bytes:
        tiles[:, places, :, lanes] = rows
        return
    scales, codes = _parts(tiles, stored)
    blocks = rows.reshape(*rows.shape[:-1], -1, stored.block_bytes)
    scales[:, places, :, lanes] = blocks[..., :2]
    codes[:, places, :, :, lanes] = blocks[..., 2:]


def _read_keys(tiles: np.ndarray, stored: CachedRows, slots: np.ndarray) -> np.ndarray:
    """Return rows (kv_heads, n, elements) of tiles."""
    places, lanes = slots // TILE_POSITIONS, slots % TILE_POSITIONS
    if not stored.block_bytes:
        return tiles[:, places, :, lanes].swapaxes(0, 1)
    scales, codes = _parts(tiles, stored)
    blocks = np.concatenate(
        [scales[:, places, :, lanes], codes[:, places, :, :, lanes]], axis=-1
    ).swapaxes(0, 1)
    return blocks.reshape(*blocks.shape[:2], -1)


def _parts(tiles: np.ndarray, stored: CachedRows) -> tuple[np.ndarray, np.ndarray]:
    """Return views of the scales (kv_heads, tiles, blocks, 16, 2) and of the codes (…, bytes, 16)
    of tiles of blocks.
    """
    blocks = tiles.reshape(*tiles.shape[:2], -1, stored.block_bytes * TILE_POSITIONS)
    scales, codes = np.split(blocks, [2 * TILE_POSITIONS], axis=-1)
    lead = blocks.shape[:3]
    return scales.reshape(*lead, TILE_POSITIONS, 2), codes.reshape(*lead, -1, TILE_POSITIONS)


def _longer(array: np.ndarray, slots: int) -> np.ndarray:
    """Return a longer copy of an array of slots, or of tiles; the new ones are zero."""
    longer = np.zeros((*array.shape[:2], slots, *array.shape[3:]), array.dtype)
    longer[:, :, : array.shape[2]] = array
    return longer
