"""Result of `train`: curves of the loss, gaps to the baseline, and the files that were written."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from zeropoint.results.interval import Interval
from zeropoint.results.schema import OMIT, UNKNOWN_NUMBER, Record


@dataclass(frozen=True)
class TrainingCurve(Record):
    """The losses of one training run, in nats per token, at increasing numbers of tokens."""

    seed: int
    tokens: tuple[int, ...]
    #: Mean loss of the batches since the entry before.
    training: tuple[float, ...]
    #: Mean loss of 16 held-out windows.
    held_out: tuple[float, ...]

    def problem(self) -> str:
        """Return why the curve is damaged, or ""."""
        lengths = {len(self.tokens), len(self.training), len(self.held_out)}
        return "" if len(lengths) == 1 else "the columns of a curve differ in length"


@dataclass(frozen=True, kw_only=True)
class TrainedFormat(Record):
    """All training runs in one format, or in one without an ingredient of its recipe."""

    format: str
    #: What was left out of the recipe.
    left_out: tuple[str, ...] = ()
    #: One for each seed that has begun.
    curves: tuple[TrainingCurve, ...] = ()
    #: Held-out loss at the end, its interval over the seeds.
    loss: Interval = field(default_factory=lambda: Interval(UNKNOWN_NUMBER))
    #: Loss minus that of the baseline with the same seed, its interval over the seeds.
    gap: Interval | None = None
    #: The same for the first seed, its interval over the held-out windows.
    gap_of_first_seed: Interval | None = None
    #: Held-out loss of the first seed with the weights that are written and exact inputs.
    stored_loss: float = UNKNOWN_NUMBER
    #: Held-out loss of the baseline's first seed with its products rounded to this format.
    rounded_baseline: float = UNKNOWN_NUMBER
    #: The file that was written.
    output: str | None = None
    output_bytes: int = 0
    #: Matrices of the format in the file, by the format of GGUF.
    stored_as: str = ""

    @property
    def label(self) -> str:
        """The name of the format and what was left out."""
        return " without ".join((self.format, *self.left_out))


@dataclass(frozen=True)
class GradientHistogram(Record):
    """How many gradients lie where on the grid of a format, before they are rounded."""

    format: str
    #: Ascending edges in units of the scale of a block, one more than counts.
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    #: Share of values that are not 0 and that nearest rounding sets to 0.
    lost: float


@dataclass(frozen=True, kw_only=True)
class TrainResult(Record):
    """What was trained, how the losses fell, and what was written."""

    #: Name of the model that training continued from; None: a new model.
    model: str | None = None
    parameters: int = 0
    vocabulary: int = 0
    #: SHA-256 of the text.
    text: str = ""
    context: int = 0
    #: Tokens of a step.
    step_tokens: int = 0
    #: Tokens of each run.
    tokens: int = 0
    seeds: int = 0
    #: The highest learning rate of the baseline.
    rate: float = UNKNOWN_NUMBER
    #: The format that gaps are relative to.
    baseline: str | None = None
    formats: tuple[TrainedFormat, ...] = ()
    histogram: GradientHistogram | None = field(default=None, metadata=OMIT)
    seconds: float = UNKNOWN_NUMBER

    def __repr__(self) -> str:
        losses = ", ".join(f"{one.label} {one.loss.mean:.4g}" for one in self.formats)
        return f"<TrainResult {self.tokens:,} tokens, {self.seeds} seeds: {losses}>"

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each format."""
        return [
            {"format": one.label, "loss": one.loss.mean, "gap": one.gap.mean if one.gap else None}
            for one in self.formats
        ]

    def named(self, format: str) -> Sequence[TrainedFormat]:
        """Return the entries of a format, the whole recipe first."""
        return [one for one in self.formats if one.format == format]
