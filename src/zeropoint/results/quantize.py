"""Result of `quantize`: the file that was written, and what that cost each tensor."""

from dataclasses import dataclass, field
from typing import Any

from zeropoint.results.schema import OMIT, UNKNOWN_NUMBER, Record


@dataclass(frozen=True)
class Fallback(Record):
    """A tensor whose shape forces another format than the one wanted."""

    name: str
    #: The format that the preset or recipe wanted.
    wanted: str
    #: The format that the tensor got.
    format: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class WorstBlock(Record):
    """The block of a tensor with the largest error, before and after."""

    #: Row of the matrix, counted over all leading axes.
    row: int
    #: Column of the block's first weight.
    column: int
    #: Σ importance · (w − ŵ)² over the block.
    error: float
    #: The weights of the block, and what they are decoded to: as many.
    weights: tuple[float, ...]
    decoded: tuple[float, ...]
    #: The block as it is stored, in hexadecimal.
    bytes: str = ""

    def problem(self) -> str:
        """Weights before and after are pairs, and there are some."""
        if not self.weights or len(self.weights) != len(self.decoded):
            return "weights and decoded are no pairs"
        return ""


@dataclass(frozen=True, kw_only=True)
class FeedbackResult(Record):
    """What error feedback did to a tensor."""

    #: Σ (w − ŵ)ᵀ H (w − ŵ) over the rows, with the codes of the encoder. H is the second moment of
    #: the inputs, damped, divided by the mean of its diagonal.
    objective_before: float
    #: The same with the codes that feedback chose; never larger.
    objective_after: float
    #: Rows that keep the codes of the encoder, because feedback did not lower their objective.
    unchanged_rows: int
    #: Rows of experts that keep the codes of the encoder, because too few tokens of the calibration
    #: text reached them.
    rarely_used_rows: int = 0

    def __add__(self, other: "FeedbackResult") -> "FeedbackResult":
        return FeedbackResult(
            objective_before=self.objective_before + other.objective_before,
            objective_after=self.objective_after + other.objective_after,
            unchanged_rows=self.unchanged_rows + other.unchanged_rows,
            rarely_used_rows=self.rarely_used_rows + other.rarely_used_rows,
        )


@dataclass(frozen=True, kw_only=True)
class QuantizedTensorResult(Record):
    """Result for one written tensor."""

    name: str
    shape: tuple[int, ...] = ()
    source_format: str = ""
    format: str
    source_bytes: int = 0
    bytes: int
    #: Σ importance · (w − ŵ)², importance 1 without an imatrix; 0 for a copy.
    error: float = UNKNOWN_NUMBER
    #: The error as a share of the tensor's own power, Σ importance · w²; None for a copy.
    relative_error: float | None = None
    #: Whether there was importance for this tensor.
    weighted: bool = False
    #: Why it got this format.
    reason: str | None = None
    #: None if the codes are the encoder's.
    feedback: FeedbackResult | None = field(default=None, metadata=OMIT)
    #: Only with details, as `quantize --run` collects them.
    worst_block: WorstBlock | None = field(default=None, metadata=OMIT)


@dataclass(frozen=True, kw_only=True)
class PlannedTensor(Record):
    """The format that a tensor would get."""

    name: str
    shape: tuple[int, ...]
    source_format: str
    format: str
    #: Size in the new format.
    bytes: int
    #: Why it would get this format.
    reason: str


@dataclass(frozen=True, kw_only=True)
class QuantizePreview(Record):
    """Result of `quantize` with `dry_run`: the file that it would write."""

    dry_run: bool = True
    #: Size of the output, to the byte.
    output_bytes: int
    #: 8 · output_bytes / weights.
    bits_per_weight: float
    source_bytes: int
    #: Ordered rules, pattern and format, that give the same formats again.
    recipe: str
    fallbacks: tuple[Fallback, ...] = ()
    tensors: tuple[PlannedTensor, ...] = ()

    def __repr__(self) -> str:
        return (
            f"<QuantizePreview {self.output_bytes} of {self.source_bytes} bytes, "
            f"{self.bits_per_weight:.2f} bits per weight>"
        )

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each tensor."""
        return [tensor.to_json() for tensor in self.tensors]


@dataclass(frozen=True)
class WorstTensor(Record):
    """The tensor with the largest relative error."""

    name: str
    relative: float


@dataclass(frozen=True)
class QuantizeError(Record):
    """The error of the weights of all tensors that were encoded."""

    #: Σ error / Σ power; 0 if none was encoded.
    relative: float
    worst: WorstTensor | None = None


@dataclass(frozen=True, kw_only=True)
class QuantizeResult(Record):
    """Result of `quantize`: the file that it wrote."""

    #: Paths of the files; the run's own copy of the result does not have them.
    output: tuple[str, ...] | None = field(default=None, metadata=OMIT)
    output_bytes: int
    #: 8 · output_bytes / weights.
    bits_per_weight: float
    source_bytes: int
    #: Of each file of the source; None for a Hugging Face folder.
    source_sha256: tuple[str, ...] | None = field(default=None, metadata=OMIT)
    seconds: float = UNKNOWN_NUMBER
    weights_per_second: float = UNKNOWN_NUMBER
    #: Peak of the process.
    peak_memory_bytes: int = 0
    #: Ordered rules, pattern and format, that give the same formats again; None for a folder.
    recipe: str | None = field(default=None, metadata=OMIT)
    #: None for a folder.
    fallbacks: tuple[Fallback, ...] | None = field(default=None, metadata=OMIT)
    # Of the command; a run has them in tensors.json.
    error: QuantizeError | None = field(default=None, metadata=OMIT)
    tensors: tuple[QuantizedTensorResult, ...] | None = field(default=None, metadata=OMIT)

    def __repr__(self) -> str:
        return (
            f"<QuantizeResult {self.output_bytes} of {self.source_bytes} bytes, "
            f"{self.bits_per_weight:.2f} bits per weight>"
        )

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each tensor, without the worst blocks."""
        return [
            {key: value for key, value in tensor.to_json().items() if key != "worst_block"}
            for tensor in self.tensors or ()
        ]
