"""Run folders and reports: the code of all commands that can write them with their result."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeropoint.cli.output import Output
from zeropoint.cli.paths import OutputRole
from zeropoint.formatting import format_bytes

if TYPE_CHECKING:
    from zeropoint.results.report import ReportResult

Report = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="FILE", help="Write a report of the result, as one HTML page."
    ),
    OutputRole("page"),
]


@contextmanager
def run_folder(run: Path | None, report: Path | None) -> Iterator[Path | None]:
    """Return the run folder: `run`, a temporary one if only a report is wanted, or None."""
    if run is not None or report is None:
        yield run
        return
    with tempfile.TemporaryDirectory(prefix="zeropoint-") as folder:
        yield Path(folder) / "run"


@contextmanager
def keeping(run: Path | None) -> Iterator[None]:
    """Print, if the user interrupts a command, where the work is kept, or how to keep it."""
    try:
        yield
    except KeyboardInterrupt:
        if run:
            typer.echo(f"{run} holds the finished work; the same command resumes it", err=True)
        else:
            typer.echo("nothing is stored; with --run DIR, an interrupted run resumes", err=True)
        raise


def write_report(out: Output, runs: Sequence[Path], report: Path) -> int:
    """Write the report of run folders, and return its size in bytes."""
    from zeropoint.verbs import report as verb

    result = verb.report(runs, report)
    note_page(out, result)
    return result.bytes


def note_page(out: Output, page: "ReportResult") -> None:
    """Print which page was written."""
    out.note(f"wrote {page.output} ({format_bytes(page.bytes)}); open it in a browser")
