"""Quantizes a loaded model in place, so that every format can be measured, storable or not.

Tensors that are not quantized are unchanged. A format that has product kernels keeps its blocks.
A format without one is decoded to float32 for the products: exact, and 4 bytes per weight.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from zeropoint import kernels
from zeropoint.calibration import Calibration, find_importance
from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import FormatError
from zeropoint.formats import Format, QuantizedTensor
from zeropoint.models.base import LanguageModel
from zeropoint.plans import Choice, Recipe, check_importance, choose_formats
from zeropoint.quantizers.checkpoint import check_not_quantized
from zeropoint.quantizers.nearest import quantize
from zeropoint.quantizers.slabs import SLAB_WEIGHTS


@dataclass(frozen=True)
class TensorReplaced:
    """One more tensor of the model is quantized."""

    name: str
    format: str
    done: int  # weights quantized so far


@dataclass(frozen=True)
class InMemoryPlan:
    """A format for each tensor of a checkpoint, and the importance to encode it with."""

    name: str
    checkpoint: Checkpoint
    choices: Sequence[Choice]
    calibration: Calibration | None

    @property
    def changing(self) -> list[Choice]:
        """The tensors that are encoded again."""
        return [choice for choice in self.choices if choice.changes]

    @property
    def has_kernels(self) -> bool:
        """Whether every matrix keeps its blocks: only then does the model's speed mean anything."""
        return all(kernels.has_products(choice.format) for choice in self.choices)

    @property
    def elements(self) -> int:
        """Number of weights that are encoded again."""
        return sum(choice.elements for choice in self.changing)

    @property
    def tensor_bytes(self) -> int:
        """Bytes of all tensors in their formats, scales and zero points included."""
        return sum(choice.nbytes for choice in self.choices)

    @property
    def bits_per_weight(self) -> float:
        """8 · tensor_bytes / weights; the header of a file is not counted."""
        return 8 * self.tensor_bytes / sum(prod(choice.shape) for choice in self.choices)


def plan_in_memory(
    checkpoint: Checkpoint,
    to: str | Recipe,
    calibration: Calibration | None = None,
    *,
    requantize: bool = False,
) -> InMemoryPlan:
    """Choose a format for each tensor by the rules of `quantize --to`. No weight is read.

    Raises RecipeError for an unknown name, and FormatError for a model that is already quantized,
    unless `requantize` allows it.
    """
    choices = choose_formats(checkpoint, to, imatrix=calibration is not None)
    check_importance(choices, calibration.statistics if calibration else ())
    check_not_quantized(checkpoint, choices, requantize=requantize)
    return InMemoryPlan(to if isinstance(to, str) else "recipe", checkpoint, choices, calibration)


def quantize_in_memory(model: LanguageModel, plan: InMemoryPlan) -> Iterator[TensorReplaced]:
    """Replace the tensors of a model that was loaded from the plan's checkpoint, one by one.

    Raises FormatError, with the name of the tensor, for weights that its format cannot hold.
    """
    checkpoint, done = plan.checkpoint, 0
    for choice in plan.changing:
        try:
            tensor = encode_tensor(
                checkpoint, choice.name, choice.format, plan.calibration, model.threads
            )
        except FormatError as error:
            raise FormatError(f"{checkpoint.path}: {choice.name}: {error}") from None
        model.replace(choice.name, tensor)
        done += choice.elements
        yield TensorReplaced(choice.name, choice.format.name, done)


def encode_tensor(
    checkpoint: Checkpoint, name: str, format: Format, calibration: Calibration | None, threads: int
) -> QuantizedTensor:
    """Encode a tensor of a checkpoint to nearest, slab by slab where its rows are independent.

    Without `calibration`, or if it has no entry for the tensor, all columns count the same. Raises
    FormatError for weights that the format cannot hold.
    """
    info = checkpoint.tensors[name]
    importance = None
    if calibration:
        importance = find_importance(calibration, info, tied=checkpoint.tied_output)
    slabs = len(info.shape) == 2 and format.block_size <= info.columns
    step = max(1, SLAB_WEIGHTS // info.columns) if slabs else info.rows
    parts = []
    for start in range(0, info.rows, step):
        rows = checkpoint.read_rows(name, start, min(start + step, info.rows))
        weights = kernels.decode(rows.format, rows.data, threads=threads)
        shape = rows.shape if slabs else info.shape
        encoded = quantize(weights.reshape(shape), format, importance, threads=threads)
        parts.append(encoded.data)
    data = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return QuantizedTensor(format, info.shape, data)
