"""Rounds a model layer by layer, each with the inputs that the quantized layers before it produce.

The second moments of a layer's inputs are collected from the model whose earlier layers are
quantized already. So the feedback of a layer minimizes the error of its outputs on the inputs that
it will get, and not on inputs without error. For each layer:

1. The text goes through the layer with its weights of 16 bits: the second moments.
2. The matrices of the layer are encoded and rounded with them, and the rows are stored.
3. The text goes through the quantized layer: the inputs of the next one.

The moments of a finished layer are deleted but for their diagonals, which are the importance.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from zeropoint import kernels
from zeropoint.calibration import find_importance
from zeropoint.calibration.layer_walk import LayerProgress, LayerWalk
from zeropoint.formats import QuantizedTensor
from zeropoint.plans import Choice
from zeropoint.quantizers.encoding import SlabEncoder
from zeropoint.quantizers.quantization_plan import QuantizationPlan
from zeropoint.quantizers.slabs import cut_slabs


class LayerRounding:
    """Rounds the layers of a plan with sequential inputs; the rows are stored by its feedback."""

    def __init__(self, plan: QuantizationPlan, walk: LayerWalk) -> None:
        feedback = plan.options.feedback
        assert feedback is not None and feedback.state is not None, "nowhere to store rows"
        self.plan = plan
        self.walk = walk
        self.encoder = SlabEncoder(plan.source, walk.threads, feedback)
        self.choices: Mapping[str, Choice] = {choice.name: choice for choice in plan.choices}

    @property
    def total(self) -> int:
        """Units of work: two passes of each chunk through each layer."""
        return 2 * self.walk.layers * len(self.walk.tokens)

    def steps(self) -> Iterator[LayerProgress]:
        """Round one layer after the other. Stopping between two records is safe."""
        walk = self.walk
        names = walk.architecture.layers
        walk.start(self._encoded(walk.architecture.embedding))
        for layer in range(walk.layer):  # a kill may have come before
            walk.reduce(layer)
        done = 2 * walk.layer * len(walk.tokens)
        while walk.layer < walk.layers:
            for _ in walk.collect(advance=False):
                yield self._progress(done)
            done += len(walk.tokens)
            tensors = {}
            for name in sorted(names[walk.layer].tensors.values()):
                encoded = self._encoded(name)
                if encoded:
                    tensors[name] = encoded
                yield self._progress(done)
            for _ in walk.advance(tensors):
                done += 1
                yield self._progress(done)
            walk.store()
            walk.reduce(walk.layer - 1)

    def _progress(self, done: int) -> LayerProgress:
        return LayerProgress(self.walk.layer + 1, self.walk.layers, done)

    def _encoded(self, name: str) -> QuantizedTensor | None:
        """Return a tensor as the output will have it; None if it is copied."""
        choice = self.choices[name]
        if not choice.changes:
            return None
        source, info = self.plan.source, self.plan.source.tensors[name]
        importance = None
        if self.plan.calibration:
            importance = find_importance(self.plan.calibration, choice, tied=source.tied_output)
        blocks = []
        for slab in cut_slabs(info.shape, info.format, choice.format):
            rows = source.read_rows(name, slab.start, slab.stop)
            weights = kernels.decode(info.format, rows.data, threads=self.walk.threads)
            weights = weights.reshape(rows.shape)
            self.encoder.check_finite(info, slab, weights)
            row = importance
            if importance is not None and importance.ndim == 2:
                row = importance[slab.expert]
            encoded = self.encoder.encode(info, slab, choice.format, weights, row)
            blocks.append(encoded.blocks)
        return QuantizedTensor(choice.format, info.shape, np.concatenate(blocks))
