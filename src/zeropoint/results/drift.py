"""Result of `drift`: the texts that a quantized model generates, compared with its reference's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zeropoint.results.chains import ChainsResult
from zeropoint.results.chosen_count import ChosenCount
from zeropoint.results.interval import Interval, unknown
from zeropoint.results.model_identity import ModelIdentity, ReferenceIdentity
from zeropoint.results.schema import FLAT, OMIT, UNKNOWN_NUMBER, Record


@dataclass(frozen=True)
class MedianDivergence(Record):
    """The token or character by which half of the texts have diverged, with its interval.

    Counted from 1; None where most texts stay the same to the end.
    """

    median: int | None = None
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True)
class FirstDivergence(MedianDivergence):
    """The first divergent token of the texts."""

    #: Share of texts that never diverge, from 0 to 1.
    never: Interval = field(default_factory=unknown)


@dataclass(frozen=True)
class Survival(Record):
    """Share of texts that are the same after 1, 2, 3 … tokens, from 0 to 1, with its 95 % band."""

    share: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    #: Prediction from single tokens: the mean over texts of (1 − flips per token)^tokens.
    predicted: tuple[float, ...]

    def problem(self) -> str:
        """All four are as long, and none is empty."""
        lengths = {len(part) for part in (self.share, self.low, self.high, self.predicted)}
        return "" if len(lengths) == 1 and 0 not in lengths else "its curves differ in length"


@dataclass(frozen=True)
class Compounding(Record):
    """Sums over the first `steps` tokens, in nats per text."""

    steps: int
    #: Σ KL(reference ‖ quant) along the quant's own text.
    own: Interval = field(default_factory=unknown)
    #: The same along the reference's text.
    predicted: Interval = field(default_factory=unknown)
    #: own / predicted: above 1, errors compound. No interval if too few texts have diverged.
    factor: Interval = field(default_factory=unknown)
    #: KL(reference ‖ quant) and KL(quant ‖ reference) of whole beginnings of sampled texts.
    texts: Interval = field(default_factory=unknown)
    texts_back: Interval = field(default_factory=unknown)


@dataclass(frozen=True)
class Recovery(Record):
    """Outcome of the texts that diverge."""

    #: How many texts diverge.
    parted: int = 0
    #: Share of those that have the same tokens again later.
    met_again: Interval = field(default_factory=unknown)
    #: Share of those that come to the same answer; None if answers were not looked for.
    same_answer: Interval | None = field(default=None, metadata=OMIT)


@dataclass(frozen=True)
class Change(Record):
    """A mean of both models' texts, and the paired difference quant − reference."""

    reference: float = UNKNOWN_NUMBER
    quant: float = UNKNOWN_NUMBER
    difference: Interval = field(default_factory=unknown)


@dataclass(frozen=True)
class BothSides(Record):
    """A share of both models' texts, from 0 to 1."""

    reference: float = UNKNOWN_NUMBER
    quant: float = UNKNOWN_NUMBER


@dataclass(frozen=True, kw_only=True)
class FreeRun(Record):
    """Texts that both models wrote to the same prompts, chosen in one way."""

    prompts: int = 0
    split: FirstDivergence = field(default_factory=FirstDivergence)
    survival: Survival
    #: Share of tokens of the reference's text at which the quant chooses another, from 0 to 1.
    flips_per_token: Interval = field(default_factory=unknown)
    #: Nats per token along the reference's text.
    kl_per_token: Interval = field(default_factory=unknown)
    #: After 1, 2, 4 … tokens.
    compounding: tuple[Compounding, ...] = ()
    recovery: Recovery = field(default_factory=Recovery)
    #: Tokens per text.
    length: Change = field(default_factory=Change)
    #: Share of texts that ended by themselves.
    stopped: Change = field(default_factory=Change)
    #: Share of 4-token phrases that occur earlier in the text.
    repetition: Change = field(default_factory=Change)
    #: Share of texts that end in a loop.
    loops: BothSides = field(default_factory=BothSides)

    def problem(self) -> str:
        """Losses are added up within the texts."""
        steps = [point.steps for point in self.compounding]
        inside = all(0 < step <= len(self.survival.share) for step in steps)
        return "" if inside else "compounding lies outside the texts"


@dataclass(frozen=True)
class SurvivalPoint(Record):
    """Share of texts that are the same after so many characters."""

    characters: int
    alike: Interval = field(metadata=FLAT)


@dataclass(frozen=True, kw_only=True)
class TextsCompared(Record):
    """Texts of models whose tokens differ, compared by character."""

    prompts: int = 0
    split_characters: MedianDivergence = field(default_factory=MedianDivergence)
    survival_characters: tuple[SurvivalPoint, ...]
    #: Share of texts that come to the same answer, from 0 to 1.
    same_answer: Interval = field(default_factory=unknown)
    #: Bytes per text.
    bytes: Change = field(default_factory=Change)

    def problem(self) -> str:
        """There is a curve."""
        return "" if self.survival_characters else "survival_characters is empty"


@dataclass(frozen=True, kw_only=True)
class TextPair(Record):
    """Both texts to one prompt, as a run keeps them in pairs.json."""

    prompt: str
    domain: str = ""
    #: "greedy" or "sampled".
    way: str
    reference: str
    quant: str
    #: The text that each token completes; None for models whose tokens differ.
    reference_pieces: tuple[str, ...] | None = field(default=None, metadata=OMIT)
    quant_pieces: tuple[str, ...] | None = field(default=None, metadata=OMIT)
    #: The first token (or character) that differs, counted from 0; None if none does.
    split: int | None = None
    #: Where the same tokens follow again, in each of both texts; None if nowhere.
    met_again: tuple[int, ...] | None = None
    same_answer: bool = False

    @property
    def pieces(self) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """The tokens of both texts; None for models whose tokens differ."""
        if self.reference_pieces is None or self.quant_pieces is None:
            return None
        return self.reference_pieces, self.quant_pieces


@dataclass(frozen=True)
class WrittenText(Record):
    """Text that one model generated for a prompt, as stored in texts-N.json of a run."""

    #: Which prompt, counted from 0.
    prompt: int
    text: str
    tokens: int
    #: Whether it ended by itself.
    stopped: bool


@dataclass(frozen=True, kw_only=True)
class DriftSettings(Record):
    """Settings with which the prompts were continued."""

    #: Tokens for each prompt.
    limit: int = 0
    ways: tuple[str, ...] = ()
    temperature: float = UNKNOWN_NUMBER
    seed: int = 0
    #: Texts that were written at once.
    together: int = 0
    #: Whether prompts are messages; None: if the model chats.
    chat: bool | None = None
    #: "fast" or "exact".
    mode: str = ""
    #: Chains of each family, steps, and level (None: what the reference can do).
    chains: tuple[int | None, ...] = ()


@dataclass(frozen=True)
class PromptTooLong(Record):
    """A prompt that does not fit a model's context and was left out."""

    line: int
    tokens: int
    #: The context of the model, in tokens.
    room: int


@dataclass(frozen=True, kw_only=True)
class DriftResult(Record):
    """The result of `drift` for one quantized model."""

    reference: ReferenceIdentity | None = None
    quant: ModelIdentity | None = None
    settings: DriftSettings = field(default_factory=DriftSettings)
    prompts: int
    left_out: tuple[PromptTooLong, ...] = ()
    #: Models whose tokens differ; None for models of the same tokens.
    texts: TextsCompared | None = field(default=None, metadata=OMIT)
    #: By way, "greedy" and "sampled"; empty for models whose tokens differ.
    free_run: Mapping[str, FreeRun] = field(default_factory=dict, metadata=OMIT)
    chains: ChainsResult | None = field(default=None, metadata=OMIT)
    #: The number of prompts, and of chains of each kind, if it was chosen by time.
    chosen_prompts: ChosenCount | None = field(default=None, metadata=OMIT)
    chosen_chains: ChosenCount | None = field(default=None, metadata=OMIT)

    def problem(self) -> str:
        """Texts were compared in one of two ways."""
        return "" if self.texts or self.free_run else "neither texts nor free_run is there"

    def __repr__(self) -> str:
        name = self.quant.name if self.quant else "?"
        return f"<DriftResult {name}: {self.prompts} prompts, {', '.join(self.free_run)}>"

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each way and number of tokens."""
        return [
            {"way": way, **row}
            for way, run in self.free_run.items()
            for point in run.compounding
            for row in point.rows()
        ]
