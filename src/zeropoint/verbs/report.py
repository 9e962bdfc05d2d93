"""`report`: the results of runs, or the walk through a model, as one HTML file."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from zeropoint.checkpoints import open_model
from zeropoint.checkpoints.files.atomic import write_file
from zeropoint.errors import OutputError, UnsupportedModel
from zeropoint.models import load_model
from zeropoint.results.report import ReportResult
from zeropoint.results.runs import Run
from zeropoint.studio.data import walk as walks
from zeropoint.studio.data.measure_runs import open_runs
from zeropoint.studio.data.weights import is_run
from zeropoint.studio.report.bundle import is_our_page
from zeropoint.studio.report.report import render_report
from zeropoint.studio.report.walk_file import render_walk
from zeropoint.verbs.options.report import ReportOptions
from zeropoint.verbs.records import Notice, OnRecord, StageStarted, drain

DEFAULT_OUTPUT = "report.html"


@dataclass(frozen=True)
class ExampleUsed:
    """Parts of a walk come from the example run, because the models and runs do not have them."""

    parts: tuple[str, ...]


_WalkRecord: TypeAlias = Notice | StageStarted | walks.WalkProgress | ExampleUsed
ReportRecord: TypeAlias = _WalkRecord | ReportResult


def report(
    runs: str | Path | Sequence[str | Path] = (),
    output: str | Path = DEFAULT_OUTPUT,
    *,
    walk: bool = False,
    threads: int | None = None,
    progress: OnRecord | None = None,
) -> ReportResult:
    """Write the results of run folders, or a walk through a model, as one HTML file.

    `runs` are run folders, or folders of run folders. With `walk` they may also name a model and
    its quantized version; without any, the walk shows an example. The page needs no network and no
    server. `ReportOptions` explains the options.

    Raises CheckpointError for a run that is damaged, and OutputError for an existing file that is
    not a page of zeropoint, or for more than two models.
    """
    several = [runs] if isinstance(runs, str | Path) else runs
    options = ReportOptions(walk=walk, threads=threads)
    return drain(report_records(several, output, options), ReportResult, progress)


def report_records(
    runs: Sequence[str | Path], output: str | Path, options: ReportOptions
) -> Iterator[ReportRecord]:
    """Run `report`; yield progress records, and the result last."""
    names = [str(name) for name in runs]
    models = [name for name in names if options.walk and not is_run(Path(name))]
    opened = open_runs([Path(name) for name in names if name not in models])
    if not options.walk:
        page = render_report(opened)
    elif not models:
        page = render_walk(walks.completed(walks.from_runs(opened)))
    else:
        page = yield from _walk_page(models, opened, options.threads)
    yield ReportResult(str(output), write_page(page, output), tuple(names))


def write_page(page: str, path: str | Path) -> int:
    """Write a page, and return its size in bytes. It replaces only a page that zeropoint wrote.

    Raises OutputError for any other existing file.
    """
    data = page.encode("utf-8", "replace")  # names of files on a page may not be valid Unicode
    write_file(Path(path), data, may_replace=is_our_page)
    return len(data)


def _walk_page(
    models: Sequence[str], runs: Sequence[Run], threads: int | None
) -> Generator[_WalkRecord, None, str]:
    """Yield the progress of a walk on a model and its quantized version, and return the page."""
    if len(models) > 2:
        raise OutputError(
            f"a walk shows a model and its quantized version, and cannot show {len(models)} models"
        )
    checkpoints = [open_model(name, "quantize") for name in models]
    try:
        loaded = [load_model(checkpoint, threads=threads) for checkpoint in checkpoints]
    except UnsupportedModel as error:  # its weights can be shown all the same
        yield Notice(f"{error}; only its weights are shown")
        loaded = []
    walk = walks.Walk(checkpoints[0], runs, *loaded[:2])
    yield StageStarted("reading", walk.total)
    yield from walk.steps()
    if walk.data["borrowed"]:
        yield ExampleUsed(tuple(walk.data["borrowed"]))
    return render_walk(walk.data)
