"""Quantizes a model where it lies, so that every format can be judged, storable in a file or not.

The model keeps what is not quantized. A format that has kernels stays blocks; any other is decoded
to float32 for the products, which is exact and takes 4 bytes per weight.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from zeropoint import kernels
from zeropoint.calibration import Calibration, find_importance
from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import FormatError
from zeropoint.formats import F32, Format, QuantizedTensor
from zeropoint.models.base import LanguageModel
from zeropoint.plans import Choice, Recipe, check_importance, choose_formats

# Weights, format, importance or None → blocks: `quantizers.quantize`, which this room may not know.
Encode = Callable[[F32, Format, F32 | None], QuantizedTensor]

SLAB_WEIGHTS = 1 << 22  # encoded at a time


@dataclass(frozen=True)
class Replaced:
    """One more tensor of the model is quantized."""

    name: str
    format: str
    done: int  # weights so far


@dataclass(frozen=True)
class InMemory:
    """What a model is to become: a choice for each tensor, and its size."""

    name: str
    choices: Sequence[Choice]

    @property
    def changing(self) -> list[Choice]:
        """The tensors that are encoded anew."""
        return [choice for choice in self.choices if choice.changes]

    @property
    def has_kernels(self) -> bool:
        """Whether every matrix stays blocks; others are decoded to float32 and tell no speed."""
        return all(kernels.has_products(choice.format) for choice in self.choices)

    @property
    def elements(self) -> int:
        """Weights that are encoded anew."""
        return sum(choice.elements for choice in self.changing)

    @property
    def tensor_bytes(self) -> int:
        """Bytes of all tensors in their formats, scales and zero points included."""
        return sum(choice.nbytes for choice in self.choices)

    @property
    def bits_per_weight(self) -> float:
        """Bits of the tensors (a file's header is not in it) over all weights."""
        return 8 * self.tensor_bytes / sum(prod(choice.shape) for choice in self.choices)


def plan_in_memory(
    checkpoint: Checkpoint,
    to: str | Recipe,
    calibration: Calibration | None = None,
    *,
    requantize: bool = False,
) -> InMemory:
    """Choose the formats, as `quantize --to` does.

    Raises RecipeError for an unknown name, FormatError if the model is quantized already.
    """
    choices = choose_formats(checkpoint, to, imatrix=calibration is not None)
    check_importance(choices, calibration.statistics if calibration else ())
    twice = [choice for choice in choices if choice.requantizes]
    if twice and not requantize:
        raise FormatError(
            f"{checkpoint.path}: {twice[0].name} is already quantized ({twice[0].source.name}), "
            "and quantizing it again loses twice; start from the 16-bit model, or add --requantize"
        )
    return InMemory(to if isinstance(to, str) else "recipe", choices)


def quantize_in_memory(
    model: LanguageModel,
    checkpoint: Checkpoint,
    plan: InMemory,
    encode: Encode,
    calibration: Calibration | None = None,
) -> Iterator[Replaced]:
    """Replace the tensors of `model`, which was loaded from `checkpoint`, one after the other.

    Raises FormatError that names the tensor and what its format cannot hold.
    """
    tied = "output.weight" not in checkpoint.tensors
    done = 0
    for choice in plan.changing:
        info = checkpoint.tensors[choice.name]
        costs = find_importance(calibration, info, tied=tied) if calibration else None
        try:
            tensor = _encoded(checkpoint, choice, encode, costs, model.threads)
        except FormatError as error:
            raise FormatError(f"{checkpoint.path}: {choice.name}: {error}") from None
        model.replace(choice.name, tensor)
        done += choice.elements
        yield Replaced(choice.name, choice.format.name, done)


def _encoded(
    checkpoint: Checkpoint, choice: Choice, encode: Encode, costs: F32 | None, threads: int
) -> QuantizedTensor:
    info = checkpoint.tensors[choice.name]
    slabs = len(choice.shape) == 2 and choice.format.block_size <= info.columns
    step = max(1, SLAB_WEIGHTS // info.columns) if slabs else info.rows
    parts = []
    for start in range(0, info.rows, step):
        rows = checkpoint.read_rows(choice.name, start, min(start + step, info.rows))
        weights = kernels.decode(rows.format, rows.data, threads=threads)
        shape = rows.shape if slabs else choice.shape
        parts.append(encode(weights.reshape(shape), choice.format, costs).data)
    data = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return QuantizedTensor(choice.format, choice.shape, data)
