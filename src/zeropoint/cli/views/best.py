"""Prints what `quantize --to best` plans and reports."""

from typing import TYPE_CHECKING

from zeropoint.cli.output import Output
from zeropoint.cli.views.measure import format_interval, format_nats
from zeropoint.cli.views.search import formats_of
from zeropoint.formatting import format_bytes, format_seconds

if TYPE_CHECKING:
    from zeropoint.results.allocation import BestResult
    from zeropoint.verbs.best import BestPlanned


def show_best_plan(out: Output, plan: "BestPlanned") -> None:
    """Print the limit, the steps, and how long they take."""
    steps = "calibrate, search, round" if plan.feedback else "search, round"
    quick = ""
    if plan.effort != "quick":
        quick = f" (--effort quick: about {format_seconds(plan.quick_seconds)})"
    out.note(
        f"a {plan.subject} of at most {format_bytes(plan.limit)}: {steps}, write, measure; about"
        f" {format_seconds(plan.seconds)}{quick}"
    )


def show_best(out: Output, result: "BestResult") -> None:
    """Print the formats, the measured loss with its verdict, and the comparison."""
    tried = len(result.search.evaluations)
    out.say(f"{formats_of(result.search)}; recipes compared by their true loss: {tried}")
    loss = result.measured
    out.say(
        f"{loss.verdict.word}: KL {format_nats(loss.kl.mean)}"
        f"{format_interval(loss.kl, '.5f', ' (', ')')} nats per token, the same top token at"
        f" {loss.top1:.1%} of {loss.tokens:,} positions",
        style="bold",
    )
    if result.comparison:
        out.say(result.comparison.sentence + ".")
    if result.picture:
        out.note(f"wrote {result.picture}: the loss, and where the bytes are")
    out.say(f"{format_seconds(result.seconds)}, {format_bytes(result.peak_memory_bytes)} of memory")
