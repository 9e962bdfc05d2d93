"""Progress with time left, drawn from the records that a long verb yields.

auto    a bar on a terminal, otherwise plain
plain   one line per tenth of the work, on stderr
json    one JSON object per record and line, on stderr, for programs
none    nothing
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import Annotated, Any, Protocol, TypeVar

import typer

from zeropoint.cli.output import console, in_seconds, plain


class Progress(StrEnum):
    """How progress is shown."""

    auto = "auto"
    plain = "plain"
    json = "json"
    none = "none"


AsProgress = Annotated[
    Progress, typer.Option("--progress", help="How to show progress, always on stderr.")
]


PATIENCE = 2.0  # seconds before plain progress says a word


class Step(Protocol):
    """A record of a long verb that knows how far the work has come."""

    @property
    def done(self) -> int:
        """Units of work done so far."""
        ...


S = TypeVar("S", bound=Step)


def track(
    records: Iterable[S],
    total: int,
    label: str,
    how: Progress,
    told: Callable[[S], str] | None = None,
) -> Iterator[S]:
    """Yield `records` and show how much of `total` they have done, and what `told` says of each."""
    if how is Progress.auto:
        screen = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        how = Progress.auto if screen else Progress.plain
    match how:
        case Progress.none:
            yield from records
        case Progress.json:
            yield from track_as_json(records, total, label)
        case Progress.plain:
            yield from track_plainly(records, total, label, told)
        case _:
            yield from track_as_bar(records, total, label, told)


class Running(Step, Protocol):
    """A record that carries the figure found so far."""

    @property
    def kl(self) -> float: ...
    @property
    def half_width(self) -> float | None: ...
    @property
    def tokens(self) -> int: ...


R = TypeVar("R", bound=Running)


def track_running(records: Iterable[R], total: int, label: str, how: Progress) -> Iterator[R]:
    """Do what `track` does, with the running KL and its interval beside the bar."""
    return track(records, total, label, how, told=running)


def running(record: Any) -> str:
    """Say what is found so far.

    >>> from types import SimpleNamespace as Record
    >>> running(Record(kl=0.031, half_width=0.002, tokens=6912))
    'KL 0.03100 ± 0.00200, 6912 tokens'
    """
    width = "" if record.half_width is None else f" ± {record.half_width:.5f}"
    return f"KL {record.kl:.5f}{width}, {record.tokens} tokens"


def seconds_left(started: float, done: int, total: int) -> float | None:
    """Extrapolate: the time so far per unit, times the units left."""
    return (time.monotonic() - started) / done * (total - done) if done else None


def track_as_json(records: Iterable[S], total: int, label: str) -> Iterator[S]:
    """Write one line of JSON per record."""
    started = time.monotonic()
    for record in records:
        fields: dict[str, Any] = vars(record)  # a frozen dataclass without slots
        left = seconds_left(started, record.done, total)
        line = {"record": type(record).__name__, **fields, "step": label, "total": total,
                "seconds_left": left}  # fmt: skip
        print(json.dumps(plain(line)), file=sys.stderr, flush=True)
        yield record


def track_plainly(
    records: Iterable[S], total: int, label: str, told: Callable[[S], str] | None
) -> Iterator[S]:
    """Write one line per tenth of the work, if it takes more than a moment."""
    started, shown = time.monotonic(), 0
    for record in records:
        tenth = 10 * record.done // max(total, 1)
        if tenth > shown and time.monotonic() - started >= PATIENCE:
            shown = tenth
            left = seconds_left(started, record.done, total)
            rest = f", about {in_seconds(left)} left" if left and tenth < 10 else ""
            found = f"   {told(record)}" if told else ""
            print(f"{label}: {10 * tenth} %{rest}{found}", file=sys.stderr, flush=True)
        yield record


def track_as_bar(
    records: Iterable[S], total: int, label: str, told: Callable[[S], str] | None
) -> Iterator[S]:
    """Draw one bar that vanishes when the work is done."""
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
            rest = f"about {in_seconds(left)} left" if left else ""
            found = f"{told(record)}   " if told else ""
            bar.update(task, completed=record.done, left=found + rest)
            yield record
