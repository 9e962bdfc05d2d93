"""A prediction that quantization changed."""

from dataclasses import dataclass

from zeropoint.results.schema import UNKNOWN_NUMBER, Record


@dataclass(frozen=True, kw_only=True)
class ChangedPrediction(Record):
    """A position at which the two models have different most likely tokens."""

    #: The kind of text.
    text: str
    #: The end of the text before the position.
    context: str
    #: The most likely token of each model, as text.
    reference: str
    quant: str
    #: Their probabilities, each under its own model, from 0 to 1.
    reference_probability: float = UNKNOWN_NUMBER
    quant_probability: float = UNKNOWN_NUMBER
    #: KL(reference ‖ quant) at the position, in nats.
    kl: float = UNKNOWN_NUMBER
