"""Where the gradients of a model lie on the grid of its format."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from zeropoint.results.train import GradientHistogram
from zeropoint.training.rounding import Blocks, MXRounding, NVFP4Rounding, Rounding
from zeropoint.training.trainer import Trainer

BINS_PER_UNIT = 4


@dataclass
class CountingRounding:
    """Rounds as `rounding` does, and counts the values in units of the scale of their block."""

    rounding: MXRounding | NVFP4Rounding
    counts: NDArray[np.int64] = field(init=False)
    small: int = 0  # not 0, but below half of the smallest value
    filled: int = 0  # not 0

    def __post_init__(self) -> None:
        bins = int(2 * BINS_PER_UNIT * self.rounding.element.max)
        self.counts = np.zeros(bins, np.int64)

    @property
    def group(self) -> int:
        """Columns that share a scale."""
        return self.rounding.group

    @property
    def edges(self) -> NDArray[np.float64]:
        """Edges of the bins."""
        end = self.rounding.element.max
        return np.linspace(-end, end, len(self.counts) + 1)

    def __call__(self, x: Tensor, draws: Generator | None = None) -> Blocks:
        """Round and count."""
        blocks = self.rounding(x, draws)
        assert blocks.scale is not None
        scale = blocks.scale if blocks.factor is None else blocks.scale * blocks.factor
        units = (x.reshape(blocks.values.shape) / scale)[x.reshape(blocks.values.shape) != 0]
        units = units[torch.isfinite(units)]
        self.counts += np.histogram(units.numpy(), self.edges)[0]
        self.small += int((units.abs() <= self.rounding.element.smallest / 2).sum())
        self.filled += units.numel()
        return blocks


def count_gradients(trainer: Trainer) -> GradientHistogram | None:
    """Count the gradients of the next batch, as dgrad rounds them; None if it does not."""
    format, recipe = trainer.format, trainer.format.recipe
    rounding: Rounding = recipe.dgrad.left
    if not isinstance(rounding, MXRounding | NVFP4Rounding):
        return None
    counting = CountingRounding(rounding)
    dgrad = replace(recipe.dgrad, left=counting)
    trainer.backward(replace(format, recipe=replace(recipe, dgrad=dgrad)))
    return GradientHistogram(
        format=format.label,
        edges=tuple(counting.edges.tolist()),
        counts=tuple(counting.counts.tolist()),
        lost=counting.small / max(counting.filled, 1),
    )
