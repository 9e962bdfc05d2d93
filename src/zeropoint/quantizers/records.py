"""Options of a quantization, and the records that it yields."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zeropoint.quantizers.details import TensorDetails
from zeropoint.quantizers.feedback_rounding import FeedbackRounding
from zeropoint.results.quantize import FeedbackResult


@dataclass(frozen=True)
class WriteOptions:
    """Options of `quantize_tensors`, apart from the choices."""

    to: str | None = None  # the preset or format, for `general.file_type`
    requantize: bool = False  # accept tensors that are already quantized
    details: bool = False  # collect histograms and worst blocks
    max_shard_bytes: int | None = None  # write several files of at most this size
    importance_file: Path | None = None  # file of the calibration, for the metadata
    made_by: str | None = None  # a verb that may replace its own outputs, for the metadata
    method: str | None = None  # how the recipe was found, in words, for the metadata
    # SHA-256 of the texts of a search by their role: calibrate, select, evaluate; for the metadata.
    texts: Mapping[str, str] = field(default_factory=dict)
    feedback: FeedbackRounding | None = None  # choose codes again; None: round to nearest
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
    power: float  # Σ importance · w²; error / power is the relative error
    weighted: bool  # whether there was importance for this tensor
    done: int  # weights written so far, over all tensors
    details: TensorDetails | None = None
    feedback: FeedbackResult | None = None  # None: rounded to nearest, or copied

    @property
    def encoded(self) -> bool:
        """Whether the tensor changed its format; if not, its bytes were copied."""
        return self.format != self.source_format

    @property
    def relative_error(self) -> float:
        """error / power; 0 for a tensor of zeros."""
        return self.error / self.power if self.power else 0.0


@dataclass(frozen=True)
class OutputWritten:
    """The output is complete and has its final name."""

    files: tuple[Path, ...]
    file_bytes: int
    source_sha256: tuple[str, ...]  # of each file of the source
    tensors_sha256: str  # digest of the tensors
    done: int  # weights, all of them
