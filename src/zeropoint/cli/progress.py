"""Shows the progress of a long command, and the time left, from the records that it yields."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from zeropoint.cli.output import ProgressStyle, console, plain
from zeropoint.formatting import format_seconds

QUIET_SECONDS = 2.0  # plain progress prints no line per tenth before
FIRST_LINE_SECONDS = 1.0  # plain progress prints how much there is to do, if it takes longer


class CountedRecord(Protocol):
    """A record of a long command that counts the work done."""

    @property
    def done(self) -> int:
        """Units of work done so far."""
        ...


S = TypeVar("S", bound=CountedRecord)


@dataclass(frozen=True)
class Work:
    """Work whose progress is shown."""

    label: str
    total: int
    unit: str = ""  # of `total`, in the plural; empty if a number of units would mean nothing
    seconds: float | None = None  # that one unit is expected to take, if that is known

    def amount(self, done: int) -> str:
        """Return how much is done: "3 of 32 chunks", or an empty text without a unit."""
        return f"{done} of {self.total} {self.unit}" if self.unit else ""


def track(
    records: Iterable[S],
    total: int,
    label: str,
    style: ProgressStyle,
    describe: Callable[[S], str] | None = None,
    *,
    unit: str = "",
    seconds: float | None = None,
) -> Iterator[S]:
    """Yield `records`, and show on stderr how much of `total` is done.

    `label` names the work. `describe` returns text to show with a record, such as a running figure.
    `unit` names what is counted, in the plural. `seconds` is what one unit is expected to take.
    """
    work = Work(label, total, unit, seconds)
    if style is ProgressStyle.auto:
        screen = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        style = ProgressStyle.auto if screen else ProgressStyle.plain
    match style:
        case ProgressStyle.none:
            yield from records
        case ProgressStyle.json:
            yield from track_as_json(records, total, label)
        case ProgressStyle.plain:
            yield from track_plainly(records, work, describe)
        case _:
            yield from track_as_bar(records, work, describe)


class Pace:
    """The time that work takes, from the moments at which its units ended.

    The first units also wait for what is prepared once, such as a model that is read. So the time
    of a unit is the average of those after the first, as soon as there are any.
    """

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._first: tuple[int, float] | None = None  # units done at the first record, and when

    def elapsed(self) -> float:
        """Return the seconds since the work began."""
        return time.monotonic() - self._started

    def seconds_left(self, done: int, total: int) -> float | None:
        """Return the seconds left when `done` of `total` units are done; None before the first."""
        if not done:
            return None
        now = time.monotonic()
        self._first = self._first or (done, now)
        units, moment = self._first
        if done == units:
            units, moment = 0, self._started
        return (now - moment) / (done - units) * (total - done)


def print_line(text: str) -> None:
    """Print one line on stderr in a single write.

    `print` writes the text and the end of the line separately, and Ctrl-C between the two would
    leave a line that the next message continues.
    """
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def track_as_json(records: Iterable[S], total: int, label: str) -> Iterator[S]:
    """Print one JSON object per record and line."""
    pace = Pace()
    for record in records:
        fields: dict[str, Any] = vars(record)  # a frozen dataclass without slots
        left = pace.seconds_left(record.done, total)
        line = {"record": type(record).__name__, **fields, "step": label, "total": total,
                "seconds_left": left}  # fmt: skip
        print_line(json.dumps(plain(line)))
        yield record


def track_plainly(
    records: Iterable[S], work: Work, describe: Callable[[S], str] | None
) -> Iterator[S]:
    """Print how much there is to do, the time left as soon as it is known, and then every tenth.

    Work of less than FIRST_LINE_SECONDS prints nothing.
    """
    pace, shown, timed = Pace(), 0, False
    with first_line(work) as cancel:
        for record in records:
            if record.done:
                cancel()
            elapsed, left = pace.elapsed(), pace.seconds_left(record.done, work.total)
            tenth = 10 * record.done // max(work.total, 1)
            amount = work.amount(record.done)
            place = ""
            if tenth > shown and elapsed >= QUIET_SECONDS:
                place = f"{10 * tenth} %" + (f" ({amount})" if amount else "")
                shown, timed = tenth, True
            elif record.done and not timed and elapsed >= FIRST_LINE_SECONDS:
                place, timed = amount or "0 %", True
            if place:
                rest = f", about {format_seconds(left)} left" if left and tenth < 10 else ""
                detail = f"   {describe(record)}" if describe else ""
                print_line(f"{work.label}: {place}{rest}{detail}")
            yield record


@contextmanager
def first_line(work: Work) -> Iterator[Callable[[], None]]:
    """Print how much work there is, if no record arrives within FIRST_LINE_SECONDS.

    The block calls what this returns when the first record has arrived.
    """
    amount = f" {work.amount(0) or '0 %'}"
    expected = ""
    if work.seconds is not None:
        expected = f", about {format_seconds(work.seconds * work.total)} left"
    timer = threading.Timer(FIRST_LINE_SECONDS, print_line, [f"{work.label}:{amount}{expected}"])
    timer.daemon = True
    timer.start()
    try:
        yield timer.cancel
    finally:
        timer.cancel()


def track_as_bar(
    records: Iterable[S], work: Work, describe: Callable[[S], str] | None
) -> Iterator[S]:
    """Draw one bar, which is removed when the work is done."""
    from rich import progress as bars

    bar = bars.Progress(
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(bar_width=20),
        bars.TextColumn("{task.fields[amount]}", markup=False),
        bars.TextColumn("{task.fields[left]}", markup=False),
        console=console(sys.stderr),
        transient=True,
    )
    pace = Pace()
    expected = None if work.seconds is None else work.seconds * work.total
    with bar:
        first = f"about {format_seconds(expected)} left" if expected else ""
        task = bar.add_task(
            work.label, total=work.total, left=first, amount=work.amount(0) or "0 %"
        )
        for record in records:
            left = pace.seconds_left(record.done, work.total)
            rest = (
                f"about {format_seconds(left)} left" if left else first if not record.done else ""
            )
            detail = f"{describe(record)}   " if describe else ""
            percent = f"{100 * record.done // max(work.total, 1)} %"
            bar.update(
                task,
                completed=record.done,
                amount=work.amount(record.done) or percent,
                left=detail + rest,
            )
            yield record
