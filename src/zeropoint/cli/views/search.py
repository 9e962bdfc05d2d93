"""Prints what `search` reports: each budget with its recipe, predicted and measured loss."""

from collections import Counter
from typing import TYPE_CHECKING

from zeropoint.cli.output import Output
from zeropoint.cli.views.measure import format_interval, format_nats
from zeropoint.formatting import format_bytes, format_seconds

if TYPE_CHECKING:
    from zeropoint.results.allocation import SearchPoint, SearchResult
    from zeropoint.verbs.recipe_search import BudgetStarted, SearchPlanned

QUICK_SECONDS = 600.0  # a search that takes longer names the option for less


def show_plan(out: Output, plan: "SearchPlanned") -> None:
    """Print what the search is going to do, and how long it takes."""
    less = plan.seconds > QUICK_SECONDS and plan.effort != "quick"
    advice = "; --effort quick takes less" if less else ""
    out.note(
        f"{plan.tensors} tensors, {len(plan.formats)} formats, recipes to evaluate: at most"
        f" {plan.evaluations}; about {format_seconds(plan.seconds)}{advice}"
    )


def show_budget(out: Output, started: "BudgetStarted") -> None:
    """Print which budget is searched."""
    if started.budgets > 1:
        out.note(
            f"[{started.index + 1}/{started.budgets}] {started.subject} of at most"
            f" {format_bytes(started.limit)}"
        )


def show(out: Output, result: "SearchResult") -> None:
    """Print the budgets, and the formats of each recipe."""
    out.say()
    out.table(
        (">Bits", ">Size", ">Budget", ">Recipes tried", ">KL predicted", ">KL measured",
         ">95 % interval", ">Top-1", "Recipe"),
        (
            (f"{point.bits_per_weight:.3f}", format_bytes(point.file_bytes),
             format_bytes(point.budget_bytes), str(len(point.evaluations)),
             format_nats(point.predicted),
             format_nats(point.measured.kl.mean) if point.measured else "-",
             (format_interval(point.measured.kl, ".5f") or "-") if point.measured else "-",
             f"{point.measured.top1:.2%}" if point.measured else "-", point.output or "-")
            for point in result.points
        ),
    )  # fmt: skip
    for point in result.points:
        out.say(f"{point.bits_per_weight:.3f} bits per weight: {formats_of(point)}")
    for point in result.points:
        if point.tasks:
            out.say(f"{point.bits_per_weight:.3f} bits per weight: {flips_of(point)}")
    out.say(
        "KL in nats per token, each weight rounded to the nearest code; measured on text that the"
        " search did not read"
    )


def flips_of(point: "SearchPoint") -> str:
    """Return in words how many held-out tasks the reference and the model answer rightly."""
    reference, quant = point.tasks
    flips = quant.beside_first
    return (
        f"of {quant.tasks} held-out tasks the model answers {quant.right} rightly, the reference"
        f" {reference.right}: {len(flips.lost)} lost, {len(flips.won)} won (p = {flips.p:.2g})"
    )


def formats_of(point: "SearchPoint") -> str:
    """Return how many tensors have each format, the most frequent first."""
    counts = Counter(point.formats.values())
    return ", ".join(f"{count} × {name}" for name, count in counts.most_common())
