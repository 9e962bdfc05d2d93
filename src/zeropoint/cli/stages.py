"""Shows the progress of a verb that has several stages, with one bar per stage."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from zeropoint.cli.output import Output, ProgressStyle
from zeropoint.cli.progress import track

#: Prints one record of a verb, by the type of the record.
Views: TypeAlias = Mapping[type[Any], Callable[[Output, Any], None]]


def run_verb(records: Iterable[Any], out: Output, how: ProgressStyle, views: Views) -> Any:
    """Run a verb to its end: show its progress, print the records that have a view.

    Returns the last record, which is the result of the verb.
    """
    record: Any = None
    for record in follow(records, out, how):
        view = views.get(type(record))
        if view:
            view(out, record)
    return record


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
            yield from track(counted(), record.total, record.label, how, _detail)
        else:
            ahead = next(remaining, None)


def _detail(record: Any) -> str:
    return getattr(record, "detail", "")
