"""What a file of zeropoint's says about itself: how it was made, and what that costs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zeropoint.results.divergence import MeasureResult
from zeropoint.results.interval import Interval
from zeropoint.results.predictions import ChangedPrediction
from zeropoint.results.schema import OMIT, UNKNOWN_NUMBER, Record


@dataclass(frozen=True)
class TextLoss(Interval):
    """Mean KL(reference ‖ quant) on one kind of text, nats per token, with its 95 % interval."""

    #: Positions that were scored.
    tokens: int = 0

    __repr__ = Interval.__repr__


@dataclass(frozen=True, kw_only=True)
class StoredLoss(Record):
    """A measured loss, as a file stores it."""

    #: Mean KL(reference ‖ quant) in nats per token.
    kl: Interval
    #: Positions that were scored.
    tokens: int
    #: SHA-256 of the whole text.
    text_sha256: str
    #: Name of the reference.
    reference: str
    #: The word of the verdict.
    verdict: str
    #: Share of positions at which both models have the same most likely token, from 0 to 1.
    top1: float = UNKNOWN_NUMBER
    #: The mean KL on each kind of text, by its name.
    by_text: Mapping[str, TextLoss] = field(default_factory=dict)
    #: Some of the largest changes of a prediction; none of text that is not built in.
    examples: tuple[ChangedPrediction, ...] = ()

    @classmethod
    def of(cls, result: MeasureResult) -> "StoredLoss":
        """Return the part of a measurement that is stored. It must name its text and reference.

        Examples are stored only of built-in text: people publish files, and their own text may be
        private.
        """
        assert result.text is not None and result.reference is not None
        return cls(
            kl=Interval(result.kl.mean, result.kl.low, result.kl.high),
            tokens=result.tokens,
            text_sha256=result.text.corpus,
            reference=result.reference.name,
            verdict=result.verdict.word,
            top1=result.top1,
            by_text={
                name: TextLoss(group.kl.mean, group.kl.low, group.kl.high, group.tokens)
                for name, group in result.by_domain.items()
            },
            examples=result.changed_predictions if result.text.built_in else (),
        )


@dataclass(frozen=True, kw_only=True)
class FileProof(Record):
    """What the metadata of a file say about how it was made and what it loses."""

    #: SHA-256 over name, type, shape and bytes of the tensors, in order; None: not stated.
    tensors_sha256: str | None = None
    #: Whether the tensors have that digest; None: not compared.
    verified: bool | None = None
    #: The method, by GGUF key without "zeropoint.": how the recipe was found, rounding, texts.
    method: Mapping[str, Any] = field(default_factory=dict)
    #: Whether the file has fields for a measured loss.
    has_fields: bool = False
    #: The measured loss; None: not measured.
    loss: StoredLoss | None = None
    #: Why a stored loss is not used, such as a write that was interrupted.
    damage: str | None = field(default=None, metadata=OMIT)
