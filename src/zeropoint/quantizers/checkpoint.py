"""A model file in, a smaller one out: tensor by tensor, in slabs of rows.

Peak memory is a few slabs whatever the model's size. The output appears under its name only when
it is complete; a generator that is dropped half-way leaves no file.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zeropoint import kernels
from zeropoint.calibration.statistics import Calibration
from zeropoint.checkpoints import Checkpoint, CheckpointWriter, TensorInfo, create_checkpoint
from zeropoint.errors import FormatError
from zeropoint.formats import F32, Format
from zeropoint.plans import Choice
from zeropoint.quantizers.details import Collector, Details
from zeropoint.quantizers.provenance import output_metadata
from zeropoint.quantizers.slabs import Slab, cut

EXACT = ("F32", "F16", "BF16", "F64")  # a tensor in one of these is a model's own, not a quant


@dataclass(frozen=True)
class Options:
    """What `quantize_checkpoint` may do beyond the choices."""

    requantize: bool = False  # accept tensors that are quantized already
    details: bool = False  # collect histograms and worst blocks
    split_bytes: int | None = None  # write several files, none larger than this
    metadata: Mapping[str, object] = field(default_factory=dict)  # added to the output's


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
    encoded: bool  # False: copied byte for byte
    error: float  # Σ importance · (w − ŵ)², importance 1 without calibration
    power: float  # Σ importance · w²; error / power is the relative error
    weighted: bool  # whether there was importance for this tensor
    done: int  # weights written so far, over all tensors
    details: Details | None = None

    @property
    def relative_error(self) -> float:
        """The error as a share of the tensor's own power; 0 for a tensor of zeros."""
        return self.error / self.power if self.power else 0.0


def quantize_checkpoint(
    source: Checkpoint,
    choices: Iterable[Choice],
    output: Path,
    *,
    calibration: Calibration | None = None,
    threads: int | None = None,
    options: Options = Options(),
) -> Iterator[TensorWritten]:
    """Write `source` to `output` in the chosen formats; yield each tensor when it is on disk.

    A tensor that keeps its format, or has no choice, is copied byte for byte. The bytes do not
    depend on `threads` (None: all processors) or on the instruction set.

    Raises FormatError that names tensor, row and column of a weight that is not finite, or a
    tensor that is quantized already (unless options.requantize); CheckpointError for a bad file.
    """
    steps = quantize_steps(
        source, choices, output, calibration=calibration, threads=threads, options=options
    )
    return (step for step in steps if isinstance(step, TensorWritten))


def quantize_steps(
    source: Checkpoint,
    choices: Iterable[Choice],
    output: Path,
    *,
    calibration: Calibration | None = None,
    threads: int | None = None,
    options: Options = Options(),
) -> Iterator[RowsWritten | TensorWritten]:
    """Do what `quantize_checkpoint` does, and yield after each slab of rows as well."""
    chosen = list(choices)
    formats = {choice.name: choice.format for choice in chosen}
    targets = {name: formats.get(name, info.format) for name, info in source.tensors.items()}
    if not options.requantize:
        refuse_quantized(source, targets)
    metadata = output_metadata(source, chosen, calibration) | dict(options.metadata)
    layout = [(name, info.shape, targets[name]) for name, info in source.tensors.items()]
    job = Job(source, calibration, kernels.default_threads() if threads is None else threads)
    with create_checkpoint(output, layout, metadata, split_bytes=options.split_bytes) as writer:
        for name, info in source.tensors.items():
            yield from job.write(info, targets[name], writer, options.details)


def refuse_quantized(source: Checkpoint, targets: Mapping[str, Format]) -> None:
    """Raise FormatError if a tensor that is quantized already would change its format."""
    for name, info in source.tensors.items():
        if info.format.name not in EXACT and info.format.name != targets[name].name:
            raise FormatError(
                f"{source.path}: {name} is already quantized ({info.format.name}), and quantizing it"
                " again adds a second loss; start from the 16-bit model, or add --requantize"
            )


class Job:
    """One run: what all its tensors share."""

    def __init__(self, source: Checkpoint, calibration: Calibration | None, threads: int) -> None:
        self.source = source
        self.importance = calibration.importance if calibration else {}
        self.threads = threads
        self.done = 0

    def write(
        self, info: TensorInfo, target: Format, writer: CheckpointWriter, details: bool
    ) -> Iterator[RowsWritten | TensorWritten]:
        """Read, encode and write one tensor slab by slab."""
        encode = target.name != info.format.name
        importance = self.importance.get(info.name) if encode else None
        collector = Collector(target) if details and encode else None
        error = power = 0.0
        nbytes = 0
        for slab in cut(info.shape, (info.format, target)):
            blocks = self.source.read_rows(info.name, slab.start, slab.stop)
            weights = self.decode(info.format, blocks.data, blocks.shape)
            self.check_finite(info, slab, weights)
            data = blocks.data
            if encode:
                costs = importance[slab.expert] if importance is not None and importance.ndim == 2 else importance
                data = kernels.encode(target, weights, costs, threads=self.threads)
                decoded = self.decode(target, data, weights.shape)
                error += kernels.weighted_error(weights, decoded, costs, threads=self.threads)
                power += kernels.weighted_error(weights, np.zeros_like(weights), costs, threads=self.threads)
                if collector:
                    collector.add(slab.start, weights, decoded, data, costs)
            writer.write(info.name, data)
            nbytes += data.size
            self.done += weights.size
            yield RowsWritten(info.name, self.done)
        yield TensorWritten(
            name=info.name,
            shape=info.shape,
            source_format=info.format.name,
            format=target.name,
            nbytes=nbytes,
            encoded=encode,
            error=error,
            power=power,
            weighted=importance is not None,
            done=self.done,
            details=collector.details() if collector else None,
        )
