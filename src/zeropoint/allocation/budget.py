"""Budgets to the byte: of a file, of its bits per weight, or of the memory of a running model.

A budget limits a size that depends on all formats: a file also has a header, with the recipe in it,
and padding. The solver counts only the bytes of tensors, so it gets what the rest leaves:

    bytes for tensors  =  limit − (size of the last choice − bytes of its tensors)

This is repeated until nothing changes, from the smaller overhead of the smallest and the largest
choice on. A choice counts only if its whole size is within the limit. Headers differ by the length
of the recipe in them, so another choice may use the budget better by some hundred bytes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import TypeAlias

from zeropoint.allocation.menu import assigned_tensors, recipe_for
from zeropoint.allocation.problem import Assignment, TensorGroup
from zeropoint.allocation.solver import Solution, largest_choice, smallest_choice, solve
from zeropoint.calibration import Calibration
from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import InfeasibleBudget, RecipeError
from zeropoint.plans import choose_formats, parse_size, predict_size
from zeropoint.plans.formats.model_facts import CheckpointLike
from zeropoint.plans.machines.device import Device
from zeropoint.plans.memory.cache_shape import read_shape
from zeropoint.plans.memory.memory import PlanWorkload, memory_use
from zeropoint.quantizers import WriteOptions, output_metadata

#: Bytes of a whole file, or of a running model, with the formats of an assignment.
SizeOf: TypeAlias = Callable[[Assignment], int]


@dataclass(frozen=True)
class SizeBudget:
    """A limit for a size that depends on the formats of all tensors."""

    #: Bytes.
    limit: int
    size_of: SizeOf
    #: What has the size, for messages: "file".
    subject: str = "file"
    #: Weights of the model, so that messages state bits per weight; 0: they do not.
    weights: int = 0

    def solve(self, groups: Sequence[TensorGroup]) -> Solution:
        """Return the choice with the least loss that is within the limit.

        Raises InfeasibleBudget, with the smallest possible size, if there is none.
        """
        least, most = smallest_choice(groups), largest_choice(groups)
        smallest, largest = (self._size(groups, found) for found in (least, most))
        if smallest > self.limit:
            raise InfeasibleBudget(self._refusal(smallest), smallest=smallest)
        best: Solution | None = None
        tried: set[int] = set()
        budget = self.limit - min(smallest - least.nbytes, largest - most.nbytes)
        while budget not in tried or best is None:
            # A repeated budget would be over the limit again: a byte less changes the choice.
            budget = max(least.nbytes, min(tried) - 1 if budget in tried else budget)
            tried.add(budget)
            found = solve(groups, budget)
            over = self._size(groups, found) - self.limit
            if over <= 0 and (best is None or found.loss < best.loss):
                best = found
            budget = max(least.nbytes, found.nbytes - over)
        return best

    def _size(self, groups: Sequence[TensorGroup], found: Solution) -> int:
        return self.size_of(assignment_of(groups, found.choices))

    def _refusal(self, smallest: int) -> str:
        bits = f" ({8 * smallest / self.weights:.3f} bits per weight)" if self.weights else ""
        return (
            f"no choice of formats gives a {self.subject} of at most {self.limit:,} bytes; the "
            f"smallest one has {smallest:,} bytes{bits}"
        )


def assignment_of(groups: Sequence[TensorGroup], choices: Sequence[int]) -> dict[str, str]:
    """Return the format of each tensor for one option of each group."""
    return {
        name: group.options[choice].format
        for group, choice in zip(groups, choices, strict=True)
        for name in group.names
    }


def file_size_of(
    source: Checkpoint,
    calibration: Calibration | None,
    options: WriteOptions,
) -> SizeOf:
    """Return the function that predicts the bytes of the file that `quantize --to recipe` writes.

    All shards of an output in several files count.
    """

    def file_bytes(assignment: Assignment) -> int:
        recipe = recipe_for(source, assignment)
        choices = choose_formats(source, recipe, imatrix=True)
        metadata = output_metadata(source, choices, calibration, options)
        return predict_size(choices, metadata, max_shard_bytes=options.max_shard_bytes)

    return file_bytes


def weights_of(source: CheckpointLike) -> int:
    """Return the number of weights of all tensors; a tied matrix is one tensor."""
    return sum(prod(tensor.shape) for tensor in source.tensors.values())


def file_budget(source: CheckpointLike, size: str | int, file_bytes: SizeOf) -> SizeBudget:
    """Return the budget for a file of `size`: a number of bytes, or a text such as "900MB".

    Raises RecipeError for a text that is not a size.
    """
    limit = parse_size(size) if isinstance(size, str) else size
    return SizeBudget(limit, file_bytes, weights=weights_of(source))


def bits_budget(source: CheckpointLike, bits: float, file_bytes: SizeOf) -> SizeBudget:
    """Return the budget for a file of 8 · bytes / weights ≤ bits, rounded down to whole bytes.

    `bits` is taken as it is written, so that 4.1 is exactly 41/10. Raises RecipeError unless it is
    a positive number.
    """
    if not 0 < bits < float("inf"):
        raise RecipeError(f"a file cannot have {bits} bits per weight; give a number such as 4.5")
    weights = weights_of(source)
    return SizeBudget(int(Fraction(str(bits)) * weights / 8), file_bytes, weights=weights)


def memory_budget(
    source: CheckpointLike,
    workload: PlanWorkload,
    size: str | int | None = None,
    device: Device | None = None,
) -> SizeBudget:
    """Return the budget for weights, KV cache and buffers of a running model, as `plan` counts.

    The limit is `size`, or the usable memory of `device`, or the smaller one of both. Raises
    RecipeError if neither is given, or for a cache format that the model cannot have, and
    UnsupportedModel for a model of unknown shape.
    """
    limits = [parse_size(size) if isinstance(size, str) else size] if size is not None else []
    limits += [device.usable_bytes] if device else []
    if not limits:
        raise RecipeError("a budget of memory needs a size (--runtime-memory) or a device")
    shape = read_shape(source)

    def memory_bytes(assignment: Assignment) -> int:
        return memory_use(shape, assigned_tensors(source, assignment), workload).total_bytes

    context = f"running model with a context of {workload.context:,} tokens"
    return SizeBudget(min(limits), memory_bytes, subject=context)
