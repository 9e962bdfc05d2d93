"""Importance of a tensor, and how much of a model an importance matrix covers."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from zeropoint.calibration.statistics import Calibration, InputStatistics, ones_for_nothing
from zeropoint.checkpoints.names import OUTPUT, TOKEN_EMBEDDING
from zeropoint.errors import MeasurementError, printable
from zeropoint.formats import F32
from zeropoint.results.calibrate import TensorCoverage

# The mean square of n Gaussian inputs has a relative standard error of √(2/n): 12.5 % for 128.
MIN_ROWS = 128  # with fewer, the state is "thin"

State = Literal["full", "thin", "partial", "empty", "missing"]


class NamedShape(Protocol):
    """A tensor's name, and its shape in PyTorch's order."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...


@dataclass(frozen=True)
class Coverage:
    """How much of a model a calibration covers."""

    tensors: tuple[TensorCoverage, ...]
    unknown: tuple[str, ...]  # entries of tensors that the model does not have

    def count(self, state: State) -> int:
        """Return how many tensors are in this state."""
        return sum(tensor.state == state for tensor in self.tensors)

    @property
    def gaps(self) -> tuple[TensorCoverage, ...]:
        """The tensors whose state is not "full"."""
        return tuple(tensor for tensor in self.tensors if tensor.state != "full")


def find_statistics(
    calibration: Calibration, tensor: NamedShape, *, tied: bool = False
) -> InputStatistics | None:
    """Return a tensor's entry, or None if it has none.

    A token embedding that is the output matrix too (`tied`: the model has no output.weight) takes
    the entry of output.weight. In a look-up, errors in all columns count the same; in the output
    matrix they do not, and there they change every logit.

    Raises MeasurementError if the entry has another size than the tensor.
    """
    name = tensor.name
    if tied and name == TOKEN_EMBEDDING and name not in calibration.statistics:
        name = OUTPUT
    entry = calibration.statistics.get(name)
    if entry is None:
        return None
    experts = tensor.shape[-3] if len(tensor.shape) > 2 else 1
    needed = tensor.shape[-1] * experts
    if entry.sums.size != needed or len(entry.counts) not in (1, experts):
        raise MeasurementError(
            f"the importance of '{printable(name)}' has {entry.sums.size} values in "
            f"{len(entry.counts)} matrices and the tensor of shape {tensor.shape} needs {needed} "
            f"in {experts}: it was made for another model"
        )
    return entry


def find_importance(
    calibration: Calibration, tensor: NamedShape, *, tied: bool = False
) -> F32 | None:
    """Return the importance of a tensor: (columns,), (experts, columns) for three axes, or None.

    The dtype is float32. `find_statistics` explains tied models and errors, and `statistics` which
    values replace missing data.
    """
    entry = find_statistics(calibration, tensor, tied=tied)
    if entry is None:
        return None
    if len(tensor.shape) < 3:
        return entry.mean.reshape(-1)
    return ones_for_nothing(entry.mean.reshape(tensor.shape[-3], -1))


def coverage(
    calibration: Calibration, tensors: Iterable[NamedShape], *, tied: bool = False
) -> Coverage:
    """Return how well a calibration covers tensors, usually those that will be quantized.

    Token embeddings without an entry are left out, because a look-up has no inputs to collect.
    """
    listed: list[TensorCoverage] = []
    used: set[str] = set()
    for tensor in tensors:
        used.add(tensor.name)
        entry = find_statistics(calibration, tensor, tied=tied)
        if entry is not None:
            listed.append(_describe(tensor.name, entry))
        elif not tensor.name.endswith(TOKEN_EMBEDDING):
            listed.append(TensorCoverage(tensor.name, "missing", 1, 1, 0, (0, 0), 0))
    if tied:
        used.add(OUTPUT)
    unknown = tuple(name for name in calibration.statistics if name not in used)
    return Coverage(tuple(listed), unknown)


def _describe(name: str, entry: InputStatistics) -> TensorCoverage:
    alive = (entry.counts > 0) & entry.sums.any(axis=1)
    rows = entry.counts[alive]
    few = int(np.count_nonzero(rows < MIN_ROWS))
    without = int(np.count_nonzero(~alive))
    state: State = "full"
    if not rows.size:
        state = "empty"
    elif without:
        state = "partial"
    elif few:
        state = "thin"
    return TensorCoverage(
        name=name,
        state=state,
        matrices=len(entry.counts),
        without=without,
        few=few,
        row_range=(int(rows.min()), int(rows.max())) if rows.size else (0, 0),
        dead_columns=int(np.count_nonzero(entry.sums[alive] == 0)),
    )
