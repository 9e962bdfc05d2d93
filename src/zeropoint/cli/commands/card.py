"""`card`: a picture of each file and a model card, from what the files state."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from zeropoint.cli.output import AsJson, Output, ProgressStyle, Quiet
from zeropoint.cli.paths import InputRole, OutputKind, OutputRole, Overwrite
from zeropoint.cli.stages import run_verb
from zeropoint.cli.views import card as view
from zeropoint.verbs.options.card import CardOptions

DEFAULTS = CardOptions()


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Measure")(card)


def written_paths(values: Mapping[str, Any]) -> list[tuple[str, OutputKind]]:
    """Return the paths that this command writes, from the values of its parameters."""
    from zeropoint.verbs.card import CARD_NAME, file_names

    folder = str(values["output"])
    names = [*file_names(values["files"])[1], CARD_NAME]
    return [(folder, "place"), *((os.path.join(folder, name), "file") for name in names)]


def card(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Quantized files of one model. The loss of each is shown if `zeropoint measure"
            " --store` stored it in the file.",
        ),
        InputRole.MODEL,
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Folder for the card, README.md, and for the pictures.",
        ),
        OutputRole("place", paths=written_paths),
    ] = Path("card"),
    base_model: Annotated[
        str | None,
        typer.Option(
            metavar="ORG/NAME",
            help="Hub id of the 16-bit model. Default: what the metadata of the first file state.",
        ),
    ] = DEFAULTS.base_model,
    license: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="License of the model as the hub names it, such as apache-2.0. Default: what the"
            " metadata of the first file state.",
        ),
    ] = DEFAULTS.license,
    quantized_by: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Person or organization that quantized the model. Default: what the metadata of"
            " the first file state.",
        ),
    ] = DEFAULTS.quantized_by,
    overwrite: Overwrite = DEFAULTS.overwrite,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write a model card for the hub and a picture of each file: loss, bytes, examples.

    Everything comes from the metadata of the files; nothing is measured. A file without a stored
    loss gets a card that says so.

    [bold]Examples:[/bold]

    zeropoint card model-Q4_K_M.gguf

    zeropoint card model-*.gguf -o upload --base-model org/model --license apache-2.0
    """
    from zeropoint.results.card import CardResult
    from zeropoint.verbs.card import card_records

    out = Output(as_json=as_json, quiet=quiet)
    options = CardOptions(
        base_model=base_model, license=license, quantized_by=quantized_by, overwrite=overwrite
    )
    records = card_records(files, output, options)
    result = run_verb(records, out, ProgressStyle.none, {CardResult: view.show})
    out.finish("card", result.to_json())
