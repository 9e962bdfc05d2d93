"""Figures of a file as the sentences that a picture and a model card share."""

import math

from zeropoint.metrics.divergence.verdict import VERDICT_MEANINGS
from zeropoint.results.interval import Interval
from zeropoint.results.inventory import ModelInventory
from zeropoint.results.proof import StoredLoss
from zeropoint.studio.report.html import number, percent

LOSS_DIGITS = 3  # significant digits of a KL divergence


def loss_of(model: ModelInventory) -> StoredLoss | None:
    """Return the loss that a file stores; None if it is not measured."""
    return model.proof.loss if model.proof else None


def with_interval(loss: Interval) -> str:
    """Return a KL divergence and its 95 % interval.

    >>> with_interval(Interval(0.03124, 0.0, 0.04)), with_interval(Interval(0.5))
    ('0.0312 (0 … 0.0400)', '0.500')
    """
    if loss.ends is None:
        return nats(loss.mean)
    return f"{nats(loss.mean)} ({nats(loss.ends[0])} … {nats(loss.ends[1])})"


def nats(value: float) -> str:
    """Return a KL divergence with LOSS_DIGITS significant digits."""
    return number(value) if value == 0 or math.isnan(value) else f"{value:#.{LOSS_DIGITS}g}"


def verdict_of(loss: StoredLoss) -> str:
    """Return the verdict as a sentence."""
    meaning = VERDICT_MEANINGS.get(loss.verdict)
    return f"{loss.verdict}: {meaning}." if meaning else f"{loss.verdict}."


def loss_sentence(loss: StoredLoss) -> str:
    """Return the measured loss as a sentence."""
    interval = ", 95 % interval" if loss.kl.known else ", interval unknown"
    return (
        f"The mean KL divergence from {loss.reference} is {with_interval(loss.kl)} nats per token"
        f"{interval}; the most likely token is the same at {percent(loss.top1, 1)} of"
        f" {loss.tokens:,} positions."
    )


def how_to_measure(name: str, model: ModelInventory) -> str:
    """Return the command that measures a file and, if it has the fields, stores its loss."""
    source = model.origin.get("zeropoint.source.file")
    reference = source if isinstance(source, str) else "REFERENCE"
    store = " --store" if model.proof and model.proof.has_fields else ""
    return f"zeropoint measure {name} --ref {reference}{store}"


NOT_MEASURED = "The loss of this file is not measured."
