"""Prints what `ladder` reports: one row per level."""

from typing import TYPE_CHECKING

from zeropoint.cli.output import Output
from zeropoint.cli.progress import QUIET_SECONDS, Pace
from zeropoint.cli.views.measure import format_interval, format_nats
from zeropoint.formatting import format_bytes, format_seconds

if TYPE_CHECKING:
    from zeropoint.results.divergence import LadderResult
    from zeropoint.verbs.ladder import LevelMeasured, LevelStarted


class LevelNotes:
    """Prints a note before and after each level, with the time that the remaining levels take."""

    def __init__(self) -> None:
        self._pace = Pace()

    def show_start(self, out: Output, level: "LevelStarted") -> None:
        """Print which level begins."""
        seconds = self._pace.seconds_left(level.index, level.levels)
        left = (
            f"   about {format_seconds(seconds)} left"
            if seconds and seconds > QUIET_SECONDS
            else ""
        )
        size = format_bytes(level.nbytes)
        out.note(f"[{level.index + 1}/{level.levels}] {level.format}, {size}{left}")

    def show_result(self, out: Output, measured: "LevelMeasured") -> None:
        """Print the main figures of a level."""
        result = measured.level.measured
        out.note(
            f"      KL {format_nats(result.kl.mean)}"
            f"{format_interval(result.kl, '.5f', ' (', ')')}   "
            f"top-1 {result.top1:.2%}"
        )


def show(out: Output, result: "LadderResult") -> None:
    """Print the table."""
    out.say()
    out.table(
        ("Level", "?Kind", "Format", ">Size", ">?Bits", ">?Prompt tok/s", ">?Gen tok/s",
         ">?Perplexity", ">KL mean", ">95 % interval", ">Top-1", ""),
        (
            (level.level, level.kind, level.format, format_bytes(level.file_bytes or level.bytes),
             f"{level.bits_per_weight:.2f}", speed(level.prompt_tokens_per_second),
             speed(level.generation_tokens_per_second), perplexity(measured.perplexity.quant),
             format_nats(measured.kl.mean), format_interval(measured.kl, ".5f") or "-",
             f"{measured.top1:.2%}", "← largest step down" if index == result.largest_step else "")
            for index, level in enumerate(result.levels)
            for measured in [level.measured]
        ),
    )  # fmt: skip
    out.say()
    reference = perplexity(result.levels[0].measured.perplexity.reference)
    floor = "" if result.floor is None else f"   noise floor {result.floor:.6f} nats per token"
    out.say(f"Reference perplexity {reference}{floor}")


def speed(value: float | None) -> str:
    """Return tokens per second, or a dash if the format has no kernel."""
    return "-" if value is None else f"{value:.1f}"


def perplexity(value: float) -> str:
    """Return a perplexity; that of a broken model can be of any size.

    >>> perplexity(10.9884), perplexity(20974251666711.6)
    ('10.988', '2.1e+13')
    """
    return f"{value:.3f}" if value < 1e6 else f"{value:.2g}"
