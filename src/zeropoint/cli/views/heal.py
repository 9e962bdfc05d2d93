"""Terminal views of `heal`: the plan, the guard's curve, and the loss before and after."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zeropoint.cli.output import Output
from zeropoint.cli.views.measure import format_nats
from zeropoint.formatting import format_bytes, format_seconds

if TYPE_CHECKING:
    from zeropoint.results.heal import GuardPoint, HealPlan, HealResult
    from zeropoint.results.interval import Interval

LEVELS = "▁▂▃▄▅▆▇█"


def show_plan(out: Output, plan: "HealPlan") -> None:
    """Print what is trained, on what, and what it takes."""
    steps = ", ".join(f"{name} {count}" for name, count in plan.stages.items())
    out.note(
        f"{plan.numbers:,} numbers; {plan.tokens:,} tokens of {', '.join(plan.kinds)} in steps of"
        f" {plan.tokens_per_step:,} ({steps}); {plan.guard_windows} held-out windows decide, also"
        f" of {plan.untrained_kind}, which is not trained on"
    )
    out.note(
        f"about {format_seconds(plan.seconds)} and {format_bytes(plan.memory_bytes)} of memory"
    )


def show(out: Output, result: "HealResult") -> None:
    """Print the loss before and after by kind of text, the stages, and the guard's curve."""
    out.say()
    out.table(
        ("Text", "Trained on", ">KL before", ">KL after", ">Ratio", ">95 % interval"),
        (
            (one.kind, "yes" if one.trained else "no", format_nats(one.before),
             format_nats(one.after), f"{one.ratio.mean:.3f}", _ends(one.ratio))
            for one in result.kl
        ),
    )  # fmt: skip
    out.say(f"All kinds: {result.ratio.mean:.3f} of the KL before ({_ends(result.ratio)})")
    for stage in result.stages:
        out.say(f"After stage {stage.name}: {stage.ratio:.3f}")
    if result.curve:
        out.say(f"Held-out KL during the training: {curve(result.curve)}")
    if result.output:
        out.note(f"wrote {result.output} ({format_bytes(result.output_bytes)})")
    else:
        out.note(f"nothing was written: {result.reason}")


def curve(points: Sequence["GuardPoint"]) -> str:
    """Return the guard's ratios as a line of bars between their ends, such as 1.00 █▅▃▁ 0.84."""
    ratios = [point.ratio for point in points]
    low, high = min(ratios), max(ratios)
    span = (high - low) or 1.0
    bars = "".join(LEVELS[round((one - low) / span * (len(LEVELS) - 1))] for one in ratios)
    return f"{ratios[0]:.2f} {bars} {ratios[-1]:.2f}"


def _ends(interval: "Interval") -> str:
    return "-" if interval.ends is None else f"{interval.ends[0]:.3f} … {interval.ends[1]:.3f}"
