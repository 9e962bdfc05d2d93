"""`quantize`: write a model in the formats of a preset or recipe."""

from pathlib import Path
from typing import Annotated

import typer

from zeropoint.cli.completion import complete_format, complete_target
from zeropoint.cli.options import ImatrixOption, ModelArgument, Threads
from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet
from zeropoint.cli.paths import InputRole, OutputRole, Overwrite
from zeropoint.cli.quantizing import (
    choose,
    dry_run_of,
    refuse_for_folder,
    show_cautions,
    write,
    write_folder,
)


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Make")(quantize)


def quantize(
    model: ModelArgument,
    output: Annotated[
        Path | None,
        typer.Argument(
            help="The .gguf file to write. A name without a suffix writes a Hugging Face folder in"
            " F32, F16 or BF16. Not needed with --dry-run."
        ),
        OutputRole("model", unless="dry_run"),
    ] = None,
    *,
    to: Annotated[
        str,
        typer.Option(
            metavar="TARGET",
            help="What to quantize to: a preset such as Q4_K_M, a format such as MXFP4, or a"
            " .recipe file.",
            autocompletion=complete_target,
        ),
        InputRole.NAMES,
    ],
    imatrix: ImatrixOption = None,
    threads: Threads = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print each tensor's format with the reason and the exact file size; write"
            " nothing.",
        ),
    ] = False,
    pure: Annotated[
        bool,
        typer.Option(
            "--pure", help="Use the preset's base format for every tensor, without its exceptions."
        ),
    ] = False,
    tensor_type: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN=FORMAT",
            help="Use FORMAT for tensors whose name matches the regular expression PATTERN."
            " Repeatable; the first match counts.",
        ),
    ] = None,
    output_tensor_type: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT", help="Format of the output matrix.", autocompletion=complete_format
        ),
    ] = None,
    token_embedding_type: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT", help="Format of the token embedding.", autocompletion=complete_format
        ),
    ] = None,
    leave_output_tensor: Annotated[
        bool,
        typer.Option(
            "--leave-output-tensor", help="Copy the output matrix (output.weight) unchanged."
        ),
    ] = False,
    requantize: Annotated[
        bool,
        typer.Option(
            "--requantize",
            help="Accept a model that is already quantized. Its weights lose precision twice.",
        ),
    ] = False,
    split_max_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Write several files of at most this size, such as 2GiB. Default: one file.",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder to write the evidence to, for `report`: error, histogram and worst block"
            " of each tensor.",
        ),
        OutputRole("folder", unless="dry_run"),
    ] = None,
    overwrite: Overwrite = False,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Quantize a model to a GGUF file that llama.cpp and tools built on it load.

    OUTPUT appears only when it is complete: an interrupted command leaves an existing file as it
    was.

    [bold]Examples:[/bold]

    zeropoint quantize model-BF16.gguf model-Q4_K_M.gguf --to Q4_K_M

    zeropoint quantize model-BF16.gguf --to Q4_K_M --dry-run

    zeropoint quantize model-BF16.gguf small.gguf --to mine.recipe --imatrix model.imatrix.gguf

    zeropoint quantize ./qwen-folder qwen-Q4_K_M.gguf --to Q4_K_M

    zeropoint quantize model-Q8_0.gguf ./model-folder --to BF16
    """
    from zeropoint.checkpoints import open_model
    from zeropoint.checkpoints.portability import find_unread_keys
    from zeropoint.quantizers import check_writable

    out = Output(as_json=as_json, quiet=quiet)
    if output is None and not dry_run:
        raise typer.BadParameter(
            "missing: name the file to write, or add --dry-run", param_hint="OUTPUT"
        )
    how = out.progress(progress)
    with open_model(model, "quantize") as source:
        if output is not None and not output.suffix and not dry_run:
            unused = {
                "--imatrix": imatrix,
                "--pure": pure,
                "--tensor-type": tensor_type,
                "--output-tensor-type": output_tensor_type,
                "--token-embedding-type": token_embedding_type,
                "--leave-output-tensor": leave_output_tensor,
                "--split-max-size": split_max_size,
                "--run": run,
            }
            refuse_for_folder(output, [option for option, value in unused.items() if value])
            write_folder(
                out, source, output, to, threads=threads, progress=how, overwrite=overwrite
            )
            return
        plan = choose(
            source,
            to,
            imatrix,
            pure=pure,
            tensor_types=tensor_type or (),
            output_tensor_type=output_tensor_type,
            token_embedding_type=token_embedding_type,
            leave_output=leave_output_tensor,
            max_shard=split_max_size,
            requantize=requantize,
            details=run is not None,
            overwrite=overwrite,
        )
        if unread := find_unread_keys(source.metadata):
            out.warn(
                f"llama.cpp does not read {', '.join(unread)}: it runs another model with this file"
            )
        if output is None or dry_run:
            show_cautions(out, plan)
            dry_run_of(out, plan)
        else:
            check_writable(source, plan.choices, plan.options)
            show_cautions(out, plan)
            write(out, plan, output, threads=threads, progress=how, run=run)
