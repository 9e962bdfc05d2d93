"""`report`: the evidence of runs, or the walk through a model, as one HTML file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet
from zeropoint.cli.paths import InputRole, OutputRole
from zeropoint.cli.progress import track
from zeropoint.cli.reporting import write_page

if TYPE_CHECKING:
    from zeropoint.results.runs import Run


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Measure")(report)


def report(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN...", help="Run folders; with --walk also models."),
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
            "--walk", help="Write the walk: quantization from the first bit, on your model."
        ),
    ] = False,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Default: all processors.")
    ] = None,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """The evidence as one page: verdict, loss with intervals, text, tensors, frontier, method.

    A run is what measure, quantize, ladder, drift, tasks and compare keep with --run; a folder of
    several runs stands for all of them. The file opens from a disk, needs no network and no server,
    and its words and tables need no scripts.

    --walk takes a model and, if you like, its quant and runs; what they do not give comes from an
    example run, and the page says where. Alone it writes the example.

    [bold]Examples:[/bold]

    zeropoint report runs/measured runs/quantized runs/ladder runs/drift -o report.html

    zeropoint report --walk model-BF16.gguf small.gguf runs/measured runs/ladder -o walk.html
    """
    from zeropoint.studio.data.measure_runs import open_runs
    from zeropoint.studio.data.weights import is_run

    out = Output(as_json=as_json, quiet=quiet)
    names = runs or []
    models = [name for name in names if walk and not is_run(Path(name))]
    opened = open_runs([Path(name) for name in names if name not in models])
    if walk:
        size = write_page(out, walk_page(out, models, opened, threads, progress), output)
    else:
        from zeropoint.studio.report.report import render_report

        size = write_page(out, render_report(opened), output)
    out.finish("report", {"output": str(output), "bytes": size, "runs": names})


def walk_page(
    out: Output,
    models: Sequence[str],
    runs: "Sequence[Run]",
    threads: int | None,
    progress: ProgressStyle,
) -> str:
    """Return the walk on these models: the reference, and its quant."""
    from zeropoint.checkpoints import open_model
    from zeropoint.errors import UnsupportedModel
    from zeropoint.models import load_model
    from zeropoint.studio.data import walk

    if len(models) > 2:
        raise typer.BadParameter(f"--walk takes a model and its quant, not {len(models)} models")
    if not models:
        return walk.render(walk.completed(walk.from_runs(runs)))
    checkpoints = [open_model(name, "quantize") for name in models]
    try:
        loaded = [load_model(checkpoint, threads=threads) for checkpoint in checkpoints]
    except UnsupportedModel as error:  # its weights can be looked at all the same
        out.warn(f"{error}; only its weights are shown")
        loaded = []
    quiet = out.progress(progress)
    page = walk.Walk(checkpoints[0], runs, *loaded[:2])
    for _ in track(page.steps(), page.total, "reading", quiet):
        pass
    if page.data["borrowed"]:
        out.note("from the example run: " + ", ".join(page.data["borrowed"]))
    return walk.render(page.data)
