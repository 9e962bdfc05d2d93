"""`inspect`: what is in a model file."""

from typing import Annotated

import typer

from zeropoint.cli.options import ModelArgument
from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet
from zeropoint.cli.stages import follow
from zeropoint.cli.views.inspect import as_json_object, show_inventory, show_tensors


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Look")(inspect)


def inspect(
    model: ModelArgument,
    tensors: Annotated[
        str,
        typer.Option(
            metavar="GLOB", help="List the tensors whose name matches GLOB, such as '*attn*'."
        ),
    ] = "",
    outliers: Annotated[
        bool | None,
        typer.Option(
            help="Scan all weights for outliers. Default: only if the model has at most 2 billion"
            " weights (30 million without the compiled kernels)."
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Read all tensors and compare their SHA-256 digest with the one that the file"
            " states. Exit with status 1 if they differ.",
        ),
    ] = False,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show what a model file contains: architecture, formats, outliers, origin, measured loss.

    [bold]Examples:[/bold]

    zeropoint inspect model.gguf

    zeropoint inspect model.gguf --tensors 'blk.0.*' --no-outliers

    zeropoint inspect model.gguf --verify
    """
    from zeropoint.results.inventory import ModelInventory
    from zeropoint.verbs.inspect import inspect_records
    from zeropoint.verbs.options.inspect import InspectOptions

    out = Output(as_json=as_json, quiet=quiet)
    options = InspectOptions(tensors=tensors, outliers=outliers, verify=verify)
    records = inspect_records(model, options)
    for record in follow(records, out, out.progress(progress)):
        if isinstance(record, ModelInventory):
            show_inventory(out, record)
            if tensors:
                show_tensors(out, record)
            if not record.scanned:
                out.note("The weights were not scanned for outliers; --outliers scans them.")
            out.finish("inspect", as_json_object(record))
            if record.proof and record.proof.verified is False:
                raise typer.Exit(1)
