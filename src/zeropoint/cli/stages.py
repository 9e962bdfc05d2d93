"""Shows the progress of a verb that has several stages, with one bar per stage."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from zeropoint.cli.output import Output, ProgressStyle
from zeropoint.cli.progress import print_line, track

if TYPE_CHECKING:
    from zeropoint.verbs.records import StageStarted

#: Prints one record of a verb, by the type of the record.
Views: TypeAlias = Mapping[type[Any], Callable[[Output, Any], None]]


def run_verb(records: Iterable[Any], out: Output, how: ProgressStyle, views: Views) -> Any:
    """Run a verb to its end: show its progress, print the records that have a view.

    Returns the last record, which is the result of the verb.
    """
    record: Any = None
    for record in follow(records, out, how):
        show(out, record, views)
    return record


def show(out: Output, record: Any, views: Views) -> None:
    """Print a record, if there is a view for its type."""
    view = views.get(type(record))
    if view:
        view(out, record)


def follow(records: Iterable[Any], out: Output, how: ProgressStyle) -> Iterator[Any]:
    """Yield a verb's records; show the progress of its stages and print its warnings.

    A stage begins with the record `StageStarted` and lasts while the records count in `done`. The
    text `detail` of such a record, where it has one, is shown with the progress.
    """
    from zeropoint.verbs.records import Notice, StageStarted

    remaining = iter(records)
    ahead = next(remaining, None)

    def counted() -> Iterator[Any]:
        nonlocal ahead
        for ahead in remaining:
            if not hasattr(ahead, "done"):
                return
            yield ahead
        ahead = None

    while ahead is not None:
        record, ahead = ahead, None
        if isinstance(record, Notice):
            out.warn(record.message)
        yield record
        if isinstance(record, StageStarted):
            progress = track(
                counted(), record.total, record.label, how, _detail,
                unit=record.unit, seconds=record.seconds,
            )  # fmt: skip
            with stopped_stage(record) as keep:
                for counting in progress:
                    keep(counting)
                    yield counting
        else:
            ahead = next(remaining, None)


@contextmanager
def stopped_stage(stage: "StageStarted") -> Iterator[Callable[[Any], None]]:
    """Print, if the user interrupts a stage, how far it came and its figures so far.

    The block passes each record to what this returns. The text `summary` of the last one, or its
    `detail`, is printed.
    """
    last: Any = None

    def keep(record: Any) -> None:
        nonlocal last
        last = record

    try:
        yield keep
    except KeyboardInterrupt:
        if last is not None and last.done:
            amount = f" after {last.done} of {stage.total} {stage.unit}" if stage.unit else ""
            figures = getattr(last, "summary", "") or _detail(last)
            print_line(f"{stage.label} stopped{amount}" + (f": {figures}" if figures else ""))
        raise


def _detail(record: Any) -> str:
    return getattr(record, "detail", "")
