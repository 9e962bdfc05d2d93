"""`report`: the results of runs, or the walk through a model, as one HTML file."""

from pathlib import Path
from typing import Annotated

import typer

from zeropoint.cli.options import Threads
from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet
from zeropoint.cli.paths import InputRole, OutputRole
from zeropoint.cli.run_outputs import note_page
from zeropoint.cli.stages import follow
from zeropoint.verbs.options.report import ReportOptions

DEFAULTS = ReportOptions()


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Measure")(report)


def report(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN...",
            help="Run folders, or folders of run folders. With --walk also a model and its"
            " quantized version: files, folders or hub ids.",
        ),
        InputRole.MODEL,
    ] = None,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", help="The page to write."),
        OutputRole("page"),
    ] = Path("report.html"),
    walk: Annotated[
        bool,
        typer.Option(
            "--walk",
            help="Write the walk instead: an introduction to quantization with figures of your"
            " model, or of an example.",
        ),
    ] = DEFAULTS.walk,
    threads: Threads = DEFAULTS.threads,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write the results of runs as one HTML page: verdict, intervals, text, tensors, method.

    A run folder is what quantize, measure, ladder, drift, tasks and compare write with --run. The
    page needs no network and no server, and its text and tables need no scripts.

    With --walk, whatever the model and the runs do not give comes from an example run, and the page
    says where.

    [bold]Examples:[/bold]

    zeropoint report runs/measured runs/quantized runs/ladder runs/drift -o report.html

    zeropoint report --walk model-BF16.gguf small.gguf runs/measured runs/ladder -o walk.html
    """
    from zeropoint.results.report import ReportResult
    from zeropoint.verbs.report import ExampleUsed, report_records

    out = Output(as_json=as_json, quiet=quiet)
    records = report_records(runs or [], output, ReportOptions(walk=walk, threads=threads))
    for record in follow(records, out, out.progress(progress)):
        if isinstance(record, ExampleUsed):
            out.note("from the example run: " + ", ".join(record.parts))
        elif isinstance(record, ReportResult):
            note_page(out, record)
            out.finish("report", record.to_json())
