"""Terminal view of `train`: the plan, and the losses."""

from typing import TYPE_CHECKING

from zeropoint.cli.output import Output
from zeropoint.formatting import format_bytes, format_count, format_number, format_seconds

if TYPE_CHECKING:
    from zeropoint.results.interval import Interval
    from zeropoint.results.train import TrainResult
    from zeropoint.verbs.train import ModelWritten, TrainPlanned


def show_plan(out: Output, plan: "TrainPlanned") -> None:
    """Print what is trained, and how long it will take."""
    out.say(
        f"Model        {format_count(plan.parameters)} parameters, {plan.vocabulary:,} tokens in"
        " the vocabulary"
    )
    out.say(
        f"Text         {format_count(plan.text_tokens)} tokens to train on,"
        f" {plan.held_out_tokens:,} held out"
    )
    seeds = "1 seed" if plan.seeds == 1 else f"{plan.seeds} seeds"
    out.say(
        f"Training     {', '.join(plan.labels)}: {seeds}, {plan.steps:,} steps of"
        f" {plan.step_tokens:,} tokens"
    )
    out.note(f"expected time: about {format_seconds(plan.seconds)}")


def show_written(out: Output, written: "ModelWritten") -> None:
    """Print which file was written."""
    out.note(f"wrote {written.path} ({written.format}, {format_bytes(written.nbytes)})")


def show_result(out: Output, result: "TrainResult") -> None:
    """Print the losses of all formats, and what each costs."""
    out.say()
    out.table(
        ("Format", ">Held-out loss", ">Gap", ">95 % interval", ">Rounded afterwards", "Stored as"),
        (
            (
                one.label,
                format_number(one.loss.mean, 5),
                "" if one.gap is None else format_number(one.gap.mean, 3),
                _ends(one.gap or one.loss),
                format_number(one.rounded_baseline, 5),
                one.stored_as,
            )
            for one in result.formats
        ),
    )
    out.say(
        "Loss in nats per token. Gap: to the baseline with the same seed; the interval is over"
        " seeds. Rounded afterwards: the baseline, its products rounded to the format untrained."
    )


def _ends(found: "Interval") -> str:
    if found.ends is None:
        return "one seed"
    return " … ".join(format_number(end, 3) for end in found.ends)
