"""What a model keeps of the positions before: the states of its layers, for several sequences."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import MeasurementError
from zeropoint.models.architecture import Architecture
from zeropoint.models.layer_state import LayerState, RecurrentState, StateRoom


class Cache:
    """The layers' states for up to `capacity` positions of each of `sequences` sequences.

    Layers of attention can be cut back to earlier positions, those with a window by `chunk`
    positions. Recurrent layers return only to positions that `keep` or `mark` has named.
    """

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
        self.states: list[LayerState] = []
        self._wanted: list[set[int]] = [set() for _ in range(sequences)]  # to save when reached
        room = StateRoom(sequences=sequences, capacity=capacity, chunk=self.chunk, passing=passing)
        shared: dict[tuple[tuple[int, ...], ...], LayerState] = {}
        sources = {layer.source for layer in architecture.layers}  # whose states others read later
        for index, layer in enumerate(architecture.layers):
            if layer.source is not None and layer.source < index:
                self.states.append(self.states[layer.source])
                continue
            state = layer.state.make(room)
            if passing and index not in sources:
                state = shared.setdefault(tuple(array.shape for array in state.arrays), state)
            self.states.append(state)
        self.recurrent = any(  # whether cutting back needs `keep`
            isinstance(state, RecurrentState) and state.arrays for state in self.states
        )

    @property
    def sequences(self) -> int:
        """The number of sequences."""
        return len(self.lengths)

    @property
    def max_bytes(self) -> int:
        """Bytes of all states when every sequence is full, without what `keep` saves."""
        return sum({id(state): state.max_bytes for state in self.states}.values())

    def grow(self, sequences: Sequence[int], count: int) -> None:
        """Reserve `count` more positions in these sequences, and advance their lengths.

        Raises MeasurementError if that exceeds the capacity.
        """
        needed = int(self.lengths[list(sequences)].max()) + count
        if needed > self.capacity:
            raise MeasurementError(
                f"the context is full: it has room for {self.capacity} tokens, not {needed}"
            )
        for state in self.states:
            state.grow(needed)
        self.lengths[list(sequences)] += count

    def keep(self, position: int, sequence: int = 0) -> None:
        """Make it possible to cut the sequence back to `position` later.

        The position is the sequence's length, or a later one that a pass will reach. Of recurrent
        layers the last few such positions are kept; other layers need nothing.
        """
        if not self.recurrent:
            return
        if position == self.lengths[sequence]:
            self._save(position, sequence)
        elif position > self.lengths[sequence]:
            self._wanted[sequence].add(position)

    def mark(self, sequence: int = 0) -> None:
        """Make it possible to cut the sequence back to its length now, until the next mark."""
        for state in self.states:
            state.mark(int(self.lengths[sequence]), sequence)

    def next_stop(self, starts: NDArray[np.int64], count: int) -> int:
        """Return how many of the next `count` positions to append before `stopped` is called."""
        stops = [
            wanted - int(start)
            for start, positions in zip(starts, self._wanted, strict=False)
            for wanted in positions
            if wanted > start
        ]
        return min([*stops, count])

    def stopped(self, ends: NDArray[np.int64]) -> None:
        """Save the sequences that have reached a position that `keep` has named."""
        for sequence, end in enumerate(ends.tolist()):
            if end in self._wanted[sequence]:
                self._wanted[sequence].discard(end)
                self._save(end, sequence)

    def can_truncate(self, length: int, sequence: int = 0) -> bool:
        """Return whether the layers still hold what the positions before `length` left."""
        return not self._obstacle(length, sequence)

    def last_cut(self, length: int, sequence: int = 0) -> int:
        """Return the last position up to `length` to which the sequence can be cut back."""
        return next(at for at in range(length, -1, -1) if self.can_truncate(at, sequence))

    def truncate(self, length: int, sequence: int = 0) -> None:
        """Discard the positions from `length` on. Raises ValueError if `can_truncate` is false."""
        if not 0 <= length <= self.lengths[sequence]:
            raise ValueError(f"sequence {sequence} has {self.lengths[sequence]} positions")
        obstacle = self._obstacle(length, sequence)
        if obstacle:
            raise ValueError(obstacle)
        for state in self.states:
            state.truncate(length, sequence)
        self._wanted[sequence] = set()
        self.lengths[sequence] = length

    def copy(self, source: int, target: int) -> None:
        """Replace the sequence `target` by a copy of the sequence `source`."""
        length = int(self.lengths[source])
        for state in self.states:
            state.copy(source, target, length)
        self._wanted[target] = set(self._wanted[source])
        self.lengths[target] = length

    def clear(self) -> None:
        """Discard all positions of all sequences."""
        for state in self.states:
            state.clear()
        for wanted in self._wanted:
            wanted.clear()
        self.lengths[:] = 0

    def _obstacle(self, length: int, sequence: int) -> str:
        current = int(self.lengths[sequence])
        obstacles = (state.obstacle(length, current, sequence) for state in self.states)
        return next(filter(None, obstacles), "")

    def _save(self, position: int, sequence: int) -> None:
        for state in self.states:
            state.save(position, sequence)
