"""Run folders and reports: what the commands share that can write them beside their result."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from zeropoint.cli.output import Output, in_bytes
from zeropoint.cli.paths import OutputRole

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
    """Print, if the user interrupts a command with a run folder, that it can be resumed."""
    try:
        yield
    except KeyboardInterrupt:
        if run:
            typer.echo(f"{run} holds the finished work; the same command resumes it", err=True)
        raise


def write_report(out: Output, runs: Sequence[Path], report: Path) -> int:
    """Write the report of run folders, and return its size in bytes."""
    from zeropoint.studio.data.measure_runs import open_runs
    from zeropoint.studio.report.report import render_report

    return write_page(out, render_report(open_runs(runs)), report)


def write_page(out: Output, page: str, path: Path) -> int:
    """Write a page, and return its size in bytes. It replaces only a page that zeropoint wrote."""
    from zeropoint.checkpoints.files.atomic import write_file
    from zeropoint.studio.report.bundle import is_our_page

    data = page.encode("utf-8", "replace")  # names of files on a page may not be valid Unicode
    write_file(path, data, may_replace=is_our_page)
    out.note(f"wrote {path} ({in_bytes(len(data))}); open it in a browser")
    return len(data)
