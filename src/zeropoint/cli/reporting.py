"""What the verbs share that write a report beside their answer."""

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
    typer.Option("--report", metavar="FILE", help="Write the evidence as one HTML page."),
    OutputRole("page"),
]


@contextmanager
def run_folder(run: Path | None, report: Path | None) -> Iterator[Path | None]:
    """Give the folder to keep a run in: the one wanted, or one for the time of a report."""
    if run is not None or report is None:
        yield run
        return
    with tempfile.TemporaryDirectory(prefix="zeropoint-") as folder:
        yield Path(folder) / "run"


@contextmanager
def keeping(run: Path | None) -> Iterator[None]:
    """Say, where the user stops a run that is kept, that the same command goes on."""
    try:
        yield
    except KeyboardInterrupt:
        if run:
            typer.echo(f"{run} holds what is done; the same command goes on", err=True)
        raise


def write_report(out: Output, runs: Sequence[Path], report: Path) -> int:
    """Write the report of these runs, and return its size."""
    from zeropoint.studio.data.measure_runs import open_runs
    from zeropoint.studio.report.report import render_report

    return write_page(out, render_report(open_runs(runs)), report)


def write_page(out: Output, page: str, path: Path) -> int:
    """Write a page, and return its size in bytes; it replaces only a page that zeropoint wrote."""
    from zeropoint.checkpoints.files.atomic import write_file
    from zeropoint.studio.report.bundle import is_our_page

    data = page.encode("utf-8", "replace")  # a page shows file names
    write_file(path, data, may_replace=is_our_page)
    out.note(f"wrote {path}: {in_bytes(len(data))}, opens in a browser from the disk")
    return len(data)
