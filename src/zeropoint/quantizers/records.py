"""What a quantization is told and what it yields."""

from dataclasses import dataclass
from pathlib import Path

from zeropoint.quantizers.details import TensorDetails


@dataclass(frozen=True)
class WriteOptions:
    """What `quantize_tensors` may be told beyond the choices."""

    to: str | None = None  # the preset or format that was asked for, for `general.file_type`
    requantize: bool = False  # accept tensors that are quantized already
    details: bool = False  # collect histograms and worst blocks
    max_shard_bytes: int | None = None  # write several files, none larger than this
    importance_file: Path | None = None  # where the calibration was read from, for the metadata
    made_by: str | None = None  # a verb that may replace its own outputs, for the metadata
    overwrite: bool = True  # replace the output if it exists; False: raise CheckpointError


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
    source_bytes: int
    nbytes: int
    error: float  # Σ importance · (w − ŵ)², importance 1 without calibration; 0 for a copy
    power: float  # Σ importance · w²: error / power is the relative error
    weighted: bool  # whether there was importance for this tensor
    done: int  # weights written so far, over all tensors
    details: TensorDetails | None = None

    @property
    def encoded(self) -> bool:
        """Whether the tensor changed its format; otherwise its bytes were copied."""
        return self.format != self.source_format

    @property
    def relative_error(self) -> float:
        """The error as a share of the tensor's own power; 0 for a tensor of zeros."""
        return self.error / self.power if self.power else 0.0


@dataclass(frozen=True)
class OutputWritten:
    """The output is complete, under its name."""

    files: tuple[Path, ...]
    file_bytes: int
    source_sha256: tuple[str, ...]  # of each file of the source
    done: int  # weights, all of them
