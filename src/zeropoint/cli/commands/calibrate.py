"""`calibrate`: importance of the input columns of each matrix."""

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from zeropoint.cli import options as shared
from zeropoint.cli.options import ModelArgument
from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet
from zeropoint.cli.paths import OutputRole, Overwrite
from zeropoint.cli.stages import follow, show
from zeropoint.cli.views.calibrate import show_result
from zeropoint.cli.views.default_count import count_views
from zeropoint.formatting import format_bytes
from zeropoint.verbs.options.calibrate import CalibrateOptions

DEFAULTS = CalibrateOptions()


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Measure")(calibrate)


def calibrate(
    model: ModelArgument,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Path of the importance matrix to write (.gguf)."
        ),
        OutputRole("file"),
    ],
    text: shared.Text = None,
    ctx: Annotated[
        int, typer.Option(min=8, help="Number of tokens per chunk. All of them count.")
    ] = DEFAULTS.context,
    chunks: shared.CalibrationChunks = DEFAULTS.chunks,
    second_moments: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also write the second moments Σ x xᵀ of each input to this folder, for methods"
            " with error feedback.",
        ),
        OutputRole("folder"),
    ] = None,
    overwrite: Overwrite = DEFAULTS.overwrite,
    threads: shared.Threads = DEFAULTS.threads,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Collect the importance of each input column while the reference reads a text (an imatrix).

    The file has llama.cpp's GGUF layout, so llama-quantize accepts it too. Ctrl-C writes the
    chunks that were read so far to FILE with .partial before .gguf; `quantize` takes that file with
    a warning.

    [bold]Example:[/bold]

    zeropoint calibrate model-BF16.gguf -o model.imatrix.gguf --text book.txt --chunks 100
    """
    from zeropoint.calibration.run import ChunkRead
    from zeropoint.results.calibrate import CalibrateResult
    from zeropoint.verbs.calibrate import MomentsStarted, calibrate_records, partial_path

    out = Output(as_json=as_json, quiet=quiet)
    options = CalibrateOptions(
        text=text,
        context=ctx,
        chunks=chunks,
        second_moments=second_moments,
        overwrite=overwrite,
        threads=threads,
    )
    records = calibrate_records(model, output, options)
    last: ChunkRead | None = None
    views = count_views()
    try:
        for record in follow(records, out, out.progress(progress)):
            show(out, record, views)
            if isinstance(record, MomentsStarted):
                out.note(f"second moments take {format_bytes(record.nbytes)} in {record.folder}")
            elif isinstance(record, ChunkRead):
                last = record
            elif isinstance(record, CalibrateResult):
                show_result(out, record)
                out.note(f"wrote {output}")
                out.finish("calibrate", record.to_json())
    except KeyboardInterrupt:
        with contextlib.suppress(KeyboardInterrupt):
            records.throw(KeyboardInterrupt())  # writes, unless it was interrupted itself
        if last is not None:
            typer.echo(
                f"{partial_path(output)} holds the first {last.chunks} chunks; {output} was not"
                " written",
                err=True,
            )
        raise
