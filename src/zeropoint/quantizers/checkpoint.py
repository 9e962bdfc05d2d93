"""A model file in, a smaller one out: tensor by tensor, in slabs of rows.

Peak memory is a few slabs whatever the model's size. The output appears under its name only when
it is complete; a generator that is dropped half-way leaves no file.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from zeropoint import kernels
from zeropoint.checkpoints import Checkpoint, CheckpointWriter, TensorInfo, create_checkpoint
from zeropoint.errors import FormatError
from zeropoint.formats import F32, Format
from zeropoint.plans import Choice
from zeropoint.quantizers.details import Collector, Details
from zeropoint.quantizers.provenance import output_metadata, source_hash
from zeropoint.quantizers.reading import Reader
from zeropoint.quantizers.slabs import Slab, cut

# Copied without a look at the values: no float32 holds all of them.
UNCHECKED = ("F64", "I8", "I16", "I32", "I64")


class Calibration(Protocol):
    """What a calibration has to offer here."""

    @property
    def importance(self) -> Mapping[str, F32]:
        """Tensor name → (columns,) or (experts, columns)."""
        ...


@dataclass(frozen=True)
class Options:
    """What `quantize_checkpoint` may be told beyond the choices."""

    to: str | None = None  # the preset or format that was asked for, for `general.file_type`
    requantize: bool = False  # accept tensors that are quantized already
    details: bool = False  # collect histograms and worst blocks
    max_shard_bytes: int | None = None  # write several files, none larger than this


@dataclass(frozen=True)
class RowsWritten:
    """Some rows of a tensor are on disk."""

    name: str
    done: int  # weights written so far, over all tensors


@dataclass(frozen=True)
class TensorWritten:
    """One tensor is on disk."""

    name: str
    shape: tuple[int, ...]
    source_format: str
    format: str
    nbytes: int
    error: float  # Σ importance · (w − ŵ)², importance 1 without calibration; 0 for a copy
    power: float  # Σ importance · w²: error / power is the relative error
    weighted: bool  # whether there was importance for this tensor
    done: int  # weights written so far, over all tensors
    details: Details | None = None

    @property
    def encoded(self) -> bool:
        """Whether the tensor changed its format; otherwise its bytes were copied."""
        return self.format != self.source_format

    @property
    def relative_error(self) -> float:
        """The error as a share of the tensor's own power; 0 for a tensor of zeros."""
        return self.error / self.power if self.power else 0.0


def quantize_checkpoint(
    source: Checkpoint,
    choices: Iterable[Choice],
    output: Path | str,
    *,
    calibration: Calibration | None = None,
    threads: int | None = None,
    options: Options = Options(),
) -> Iterator[TensorWritten]:
    """Write `source` to `output` in the chosen formats; yield each tensor when it is on disk.

    A tensor that keeps its format, or has no choice, is copied byte for byte. The bytes do not
    depend on `threads` (None: all processors) or on the instruction set. The output is there when
    the iterator has ended.

    Raises FormatError that names tensor, row and column of a weight that is not finite, or a tensor
    that is quantized already (unless options.requantize); CheckpointError for a bad file.
    """
    steps = quantize_steps(
        source, choices, output, calibration=calibration, threads=threads, options=options
    )
    for step in steps:
        if isinstance(step, TensorWritten):
            yield step


def quantize_steps(
    source: Checkpoint,
    choices: Iterable[Choice],
    output: Path | str,
    *,
    calibration: Calibration | None = None,
    threads: int | None = None,
    options: Options = Options(),
) -> Iterator[RowsWritten | TensorWritten]:
    """Do what `quantize_checkpoint` does, and yield after each slab of rows as well."""
    plan = complete(source, choices)
    if not options.requantize:
        refuse_quantized(source, plan)
    metadata = output_metadata(source, plan, to=options.to)
    importance = calibration.importance if calibration else {}
    with (
        create_checkpoint(
            output, plan, metadata, max_shard_bytes=options.max_shard_bytes, sources=source.files
        ) as writer,
        Reader(source) as reader,
    ):
        job = Job(reader, writer, kernels.default_threads() if threads is None else threads)
        for choice in plan:
            costs = importance.get(choice.name)
            yield from job.write(source.tensors[choice.name], choice.format, costs, options.details)
        writer.restate(metadata | source_hash(reader.sha256()))


def complete(source: Checkpoint, choices: Iterable[Choice]) -> list[Choice]:
    """Return a choice for each tensor, in the source's order; one without a choice is copied."""
    chosen = {choice.name: choice for choice in choices}
    unknown = chosen.keys() - source.tensors.keys()
    if unknown:
        raise FormatError(f"{source.path} has no tensor {min(unknown)}")
    return [chosen.get(name) or copied(info) for name, info in source.tensors.items()]


def copied(info: TensorInfo) -> Choice:
    """Return the choice to leave a tensor as it is."""
    return Choice(
        name=info.name,
        shape=info.shape,
        source=info.format,
        wanted=info.format,
        format=info.format,
        reason="no choice was made for it",
    )


def refuse_quantized(source: Checkpoint, choices: Iterable[Choice]) -> None:
    """Raise FormatError if a tensor that is quantized already would change its format."""
    for choice in choices:
        if choice.requantizes:
            raise FormatError(
                f"{source.path}: {choice.name} is already quantized ({choice.source.name}), and"
                " quantizing it again loses twice; start from the 16-bit model, or add --requantize"
            )


class Job:
    """One run: what all its tensors share."""

    def __init__(self, reader: Reader, writer: CheckpointWriter, threads: int) -> None:
        self.reader = reader
        self.writer = writer
        self.threads = threads
        self.done = 0

    def write(
        self, info: TensorInfo, target: Format, importance: F32 | None, details: bool
    ) -> Iterator[RowsWritten | TensorWritten]:
        """Read, encode and write one tensor, slab by slab."""
        encode = target.name != info.format.name
        if encode and importance is not None:
            importance = checked(info, importance)
        collector = Collector(target) if details and encode else None
        error = power = 0.0
        nbytes = 0
        for slab, rows in self.reader.slabs(info, cut(info.shape, info.format, target)):
            weights = kernels.decode(info.format, rows.data, threads=self.threads)
            weights = weights.reshape(rows.shape)
            self.check_finite(info, slab, weights)
            data = rows.data
            if encode:
                costs = importance if importance is None else importance[slab.expert]
                data = kernels.encode(target, weights, costs, threads=self.threads)
                decoded = kernels.decode(target, data, threads=self.threads).reshape(rows.shape)
                error += kernels.weighted_error(weights, decoded, costs, threads=self.threads)
                if collector:
                    collector.add(slab.start, weights, decoded, data, costs)
                power += kernels.weighted_error(weights, None, costs, threads=self.threads)
            self.writer.write(info.name, data)
            nbytes += data.size
            self.done += weights.size
            yield RowsWritten(info.name, self.done)
        if not nbytes:
            self.writer.write(info.name, np.empty(0, np.uint8))
        yield TensorWritten(
            name=info.name, shape=info.shape, source_format=info.format.name, format=target.name,
            nbytes=nbytes, error=error, power=power, weighted=encode and importance is not None,
            done=self.done, details=collector.details() if collector else None,
        )  # fmt: skip

    def check_finite(self, info: TensorInfo, slab: Slab, weights: F32) -> None:
        """Raise FormatError that names the first weight that is NaN or infinite."""
        if info.format.name in UNCHECKED:
            return
        first = kernels.first_not_finite(weights, threads=self.threads)
        if first is None:
            return
        row, column = divmod(first, weights.shape[1])
        raise FormatError(
            f"{self.reader.source.path}: {info.name}: weight {slab.start * info.columns + first}"
            f" (row {slab.start + row}, column {column}) is {weights[row, column]}; a model with"
            " weights that are not finite is broken, and is not written"
        )


def checked(info: TensorInfo, importance: F32) -> F32:
    """Return importance as (experts, columns). Raises FormatError if it fits another tensor."""
    experts = math.prod(info.shape[:-2])
    if importance.shape == (info.columns,):
        return np.broadcast_to(importance, (experts, info.columns))
    if importance.shape == (experts, info.columns):
        return importance
    raise FormatError(
        f"{info.name} has shape {info.shape} and its importance has shape {importance.shape}; was"
        " it collected from another model?"
    )
