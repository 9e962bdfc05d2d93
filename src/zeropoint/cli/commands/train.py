"""`train`: trains a small model in low bits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from zeropoint.cli import options as shared
from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet
from zeropoint.cli.paths import InputRole, OutputKind, OutputRole, Overwrite
from zeropoint.cli.run_outputs import keeping
from zeropoint.cli.stages import Views, run_verb
from zeropoint.cli.views import train as view
from zeropoint.verbs.options.train import TrainOptions

DEFAULTS = TrainOptions()


def trained_outputs(values: Mapping[str, Any]) -> list[tuple[str, OutputKind]]:
    """Return the path that is written: a file, or with several formats a folder."""
    if not values.get("output"):
        return []
    several = values.get("demo") or len(values.get("format") or []) > 1
    return [(str(values["output"]), "place" if several else "file")]


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Make")(train)


def train(
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUTPUT",
            help="The trained model (.gguf). With several formats, the folder for the models.",
        ),
        OutputRole("file", paths=trained_outputs),
    ],
    format: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMAT",
            help="Format to train in: NVFP4, MXFP4, MXFP6, MXFP8, TERNARY or BF16; repeatable."
            " Default: NVFP4.",
        ),
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            metavar="FORMAT|none",
            help="Format of the baseline, which is trained on the same data.",
        ),
    ] = DEFAULTS.against,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help=f"Model to continue training from: {shared.MODEL_FORMS}. Default: a new model of"
            " 5.8 million parameters.",
        ),
        InputRole.MODEL,
    ] = None,
    text: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Text file to train on; repeatable. A twentieth is held out. Built-in text such as"
            " builtin:code works too. Default: the sources of Python's standard library.",
        ),
        InputRole.FILE,
    ] = None,
    tokens: Annotated[
        int, typer.Option(metavar="N", min=1, help="Number of tokens that each run is trained on.")
    ] = DEFAULTS.tokens,
    seeds: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Number of runs of each format; intervals need at least 2."
        ),
    ] = DEFAULTS.seeds,
    ctx: Annotated[
        int,
        typer.Option(
            min=32, help="Number of tokens per window, a multiple of 32. A step has four."
        ),
    ] = DEFAULTS.context,
    rate: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Highest learning rate in BF16. Default: 3e-3 for a new model, 1e-4 for an"
            " existing one.",
        ),
    ] = DEFAULTS.rate,
    ablate: Annotated[
        bool,
        typer.Option(
            "--ablate",
            help="Also train each format without one ingredient of its recipe at a time.",
        ),
    ] = DEFAULTS.ablate,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Train NVFP4 and TERNARY beside BF16, and write both models."),
    ] = DEFAULTS.demo,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the state and the curves, which `report` shows. Default: a folder next"
            " to the output, which is deleted at the end. An interrupted run continues from it.",
        ),
        OutputRole("folder"),
    ] = DEFAULTS.run,
    overwrite: Overwrite = DEFAULTS.overwrite,
    threads: shared.Threads = DEFAULTS.threads,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a small model in 4 or 8 bits or in ternary weights, beside the same model in BF16.

    All three products of each layer are rounded as the format's published recipe says. The file has
    the codes and scales that were trained; nothing is encoded afterwards.

    [bold]Examples:[/bold]

    zeropoint train small-models --demo

    zeropoint train small.gguf --format MXFP4 --tokens 1000000 --seeds 3 --run curves
    """
    from zeropoint.results.train import TrainResult
    from zeropoint.verbs.train import ModelWritten, TrainPlanned, train_records
    from zeropoint.verbs.work_folder import work_folder

    out = Output(as_json=as_json, quiet=quiet)
    options = TrainOptions(
        format=format, against=against,
        model=model, text=text, tokens=tokens, seeds=seeds, context=ctx, rate=rate, ablate=ablate,
        demo=demo, run=run, overwrite=overwrite, threads=threads,
    )  # fmt: skip
    views: Views = {TrainPlanned: view.show_plan, ModelWritten: view.show_written}
    with keeping(run or work_folder(output)):
        result = run_verb(train_records(output, options), out, out.progress(progress), views)
    assert isinstance(result, TrainResult)
    view.show_result(out, result)
    out.finish("train", result.to_json())
