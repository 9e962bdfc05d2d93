"""Prints how many chunks, windows, prompts or tasks a command takes."""

from typing import TYPE_CHECKING

from zeropoint.cli.output import Output
from zeropoint.cli.stages import Views
from zeropoint.formatting import format_seconds

if TYPE_CHECKING:
    from zeropoint.metrics.divergence.run import FloorStarted
    from zeropoint.verbs.default_count import CountChosen, FirstTimed

OPTIONS = {"prompts": "--count", "tasks": "--count"}  # by unit; of all other units: --chunks


def count_views() -> Views:
    """Return the views of the records of `verbs.default_count`."""
    from zeropoint.metrics.divergence.run import FloorStarted
    from zeropoint.verbs.default_count import CountChosen, FirstTimed

    return {FirstTimed: show_timing, CountChosen: show_count, FloorStarted: show_floor}


def show_floor(out: Output, floor: "FloorStarted") -> None:
    """Print that the noise floor is measured, which no progress is shown for."""
    plural = "s" if floor.chunks > 1 else ""
    out.note(f"measuring the noise floor of the reference on {floor.chunks} chunk{plural}")


def show_timing(out: Output, timing: "FirstTimed") -> None:
    """Print that the first one is timed, and what the count will be chosen from."""
    out.note(f"timing the first of {timing.available} {timing.unit}, to choose how many to take")


def show_count(out: Output, choice: "CountChosen") -> None:
    """Print the count, why it was chosen, and which option changes it."""
    chosen = choice.chosen
    option = OPTIONS.get(chosen.unit, "--chunks")
    title = chosen.unit.capitalize()
    if chosen.unit == "chains":
        out.say(f"{title:<12} {chain_words(choice)}")
        return
    if choice.seconds is None:
        reason = ", as in the run that is resumed"
        if chosen.count == chosen.available:
            reason = ""
    else:
        took = format_seconds(chosen.count * choice.seconds)
        reason = f": about {took} at the speed of the first one"
    rest = "" if chosen.count == chosen.available else f"; {option} all takes all of them"
    out.say(f"{title:<12} {chosen.count} of {chosen.available}{reason}{rest}")


def chain_words(choice: "CountChosen") -> str:
    """Return how many chains of each kind are run, and how long all of them would take."""
    chosen, seconds = choice.chosen, choice.seconds
    took = "" if seconds is None else format_seconds(chosen.available * seconds)
    if chosen.count == 0:
        return (
            f"none{f': {chosen.available} of each kind take about {took}' if took else ''};"
            f" --chains {chosen.available} runs them"
        )
    rest = f"; --chains {chosen.available} takes about {took}" if took else ""
    return f"{chosen.count} of each kind{rest if chosen.count < chosen.available else ''}"
