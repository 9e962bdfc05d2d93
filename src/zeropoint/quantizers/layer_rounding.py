"""Rounds a model layer by layer, each with the inputs that the quantized layers before it produce.

The second moments of a layer's inputs are collected from the model whose earlier layers are
quantized already. So the feedback of a layer minimizes the error of its outputs on the inputs that
it will get, and not on inputs without error. For each layer:

1. The text goes through the layer with its weights of 16 bits: the second moments.
2. The matrices of the layer are encoded and rounded with them, and the rows are stored.
3. The text goes through the quantized layer: the inputs of the next one.

The moments of a finished layer are deleted but for their diagonals, which are the importance.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from zeropoint.calibration.layer_walk import LayerProgress, LayerWalk
from zeropoint.formats import QuantizedTensor
from zeropoint.plans import Choice
from zeropoint.quantizers.checkpoint import importance_of
from zeropoint.quantizers.encoding import SlabEncoder
from zeropoint.quantizers.quantization_plan import QuantizationPlan
from zeropoint.quantizers.tensor_encoder import TensorEncoder
from zeropoint.quantizers.work_estimate import LayerWork, milliseconds, rounded_tensors


class LayerRounding:
    """Rounds the layers of a plan with sequential inputs; the rows are stored by its feedback."""

    def __init__(self, plan: QuantizationPlan, walk: LayerWalk, work: Sequence[LayerWork]) -> None:
        feedback = plan.options.feedback
        assert feedback is not None and feedback.state is not None, "nowhere to store rows"
        self.plan = plan
        self.walk = walk
        self.work = work
        self.rounded = rounded_tensors(plan.choices, feedback.formats)
        self.encoder = SlabEncoder(plan.source, walk.threads, feedback)
        self.choices: Mapping[str, Choice] = {choice.name: choice for choice in plan.choices}

    @property
    def nbytes(self) -> int:
        """Bytes of the rows that are rounded."""
        return sum(self.choices[name].nbytes for name in self.rounded)

    def seconds(self) -> float:
        """Predicted seconds of the layers that are left."""
        left = self.work[self.walk.stored_layer() :]
        passes = sum(2 * work.forward + work.moments for work in left)
        rounding = sum(work.rounding_of(self.rounded) for work in left)
        return len(self.walk.tokens) * passes + rounding

    def steps(self) -> Iterator[LayerProgress]:
        """Round one layer after the other; the units of work are predicted milliseconds.

        Stopping between two records is safe.
        """
        walk = self.walk
        walk.start(self._encoded(walk.architecture.embedding))
        for layer in range(walk.layer):  # a kill may have come before
            walk.reduce(layer)
        seconds = 0.0
        while walk.layer < walk.layers:
            work = self.work[walk.layer]
            for _ in walk.collect(advance=False):
                seconds += work.forward + work.moments
                yield self._progress(seconds)
            tensors = {}
            for name in sorted(walk.architecture.layers[walk.layer].tensors.values()):
                encoded = self._encoded(name)
                if encoded:
                    tensors[name] = encoded
                seconds += work.rounding_of({name} & self.rounded)
                yield self._progress(seconds)
            for _ in walk.advance(tensors):
                seconds += work.forward
                yield self._progress(seconds)
            walk.store()
            walk.reduce(walk.layer - 1)

    def _progress(self, seconds: float) -> LayerProgress:
        return LayerProgress(self.walk.layer + 1, self.walk.layers, milliseconds(seconds))

    def _encoded(self, name: str) -> QuantizedTensor | None:
        """Return a tensor as the output will have it; None if it is copied."""
        choice = self.choices[name]
        if not choice.changes:
            return None
        source, info = self.plan.source, self.plan.source.tensors[name]
        importance = importance_of(choice, source, self.plan.calibration)
        tensor = TensorEncoder(self.encoder, info, choice.format, importance)
        blocks = [
            tensor.encode(slab, source.read_rows(name, slab.start, slab.stop))
            for slab in tensor.slabs()
        ]
        return QuantizedTensor(choice.format, info.shape, np.concatenate(blocks))
