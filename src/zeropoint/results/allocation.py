"""Results of `search`: the recipes that it found, and every evaluation that led to them.

Losses are KL(reference ‖ quant) over the whole vocabulary, in nats per token.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zeropoint.results.divergence import MeasureResult
from zeropoint.results.interval import Interval
from zeropoint.results.model_identity import ReferenceIdentity
from zeropoint.results.quantize import QuantizeResult
from zeropoint.results.schema import OMIT, UNKNOWN_NUMBER, Record
from zeropoint.results.tasks import ModelTasks


@dataclass(frozen=True, kw_only=True)
class Evaluated(Record):
    """One recipe that a search tried, with its true loss on the text for decisions."""

    #: What was changed to get this recipe, in words.
    change: str
    #: Bytes of all tensors.
    tensor_bytes: int
    #: Predicted loss, with rounding to nearest.
    predicted: float
    #: Measured loss with its 95 % interval over chunks, with rounding to nearest. The kinds of text
    #: are weighted.
    loss: Interval
    #: Mean of the 1 % of the positions of each chunk with the largest loss.
    tail: float = UNKNOWN_NUMBER
    #: Measured loss by kind of text.
    by_kind: Mapping[str, float] = field(default_factory=dict)
    #: Whether the search continued from this recipe.
    accepted: bool = False


@dataclass(frozen=True, kw_only=True)
class SearchPoint(Record):
    """The best recipe for one budget."""

    #: Maximum bytes of the whole file.
    budget_bytes: int
    #: Bytes of the whole file, with room in its header for facts about importance and rounding.
    file_bytes: int
    #: 8 · file_bytes / weights.
    bits_per_weight: float
    #: Predicted loss, with rounding to nearest.
    predicted: float
    #: Ordered rules, pattern and format, that give the same formats again.
    recipe: str
    #: Format of each tensor that may be quantized, by its GGUF name.
    formats: Mapping[str, str] = field(default_factory=dict)
    #: The recipe's file; None if none was written.
    output: str | None = field(default=None, metadata=OMIT)
    #: Every recipe that was tried, in order; empty if the predicted losses decided alone.
    evaluations: tuple[Evaluated, ...] = ()
    #: With an objective of tasks: the reference and the model at held-out tasks.
    tasks: tuple[ModelTasks, ...] = field(default=(), metadata=OMIT)
    #: The loss on the text for figures, with rounding to nearest; None if it was not measured.
    measured: MeasureResult | None = field(default=None, metadata=OMIT)

    def __repr__(self) -> str:
        return f"<SearchPoint {self.bits_per_weight:.3f} bits per weight: {self.measured!r}>"


@dataclass(frozen=True, kw_only=True)
class SearchText(Record):
    """The text that one part of a search read."""

    #: calibrate, select or evaluate.
    part: str
    #: SHA-256 of the text.
    corpus: str
    #: Tokens that were read.
    tokens: int
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SearchResult(Record):
    """The result of `search`: one recipe for each budget."""

    reference: ReferenceIdentity
    #: kl, tail or tasks:FILE.
    objective: str
    effort: str
    #: any, cpu or gpu.
    profile: str
    texts: tuple[SearchText, ...] = ()
    #: Weight of each kind of text that is not 1.
    weights: Mapping[str, float] = field(default_factory=dict)
    points: tuple[SearchPoint, ...] = ()
    seconds: float = UNKNOWN_NUMBER
    #: Peak of the process.
    peak_memory_bytes: int = 0

    def __repr__(self) -> str:
        return f"<SearchResult {', '.join(map(repr, self.points))}>"

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each budget."""
        return [
            {
                "budget_bytes": point.budget_bytes,
                "file_bytes": point.file_bytes,
                "bits_per_weight": point.bits_per_weight,
                "predicted": point.predicted,
                "kl": point.measured.kl.mean if point.measured else UNKNOWN_NUMBER,
                "evaluations": len(point.evaluations),
            }
            for point in self.points
        ]


@dataclass(frozen=True, kw_only=True)
class PresetComparison(Record):
    """The best file beside a preset of the same model, on the same text."""

    preset: str
    #: Bytes of all tensors, of the preset and of the best file.
    preset_bytes: int
    tensor_bytes: int
    #: The preset's loss, with rounding to nearest and the same importance.
    kl: Interval
    #: The loss of the best file minus that of the preset, paired by chunks.
    difference: Interval

    @property
    def sentence(self) -> str:
        """The comparison in words."""
        share = self.tensor_bytes / self.preset_bytes - 1
        size = f"{abs(share):.1%} {'larger' if share > 0 else 'smaller'} than {self.preset}"
        if not self.difference.known or not self.kl.mean > 0:
            return f"This file is {size}; too little text was measured to compare their losses"
        assert self.difference.low is not None and self.difference.high is not None
        ratio = (self.kl.mean + self.difference.mean) / self.kl.mean
        if self.difference.low <= 0 <= self.difference.high:
            return (
                f"This file is {size}; the difference of their losses is within the noise"
                f" ({ratio:.2f} times the KL)"
            )
        return f"This file is {size}, and has {ratio:.2f} times its KL"


@dataclass(frozen=True, kw_only=True)
class BestResult(QuantizeResult):
    """The result of `quantize --to best`: the file, how it was found, and what it loses."""

    #: The search; its losses are with rounding to nearest.
    search: SearchPoint
    #: The loss of the file, on text that nothing else read.
    measured: MeasureResult
    #: The picture (SVG) of the file; None if it was not written.
    picture: str | None = None
    #: None if the preset cannot be made from this model.
    comparison: PresetComparison | None = field(default=None, metadata=OMIT)

    def __repr__(self) -> str:
        return (
            f"<BestResult {self.output_bytes} bytes, {self.bits_per_weight:.2f} bits per weight:"
            f" {self.measured!r}>"
        )
