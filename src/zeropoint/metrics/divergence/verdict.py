"""Turns figures into a verdict, by rules. All thresholds are defined here.

A verdict is given only if the confidence intervals support it. It never ranks models whose
difference is inside the noise.
"""

from dataclasses import dataclass

from zeropoint.metrics.statistics import ConfidenceInterval


@dataclass(frozen=True)
class VerdictThresholds:
    """The limits between verdicts, as reports print them."""

    noticeable_top1: float = 0.90  # below this, the two models often choose different tokens
    noticeable_perplexity: float = 1.05  # ratio quant / reference
    broken_top1: float = 0.50
    broken_perplexity: float = 2.0
    undecided: float = 10.0  # times the floor: an interval from the noise to there decides nothing


THRESHOLDS = VerdictThresholds()

VERDICT_MEANINGS = {
    "INDISTINGUISHABLE": "the difference is inside the noise of the reference itself",
    "SMALL, MEASURABLE": "the difference is outside the noise, and small",
    "NOTICEABLE": "the two models often choose different tokens",
    "BROKEN": "the quantized model no longer does what the reference does",
    "UNDECIDED": "there is too little text to decide; measure more",
}


def verdict(
    kl: ConfidenceInterval,
    floor: float,
    top1: ConfidenceInterval,
    perplexity_ratio: ConfidenceInterval,
) -> str:
    """Return one of WORDS.

    `floor` is the KL of the reference against itself in another arithmetic, in nats per token. The
    rules, in this order:

    INDISTINGUISHABLE  the KL is exactly 0, or the upper end of its interval is at most the floor
    UNDECIDED          the interval is unknown
    BROKEN, NOTICEABLE the upper end of top-1 is below the threshold, or the lower end of the
                       perplexity ratio is above it
    SMALL, MEASURABLE  the lower end of the KL is above the floor
    INDISTINGUISHABLE  the interval contains the floor and ends at most at `undecided` times it
    UNDECIDED          the interval contains the floor and ends beyond that
    """
    limits = THRESHOLDS
    if kl.mean == 0 or kl.high <= floor:
        return "INDISTINGUISHABLE"
    if kl.low != kl.low:  # NaN: the interval is unknown
        return "UNDECIDED"
    if top1.high < limits.broken_top1 or perplexity_ratio.low > limits.broken_perplexity:
        return "BROKEN"
    if top1.high < limits.noticeable_top1 or perplexity_ratio.low > limits.noticeable_perplexity:
        return "NOTICEABLE"
    if kl.low > floor:
        return "SMALL, MEASURABLE"
    return "INDISTINGUISHABLE" if kl.high <= limits.undecided * floor else "UNDECIDED"


def verdict_reason(
    kl: ConfidenceInterval,
    floor: float,
    top1: ConfidenceInterval,
    perplexity_ratio: ConfidenceInterval,
) -> str:
    """Return which of the rules of `verdict` decided, as a clause with the figures it compared."""
    limits = THRESHOLDS
    if kl.mean == 0:
        return "both models predict exactly the same"
    if kl.high <= floor:
        return (
            f"the interval of the KL ends at {kl.high:.2g}, within the noise floor of {floor:.2g}"
        )
    if kl.low != kl.low:
        return "one chunk of text gives no interval"
    for top1_limit, ratio_limit in (
        (limits.broken_top1, limits.broken_perplexity),
        (limits.noticeable_top1, limits.noticeable_perplexity),
    ):
        if top1.high < top1_limit:
            return (
                "the most likely token is the same at no more than"
                f" {top1.high:.1%} of positions (upper end), and the limit is {top1_limit:.0%}"
            )
        if perplexity_ratio.low > ratio_limit:
            return (
                f"the perplexity is at least {perplexity_ratio.low:.3g} times the reference's"
                f" (lower end), and the limit is {ratio_limit:g}"
            )
    if kl.low > floor:
        return (
            f"the interval of the KL begins at {kl.low:.2g}, above the noise floor of {floor:.2g}"
        )
    ends = f"the interval of the KL, {kl.low:.2g} to {kl.high:.2g}, contains the noise floor"
    if kl.high <= limits.undecided * floor:
        return ends
    return f"{ends} of {floor:.2g} and ends at more than {limits.undecided:g} times it"
