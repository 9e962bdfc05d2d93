"""Carries the hidden states of a whole text from layer to layer.

    RUN/states.LAYER.f32    (chunks, context, row width) float32: the rows before layer LAYER

A row is a hidden state, and what later layers need of earlier ones (see `models.layer_runner`).

Only one layer's weights are in memory, and the moments of one layer's inputs. The states before the
next layer are stored when a layer is finished, so an interrupted walk resumes at the layer that it
was at.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zeropoint.calibration.chunks import Chunk
from zeropoint.calibration.moments import MomentFolder
from zeropoint.calibration.run import MAX_MOMENT_BYTES
from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import CheckpointError, MeasurementError
from zeropoint.formats import F32, QuantizedTensor
from zeropoint.models.architecture import Architecture
from zeropoint.models.layer_runner import LayerRunner, embed, row_width


@dataclass(frozen=True)
class LayerProgress:
    """A layer is being calibrated or rounded."""

    layer: int  # counted from 1
    layers: int
    done: int  # units of work, since the command began

    @property
    def detail(self) -> str:
        """The layer, for the progress."""
        return f"layer {self.layer} of {self.layers}"


class LayerWalk:
    """The hidden states of a text between two layers of a model."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        architecture: Architecture,
        chunks: Sequence[Chunk],
        moments: MomentFolder,
        *,
        threads: int,
    ) -> None:
        self.checkpoint = checkpoint
        self.architecture = architecture
        self.tokens = np.stack([chunk.tokens for chunk in chunks])  # (chunks, context) int32
        self.moments = moments
        self.threads = threads
        self.layer = 0  # the layer that the states are before
        self._states: F32 | None = None
        self._outside: dict[str, QuantizedTensor] = {}  # replaced tensors outside of layers

    @property
    def layers(self) -> int:
        """Number of layers of the model."""
        return len(self.architecture.layers)

    def matrices(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of each matrix of the layers."""
        tensors = self.checkpoint.tensors
        names = sorted(
            name for layer in self.architecture.layers for name in layer.tensors.values()
        )
        return {name: tensors[name].shape for name in names if len(tensors[name].shape) > 1}

    def start(self, embedding: QuantizedTensor | None = None) -> None:
        """Read the states that an interrupted walk stored, or embed the text.

        `embedding` is used instead of the token embedding of the file.
        """
        self.layer = self.stored_layer()
        self._outside = {self.architecture.embedding: embedding} if embedding else {}
        if self.layer:
            self._states = self._load(self.layer)
        else:
            states = embed(self.checkpoint, self.architecture, self.tokens, embedding)
            self._states = np.zeros((*self.tokens.shape, row_width(self.architecture)), np.float32)
            self._states[:, :, : self.architecture.width] = states

    def stored_layer(self) -> int:
        """Return the layer that the stored states are before; 0 if none are stored."""
        layers = range(self.layers, 0, -1)
        return next((layer for layer in layers if self._path(layer).exists()), 0)

    @property
    def state_bytes(self) -> int:
        """Bytes of the states before one layer."""
        return 4 * self.tokens.size * row_width(self.architecture)

    def collect_all(self, units: Sequence[int] | None = None) -> Iterator[LayerProgress]:
        """Collect the second moments of all layers.

        `units` are the units of work of a chunk in each layer; None: one. Stopping between two
        records is safe.
        """
        self.start()
        done = 0
        while self.layer < self.layers:
            for _ in self.collect(advance=True):
                done += units[self.layer] if units else 1
                yield LayerProgress(self.layer + 1, self.layers, done)
            self.store()
        self.delete()

    def collect(self, *, advance: bool) -> Iterator[None]:
        """Collect the second moments of the inputs of the layer; yield after each chunk.

        With `advance`, the states are those after the layer then.
        """
        runner = self._runner()
        shapes = runner.matrices()
        groups = self.moments.groups(shapes, MAX_MOMENT_BYTES)
        for group in groups:
            self.moments.begin({name: shapes[name] for name in group})
            for name in group:
                runner.set_hook(name, _Adder(self.moments, name))
            yield from self._pass(runner, keep=advance and group is groups[-1])
            for name in group:
                runner.set_hook(name, None)
            self.moments.save(group)
        if advance and not groups:
            yield from self._pass(runner, keep=True)

    def advance(self, replaced: Mapping[str, QuantizedTensor]) -> Iterator[None]:
        """Run the layer with other tensors; yield after each chunk."""
        yield from self._pass(self._runner(replaced), keep=True)

    def store(self) -> None:
        """Go to the next layer: store the states before it, and delete the older ones."""
        self.layer += 1
        states = self.states
        if not np.isfinite(states).all():
            raise MeasurementError(
                f"{self.checkpoint.path}: the hidden states after layer {self.layer - 1} are not"
                " finite; the model is broken"
            )
        self.moments.run.save_bytes(self._path(self.layer).name, states.view(np.uint8).data)
        self._path(self.layer - 1).unlink(missing_ok=True)

    def delete(self) -> None:
        """Delete the stored states, when the walk is finished."""
        self._path(self.layer).unlink(missing_ok=True)

    def reduce(self, layer: int) -> None:
        """Keep only the diagonals of the moments of a layer."""
        names = self.architecture.layers[layer].tensors.values()
        self.moments.reduce([name for name in names if self.moments.has(name)])

    @property
    def states(self) -> F32:
        """The rows before the layer, (chunks, context, row width) float32."""
        assert self._states is not None, "the walk has not started"
        return self._states

    def _runner(self, replaced: Mapping[str, QuantizedTensor] | None = None) -> LayerRunner:
        return LayerRunner(
            self.checkpoint,
            self.architecture,
            self.layer,
            threads=self.threads,
            replaced={**self._outside, **(replaced or {})},
        )

    def _pass(self, runner: LayerRunner, *, keep: bool) -> Iterator[None]:
        for index in range(len(self.tokens)):
            after = runner.run(self.states[index], self.tokens[index])
            if keep:
                self.states[index] = after
            yield

    def _path(self, layer: int) -> Path:
        return self.moments.run.path / f"states.{layer}.f32"

    def _load(self, layer: int) -> F32:
        path = self._path(layer)
        data = np.fromfile(path, np.float32)
        self.moments.run.confirm(path.name, data.data)
        shape = (*self.tokens.shape, row_width(self.architecture))
        if data.size != np.prod(shape):
            raise CheckpointError(path, "does not belong to this text; delete it")
        return data.reshape(shape)


class _Adder:
    """Adds the input rows of one matrix to its second moments."""

    def __init__(self, moments: MomentFolder, name: str) -> None:
        self.moments, self.name = moments, name

    def __call__(self, rows: F32, expert: int | None) -> None:
        self.moments.add(self.name, rows, expert)
