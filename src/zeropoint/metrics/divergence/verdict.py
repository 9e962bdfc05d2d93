"""From figures to a sentence, by rules: the thresholds stand here and nowhere else.

A verdict never ranks inside the noise and never speaks of quality in percent.
"""

from dataclasses import dataclass

from zeropoint.metrics.statistics import ConfidenceInterval


@dataclass(frozen=True)
class Thresholds:
    """Where one word ends and the next begins; reports print them."""

    noticeable_top1: float = 0.90  # below this the two models often choose different tokens
    noticeable_perplexity: float = 1.05  # ratio quant / reference
    broken_top1: float = 0.50
    broken_perplexity: float = 2.0
    undecided: float = 10.0  # times the floor: what reaches from the noise to there tells nothing


THRESHOLDS = Thresholds()

WORDS = {
    "INDISTINGUISHABLE": "inside the noise of the reference itself",
    "SMALL, MEASURABLE": "outside the noise, and small",
    "NOTICEABLE": "the two models often choose different tokens",
    "BROKEN": "the quant no longer does what the reference does",
    "UNDECIDED": "this is too little text to tell; measure more",
}


def verdict(
    kl: ConfidenceInterval,
    floor: float,
    top1: ConfidenceInterval,
    perplexity_ratio: ConfidenceInterval,
) -> str:
    """Return one of WORDS.

    `floor` is the KL of the reference against itself in another arithmetic. A word is chosen only
    where the interval shows it: INDISTINGUISHABLE needs the upper end of the KL at or below the
    floor, NOTICEABLE and BROKEN need the upper end of top-1 below, or the lower end of the
    perplexity ratio above, the threshold. An interval that holds the floor is INDISTINGUISHABLE if
    it ends near it, and UNDECIDED if it goes far beyond. A KL of exactly 0 is always
    INDISTINGUISHABLE.
    """
    limits = THRESHOLDS
    if kl.mean == 0 or kl.high <= floor:
        return "INDISTINGUISHABLE"
    if kl.low != kl.low:  # NaN: no interval
        return "UNDECIDED"
    if top1.high < limits.broken_top1 or perplexity_ratio.low > limits.broken_perplexity:
        return "BROKEN"
    if top1.high < limits.noticeable_top1 or perplexity_ratio.low > limits.noticeable_perplexity:
        return "NOTICEABLE"
    if kl.low > floor:
        return "SMALL, MEASURABLE"
    return "INDISTINGUISHABLE" if kl.high <= limits.undecided * floor else "UNDECIDED"
