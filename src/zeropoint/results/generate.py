"""Result of `generate`: the text that one model generated, or two models from the same prompt."""

from dataclasses import dataclass, field

from zeropoint.results.schema import FLAT, Record


@dataclass(frozen=True, kw_only=True)
class GenerationSpeed(Record):
    """How long a text is, why it ended, and how fast it was generated."""

    prompt_tokens: int
    generated_tokens: int
    #: "stop" (by the model itself), "length" (the maximum) or "context" (the cache is full).
    stopped_by: str
    prompt_tokens_per_second: float
    #: Without the first token, which comes out of the prompt's last logits.
    generation_tokens_per_second: float


@dataclass(frozen=True, kw_only=True)
class DraftUse(Record):
    """How guesses of the next tokens were used for a text."""

    #: "ngram", or the path or name of the small model.
    draft: str
    #: Passes of the model after the prompt; without guesses there is one for each token.
    passes: int
    #: Guessed tokens, and how many of them were the ones that were chosen.
    guessed_tokens: int
    accepted_tokens: int


@dataclass(frozen=True, kw_only=True)
class DraftProof(Record):
    """A text that was generated again without guesses."""

    #: SHA-256 of the ids of all tokens, as little-endian 32-bit integers.
    sha256_with_guesses: str
    sha256_without_guesses: str
    tokens_per_second_without_guesses: float

    @property
    def same(self) -> bool:
        """Whether all tokens are the same."""
        return self.sha256_with_guesses == self.sha256_without_guesses


@dataclass(frozen=True, kw_only=True)
class GeneratedText(Record):
    """The text that one model generated."""

    #: The path or name, as it was given.
    model: str
    text: str = ""
    #: Ids of the generated tokens.
    tokens: tuple[int, ...] = ()
    #: None while the text is not finished.
    speed: GenerationSpeed | None = field(default=None, metadata=FLAT)
    #: None without a draft.
    drafts: DraftUse | None = None


@dataclass(frozen=True, kw_only=True)
class GenerationComparison(Record):
    """The same prompt and seed with another model."""

    vs: GeneratedText
    #: The first token that differs, counted from 0; None if none does.
    first_difference: int | None = None


@dataclass(frozen=True, kw_only=True)
class GenerateResult(GeneratedText):
    """The result of `generate`: a model's text, and that of another model if one was given."""

    seed: int = 0
    #: Of the whole process.
    peak_memory_bytes: int = 0
    comparison: GenerationComparison | None = field(default=None, metadata=FLAT)
    proof: DraftProof | None = None

    def __repr__(self) -> str:
        return f"<GenerateResult {self.model}: {len(self.tokens)} tokens, {self.text[:40]!r}>"
