"""`inspect`: what is in a model file."""

from typing import TYPE_CHECKING, Annotated

import typer

from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet
from zeropoint.cli.paths import InputRole
from zeropoint.cli.progress import track
from zeropoint.cli.views.inspect import as_result, show_model, show_tensors

if TYPE_CHECKING:
    from zeropoint.checkpoints import Checkpoint
    from zeropoint.quantizers import TensorScanned

SCANNED = 2_000_000_000  # weights that are looked at unasked: some seconds
SCANNED_SLOWLY = 30_000_000  # without the compiled kernels


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Look")(inspect)


def inspect(
    model: Annotated[
        str,
        typer.Argument(help="A GGUF file (or a shard), a Hugging Face folder, or org/name."),
        InputRole.MODEL,
    ],
    tensors: Annotated[
        str, typer.Option(metavar="GLOB", help="List the tensors with such names: '*attn*'.")
    ] = "",
    outliers: Annotated[
        bool | None,
        typer.Option(help="Look for outliers in the weights. Default: up to 2 G weights."),
    ] = None,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """What is in this file: architecture, tensors, formats, bits per weight, outliers, origin.

    [bold]Examples:[/bold]

    zeropoint inspect model.gguf

    zeropoint inspect model.gguf --tensors 'blk.0.*' --no-outliers
    """
    out = Output(as_json=as_json, quiet=quiet)
    with open_as_far_as_known(model, out) as source:
        elements = sum(info.elements for info in source.tensors.values())
        wanted = worth_a_scan(elements) if outliers is None else outliers
        seen = scan(source, out.progress(progress)) if wanted else {}
        show_model(out, source, seen)
        if tensors:
            show_tensors(out, source, tensors, seen)
        if not wanted:
            out.note("Outliers were not looked for; --outliers does.")
        if as_json:
            out.finish("inspect", as_result(source, tensors, seen if wanted else None))


def open_as_far_as_known(model: str, out: Output) -> "Checkpoint":
    """Open a model under GGUF's names, or as the files have it where they cannot be given."""
    from zeropoint.checkpoints import open_checkpoint, open_model, resolve_model
    from zeropoint.errors import UnsupportedModel

    path = resolve_model(model)
    if path.is_file():
        return open_checkpoint(path)
    try:
        return open_model(path, "inspect")
    except UnsupportedModel as reason:
        out.note(f"Shown as it is, because it cannot be converted: {reason}")
        return open_checkpoint(path)


def worth_a_scan(elements: int) -> bool:
    """Tell whether looking at all weights takes seconds and not minutes."""
    from zeropoint.kernels import variant

    return elements <= (SCANNED_SLOWLY if variant() == "numpy" else SCANNED)


def scan(source: "Checkpoint", style: ProgressStyle) -> dict[str, "TensorScanned"]:
    """Scan all matrices for outliers, and return the results by tensor name."""
    from zeropoint.quantizers import scan_outliers
    from zeropoint.quantizers.outliers import matrices

    elements = sum(info.elements for info in matrices(source))
    scans = track(scan_outliers(source), elements, "Looking for outliers", style)
    return {scan.name: scan for scan in scans}
