"""Runs a text through a model once, and collects statistics of the inputs of each matrix.

    Σ x_j²    for every matrix and expert, summed in float64: the importance (see `statistics`)
    Σ x xᵀ    on request, (columns, columns) float32 for every distinct input, in a folder

Second moments are large: columns² · 4 bytes, 1 MB for 512 columns and 321 MB for 8960. So they are
collected for as many matrices at a time as fit into MAX_MOMENT_BYTES, with one pass over the text
per group. Each file appears when it is complete: memory does not grow with the model, and an
interrupted run continues with the group that it was at.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zeropoint.calibration.chunks import Chunk
from zeropoint.calibration.coverage import Coverage, coverage
from zeropoint.calibration.moments import MomentFolder
from zeropoint.calibration.statistics import Calibration, InputSquares
from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.names import OUTPUT
from zeropoint.errors import MeasurementError, printable
from zeropoint.formats import F32
from zeropoint.models.base import LanguageModel

F64 = NDArray[np.float64]

MAX_MOMENT_BYTES = 4 << 30  # of the second moments that are in memory at a time


@dataclass(frozen=True)
class ChunkRead:
    """The model has read one more chunk."""

    done: int  # chunks, counted over all passes
    tokens: int  # of the text, read in this pass
    chunks: int  # of the text, read in the first pass


class CalibrationRun:
    """Collects statistics: `steps` reads the text, `calibration` returns the statistics so far."""

    def __init__(
        self,
        model: LanguageModel,
        chunks: Sequence[Chunk],
        *,
        moments: MomentFolder | None = None,
        moment_bytes: int = MAX_MOMENT_BYTES,
    ) -> None:
        self.model = model
        self.chunks = chunks
        self.moments = moments
        self.draft = model.draft_head  # reads each chunk too, so that its matrices are observed
        self.shapes = input_shapes(model)
        self.squares = InputSquares()
        self.read = 0  # chunks of the first pass
        self.groups: list[list[str]] = [[]]
        if moments:
            self.groups = moments.groups(self.shapes, moment_bytes) or [[]]

    @property
    def total(self) -> int:
        """Number of chunks to read, counted over all passes."""
        return len(self.groups) * len(self.chunks)

    def steps(self) -> Iterator[ChunkRead]:
        """Read the chunks one by one. Stopping between two records is safe.

        Raises MeasurementError if an input is not finite.
        """
        done = 0
        for number, group in enumerate(self.groups):
            if number == 0:
                self._begin()
            self._set_hooks(group, squares=number == 0)
            try:
                for index, chunk in enumerate(self.chunks):
                    states = self.model.hidden(chunk.tokens)
                    if self.draft:
                        self.draft.hidden(states[:-1], chunk.tokens[1:])
                    if number == 0:
                        self.squares.add(OUTPUT, states, 0)
                        self._check(index, chunk)
                        self.read = index + 1
                    done += 1
                    yield ChunkRead(done, (index + 1) * chunk.tokens.size, self.read)
            finally:
                for name in self.shapes:
                    self.model.set_hook(name, None)
            if self.moments:
                self.moments.save(group)

    def calibration(self, datasets: Sequence[str], corpus: str) -> Calibration:
        """Return the importance of the chunks read so far, under GGUF names.

        Raises MeasurementError before the first chunk.
        """
        if not self.read:
            raise MeasurementError("there is no importance before the first chunk is read")
        size = int(self.chunks[0].tokens.size)
        return Calibration(self.squares.statistics(), self.read, size, tuple(datasets), corpus)

    def coverage(self, checkpoint: Checkpoint, calibration: Calibration) -> Coverage:
        """Return how much of the model a calibration covers."""
        return coverage(
            calibration,
            (checkpoint.tensors[name] for name in self.shapes),
            tied=checkpoint.tied_output,
        )

    def _begin(self) -> None:
        self.read = 0
        self.squares = InputSquares()
        width = self.model.architecture.width
        for name, shape in {**self.shapes, OUTPUT: (width, width)}.items():
            experts = shape[0] if len(shape) == 3 else 1
            self.squares.begin(name, experts, shape[-1])

    def _set_hooks(self, group: Sequence[str], *, squares: bool) -> None:
        if self.moments:
            self.moments.begin({name: self.shapes[name] for name in group})
        for name in self.shapes:
            moments = self.moments if name in group else None
            if squares or moments:
                self.model.set_hook(name, InputHook(self, name, squares, moments))

    def _check(self, index: int, chunk: Chunk) -> None:
        for name, sums in self.squares.sums.items():
            if not np.isfinite(sums).all():
                raise MeasurementError(
                    f"chunk {index} ({chunk.domain}): an input of {name} is not finite; the "
                    "model is broken"
                )


@dataclass(frozen=True)
class InputHook:
    """Adds the input rows of one matrix to the statistics of a run."""

    run: CalibrationRun
    name: str
    squares: bool
    moments: MomentFolder | None

    def __call__(self, rows: F32, expert: int | None) -> None:
        """Add input rows, (n, columns) float32."""
        if self.squares:
            self.run.squares.add(self.name, rows, expert or 0)
        if self.moments:
            self.moments.add(self.name, rows, expert)


def input_shapes(model: LanguageModel) -> dict[str, tuple[int, ...]]:
    """Return name and shape of each matrix that gets hooks: all but the output matrix."""
    output = model.architecture.output
    return {name: shape for name, shape in model.matrices().items() if name != output}


def datasets_of(files: Sequence[Path], domains: Iterable[str]) -> list[str]:
    """Return the names of the texts, as an importance matrix lists them."""
    return [printable(path.name, 255) for path in files] or [
        f"built-in {domain}" for domain in domains
    ]
