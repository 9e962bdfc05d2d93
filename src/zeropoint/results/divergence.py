"""Results of `measure`, `ladder` and `compare` with a reference: how far two models diverge.

KL is KL(reference ‖ quant) over the whole vocabulary, in nats per token. Shares are from 0 to 1.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from zeropoint.results.chosen_count import ChosenCount
from zeropoint.results.interval import Interval, unknown
from zeropoint.results.model_identity import InMemoryQuantization, ModelIdentity, ReferenceIdentity
from zeropoint.results.predictions import ChangedPrediction
from zeropoint.results.run_checks import ROUNDING
from zeropoint.results.schema import FLAT, OMIT, UNKNOWN_NUMBER, Record


@dataclass(frozen=True)
class KL(Interval):
    """KL(reference ‖ quant), nats per token: the mean with its interval, and quantiles. All ≥ 0."""

    median: float = UNKNOWN_NUMBER
    p90: float = UNKNOWN_NUMBER
    p95: float = UNKNOWN_NUMBER
    p99: float = UNKNOWN_NUMBER
    p999: float = UNKNOWN_NUMBER
    #: The largest of all scored positions.
    max: float = UNKNOWN_NUMBER

    __repr__ = Interval.__repr__


@dataclass(frozen=True)
class Perplexity(Record):
    """Perplexity of both models on the text, at least 1 each."""

    reference: float = UNKNOWN_NUMBER
    quant: float = UNKNOWN_NUMBER
    #: quant / reference; above 1 the quantized model predicts the text less well.
    ratio: Interval = field(default_factory=unknown)


@dataclass(frozen=True)
class ProbabilityChange(Record):
    """How the probability of the text's own token changed: quant − reference, from −1 to 1."""

    mean: float = UNKNOWN_NUMBER
    #: Root of the mean square, from 0 to 1.
    rms: float = UNKNOWN_NUMBER
    #: The 1 % quantile: the largest drops.
    p1: float = UNKNOWN_NUMBER
    #: The 99 % quantile: the largest gains.
    p99: float = UNKNOWN_NUMBER


@dataclass(frozen=True)
class Flips(Record):
    """Shares of positions at which only one model puts the text's token first, from 0 to 1."""

    #: Only the reference does.
    lost: float = UNKNOWN_NUMBER
    #: Only the quantized model does.
    won: float = UNKNOWN_NUMBER


@dataclass(frozen=True)
class Verdict(Record):
    """The conclusion that the intervals support."""

    #: INDISTINGUISHABLE, SMALL, MEASURABLE, NOTICEABLE, BROKEN or UNDECIDED.
    word: str = ""
    #: Meaning of the word, as a clause.
    meaning: str = ""
    #: The rule that decided, as a clause with the figures that it compared.
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Divergence(Record):
    """How far two models diverge on some positions of a text. Intervals are over chunks."""

    #: Positions that were scored.
    tokens: int = 0
    #: Chunks that hold such a position.
    chunks: int = 0
    kl: KL
    perplexity: Perplexity = field(default_factory=Perplexity)
    #: Share of positions at which both models have the same most likely token, from 0 to 1.
    top1: float = UNKNOWN_NUMBER
    top1_low: float | None = None
    top1_high: float | None = None
    delta_p: ProbabilityChange = field(default_factory=ProbabilityChange)
    flips: Flips = field(default_factory=Flips)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} KL {self.kl!r} nats per token over {self.tokens} tokens>"


@dataclass(frozen=True)
class Floor(Record):
    """The noise floor, as a run folder stores it in floor.json."""

    #: Mean KL of the reference against itself in another arithmetic, in nats per token.
    kl_mean: float
    #: Number of chunks that it was measured on.
    chunks: int
    #: The other arithmetic, in words.
    arithmetic: str = ""

    def problem(self) -> str:
        """A divergence is at least 0, apart from rounding."""
        return "" if -ROUNDING <= self.kl_mean < math.inf else "kl_mean is not a divergence"


@dataclass(frozen=True)
class TextRead(Record):
    """The text that both models read."""

    #: SHA-256 of the whole text.
    corpus: str
    #: Whether it is built-in text.
    built_in: bool
    #: Tokens of a chunk, of which the second half is scored; long documents have more.
    context: int
    chunks: int


@dataclass(frozen=True)
class GateResult(Record):
    """A gate, the bound of the interval that decided, and whether it passed."""

    #: FIGURE<NUMBER or FIGURE>NUMBER.
    gate: str
    #: The end of the figure's interval that is harder to pass; NaN if the interval is not known.
    bound: float
    passed: bool


@dataclass(frozen=True)
class QuantIdentity(ModelIdentity):
    """The quantized model of a measurement."""

    #: How it was quantized in memory; None for a file.
    quantization: InMemoryQuantization | None = field(default=None, metadata=FLAT)

    @classmethod
    def of(cls, side: ModelIdentity, quantization: InMemoryQuantization | None) -> "QuantIdentity":
        """Return a model as the quantized one."""
        return cls(**vars(side), quantization=quantization)


@dataclass(frozen=True, kw_only=True)
class MeasureResult(Divergence):
    """The result of `measure`: a quantized model against its reference on the same tokens."""

    #: Noise floor: mean KL of the reference against itself in another arithmetic, in nats per
    #: token; None if it was not measured.
    floor: float | None = None
    verdict: Verdict = field(default_factory=Verdict)
    #: The figures of each text, by its name.
    by_domain: Mapping[str, Divergence] = field(default_factory=dict)
    #: The figures by position in the context, such as "256-319".
    by_position: Mapping[str, Divergence] = field(default_factory=dict)
    #: The figures by class of token: words, digits, code, syntax, whitespace.
    by_class: Mapping[str, Divergence] = field(default_factory=dict, metadata=OMIT)
    #: Texts and classes of token whose interval of KL lies wholly above that of the whole.
    worse: tuple[str, ...] = ()
    #: Some of the largest changes of a prediction.
    changed_predictions: tuple[ChangedPrediction, ...] = ()
    metrics_version: int = 1
    #: The other arithmetic of the noise floor, in words; None without a floor.
    floor_arithmetic: str | None = None
    #: Number of chunks that the noise floor was measured on; 0 without a floor.
    floor_chunks: int = 0
    #: Scored tokens per second of both passes, without loading and the noise floor.
    tokens_per_second: float = UNKNOWN_NUMBER
    #: Peak memory of the process.
    peak_memory_bytes: int = 0
    #: Whether all chunks were measured.
    complete: bool = True
    # Of the command, and not in the results of the run folder, whose inputs hold the same facts.
    reference: ReferenceIdentity | None = field(default=None, metadata=OMIT)
    quant: QuantIdentity | None = field(default=None, metadata=OMIT)
    text: TextRead | None = field(default=None, metadata=OMIT)
    #: How the quantized model stored keys and values, such as "q8_0/q4_0"; None: as F32.
    kv_cache: str | None = field(default=None, metadata=OMIT)
    #: Seconds that loading both models took.
    startup_seconds: float | None = field(default=None, metadata=OMIT)
    gates: tuple[GateResult, ...] | None = field(default=None, metadata=OMIT)
    #: The number of chunks, if it was chosen by the time of the first one.
    chosen_count: ChosenCount | None = field(default=None, metadata=OMIT)

    def __repr__(self) -> str:
        return (
            f"<MeasureResult {self.verdict.word}: KL {self.kl!r} nats per token, same top token "
            f"at {self.top1:.2%} of {self.tokens} positions>"
        )

    @property
    def figures(self) -> "MeasureResult":
        """The same without the models, the text and the gates, as a run folder keeps it."""
        return replace(
            self,
            reference=None,
            quant=None,
            text=None,
            kv_cache=None,
            startup_seconds=None,
            gates=None,
            chosen_count=None,
        )

    @property
    def groups(self) -> dict[str, Divergence]:
        """The whole as "everything", then each text and each class of token, by name."""
        return {"everything": self, **self.by_domain, **self.by_class}

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for the whole, each text, each class of token and each position."""
        named = [("everything", "", self.whole)]
        for kind in ("by_domain", "by_class", "by_position"):
            named += [(name, kind, group) for name, group in getattr(self, kind).items()]
        return [
            {"name": name, "group": kind, **row}
            for name, kind, group in named
            for row in group.rows()
        ]

    @property
    def whole(self) -> Divergence:
        """The figures of all positions, without the groups."""
        return Divergence(
            tokens=self.tokens, chunks=self.chunks, kl=self.kl, perplexity=self.perplexity,
            top1=self.top1, top1_low=self.top1_low, top1_high=self.top1_high,
            delta_p=self.delta_p, flips=self.flips,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LadderLevel(Record):
    """One level of `ladder`: the reference in one format, measured against itself."""

    #: The level as it was requested: "4 bits", or the name of a format or preset.
    level: str
    #: "symmetric", "asymmetric", "preset" and "best" (of `--with`), or empty for a named format.
    kind: str = ""
    format: str
    #: Size of all tensors in this format.
    bytes: int
    #: Size of the whole file, to the byte; None for a format that a file cannot store.
    file_bytes: int | None = None
    bits_per_weight: float
    #: Tokens per second in `fast` mode; None if the format has no kernel.
    prompt_tokens_per_second: float | None = None
    generation_tokens_per_second: float | None = None
    measured: MeasureResult = field(metadata=FLAT)

    def __repr__(self) -> str:
        return f"<LadderLevel {self.format}: {self.bits_per_weight:.2f} bits, {self.measured!r}>"


@dataclass(frozen=True, kw_only=True)
class LadderResult(Record):
    """The result of `ladder`: one model in formats of fewer and fewer bits."""

    #: Noise floor in nats per token; None if it was not measured.
    floor: float | None = None
    #: Index of the level whose top-1 agreement drops most from the one above it; None if none does.
    largest_step: int | None = None
    levels: tuple[LadderLevel, ...]
    #: The number of chunks, if it was chosen by the time of the first one.
    chosen_count: ChosenCount | None = field(default=None, metadata=OMIT)

    def __repr__(self) -> str:
        return f"<LadderResult {', '.join(level.format for level in self.levels)}>"

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each level."""
        return [
            {**_head(level, "measured"), **row}
            for level in self.levels
            for row in level.measured.whole.rows()
        ]


@dataclass(frozen=True, kw_only=True)
class RankedQuant(Record):
    """One of several quantized models that were measured on the same chunks."""

    name: str
    #: Size of its file.
    bytes: int
    #: Letters; the test cannot separate two models that share one.
    group: str
    #: Whether no model of at most this size has a significantly smaller loss.
    frontier: bool
    measured: MeasureResult = field(metadata=FLAT)

    def __repr__(self) -> str:
        return f"<RankedQuant {self.name} ({self.group}): {self.measured!r}>"


@dataclass(frozen=True, kw_only=True)
class CompareResult(Record):
    """The result of `compare` with a reference: models by their mean KL, the smallest first."""

    #: Noise floor in nats per token; None if it was not measured.
    floor: float | None = None
    results: tuple[RankedQuant, ...]
    #: Names of the models that the test cannot separate: one list for each letter that several
    #: models have.
    inseparable: tuple[tuple[str, ...], ...] = ()
    #: The number of chunks, if it was chosen by the time of the first one.
    chosen_count: ChosenCount | None = field(default=None, metadata=OMIT)

    def __repr__(self) -> str:
        return f"<CompareResult {', '.join(f'{one.name} ({one.group})' for one in self.results)}>"

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each model."""
        return [
            {**_head(one, "measured"), **row}
            for one in self.results
            for row in one.measured.whole.rows()
        ]


def _head(record: Record, flat_one: str) -> dict[str, Any]:
    """Return the fields of a record without the flat record that it holds."""
    return {key: value for key, value in vars(record).items() if key != flat_one}
