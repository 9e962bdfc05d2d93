"""Shows the progress of a long command, and the time left, from the records that it yields."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from zeropoint.cli.output import ProgressStyle, console, plain
from zeropoint.formatting import format_seconds

QUIET_SECONDS = 2.0  # plain progress prints nothing before


class CountedRecord(Protocol):
    """A record of a long command that counts the work done."""

    @property
    def done(self) -> int:
        """Units of work done so far."""
        ...


S = TypeVar("S", bound=CountedRecord)


def track(
    records: Iterable[S],
    total: int,
    label: str,
    style: ProgressStyle,
    describe: Callable[[S], str] | None = None,
) -> Iterator[S]:
    """Yield `records`, and show on stderr how much of `total` is done.

    `label` names the work. `describe` returns text to show with a record, such as a running figure.
    """
    if style is ProgressStyle.auto:
        screen = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        style = ProgressStyle.auto if screen else ProgressStyle.plain
    match style:
        case ProgressStyle.none:
            yield from records
        case ProgressStyle.json:
            yield from track_as_json(records, total, label)
        case ProgressStyle.plain:
            yield from track_plainly(records, total, label, describe)
        case _:
            yield from track_as_bar(records, total, label, describe)


class RunningEstimate(CountedRecord, Protocol):
    """A record that carries the estimate of the KL divergence so far."""

    @property
    def kl(self) -> float: ...
    @property
    def half_width(self) -> float | None: ...
    @property
    def tokens(self) -> int: ...


R = TypeVar("R", bound=RunningEstimate)


def track_running(
    records: Iterable[R], total: int, label: str, style: ProgressStyle
) -> Iterator[R]:
    """Track progress like `track`, and show the running KL divergence and its 95 % interval."""
    return track(records, total, label, style, describe=running)


def running(record: Any) -> str:
    """Return the running KL divergence (nats per token) and its interval as text.

    >>> from types import SimpleNamespace as Record
    >>> running(Record(kl=0.031, half_width=0.002, tokens=6912))
    'KL 0.03100 ± 0.00200, 6912 tokens'
    """
    width = "" if record.half_width is None else f" ± {record.half_width:.5f}"
    return f"KL {record.kl:.5f}{width}, {record.tokens} tokens"


def seconds_left(started: float, done: int, total: int) -> float | None:
    """Return the seconds left at the average speed so far; None before the first unit is done."""
    return (time.monotonic() - started) / done * (total - done) if done else None


def print_line(text: str) -> None:
    """Print one line on stderr in a single write.

    `print` writes the text and the end of the line separately, and Ctrl-C between the two would
    leave a line that the next message continues.
    """
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def track_as_json(records: Iterable[S], total: int, label: str) -> Iterator[S]:
    """Print one JSON object per record and line."""
    started = time.monotonic()
    for record in records:
        fields: dict[str, Any] = vars(record)  # a frozen dataclass without slots
        left = seconds_left(started, record.done, total)
        line = {"record": type(record).__name__, **fields, "step": label, "total": total,
                "seconds_left": left}  # fmt: skip
        print_line(json.dumps(plain(line)))
        yield record


def track_plainly(
    records: Iterable[S], total: int, label: str, describe: Callable[[S], str] | None
) -> Iterator[S]:
    """Print one line per tenth of the work, if the work takes longer than QUIET_SECONDS."""
    started, shown = time.monotonic(), 0
    for record in records:
        tenth = 10 * record.done // max(total, 1)
        if tenth > shown and time.monotonic() - started >= QUIET_SECONDS:
            shown = tenth
            left = seconds_left(started, record.done, total)
            rest = f", about {format_seconds(left)} left" if left and tenth < 10 else ""
            detail = f"   {describe(record)}" if describe else ""
            print_line(f"{label}: {10 * tenth} %{rest}{detail}")
        yield record


def track_as_bar(
    records: Iterable[S], total: int, label: str, describe: Callable[[S], str] | None
) -> Iterator[S]:
    """Draw one bar, which is removed when the work is done."""
    from rich import progress as bars

    bar = bars.Progress(
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(bar_width=30),
        bars.TaskProgressColumn(),
        bars.TextColumn("{task.fields[left]}", markup=False),
        console=console(sys.stderr),
        transient=True,
    )
    started = time.monotonic()
    with bar:
        task = bar.add_task(label, total=total, left="")
        for record in records:
            left = seconds_left(started, record.done, total)
            rest = f"about {format_seconds(left)} left" if left else ""
            detail = f"{describe(record)}   " if describe else ""
            bar.update(task, completed=record.done, left=detail + rest)
            yield record
