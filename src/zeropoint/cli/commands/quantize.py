"""`quantize`: write a model in the formats of a preset or recipe."""

from pathlib import Path
from typing import Annotated

import typer

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
    model: Annotated[
        str,
        typer.Argument(help="A GGUF file (or a shard), a Hugging Face folder, or org/name."),
        InputRole.MODEL,
    ],
    output: Annotated[
        Path | None,
        typer.Argument(
            help="The .gguf file to write; a name without a suffix is a new Hugging Face folder"
            " (F32, F16 or BF16). Not needed with --dry-run."
        ),
        OutputRole("model", unless="dry_run"),
    ] = None,
    to: Annotated[
        str,
        typer.Option(
            metavar="WHAT",
            help="A preset (Q4_K_M, IQ4_XS, Q8_0, ...), a format (MXFP4, ...) or FILE.recipe.",
        ),
        InputRole.NAMES,
    ] = "",
    imatrix: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Importance: an imatrix in GGUF."),
        InputRole.MODEL,
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Threads to encode with. Default: all processors."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show each tensor's format and why; write nothing.")
    ] = False,
    pure: Annotated[
        bool, typer.Option("--pure", help="The preset's own format for every tensor; no rules.")
    ] = False,
    tensor_type: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN=TYPE", help="Another type for such tensors; repeatable."),
    ] = None,
    output_tensor_type: Annotated[
        str | None, typer.Option(metavar="TYPE", help="The type of the output matrix.")
    ] = None,
    token_embedding_type: Annotated[
        str | None, typer.Option(metavar="TYPE", help="The type of the token embedding.")
    ] = None,
    leave_output_tensor: Annotated[
        bool, typer.Option("--leave-output-tensor", help="Keep output.weight as it is.")
    ] = False,
    requantize: Annotated[
        bool, typer.Option("--requantize", help="Accept a model that is quantized already.")
    ] = False,
    split_max_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Write several files of at most 2GiB, say.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep error, histogram and worst block of each tensor."),
        OutputRole("folder", unless="dry_run"),
    ] = None,
    overwrite: Overwrite = False,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write the model in the formats of a preset or recipe, for llama.cpp and all that use it.

    OUTPUT is the old file or the complete new one, whatever happens in between.

    [bold]Examples:[/bold]

    zeropoint quantize model-BF16.gguf model-Q4_K_M.gguf --to Q4_K_M

    zeropoint quantize model-BF16.gguf --to Q4_K_M --dry-run

    zeropoint quantize model-BF16.gguf small.gguf --to mine.recipe --imatrix model.imatrix.gguf

    zeropoint quantize ./qwen-folder qwen-Q4_K_M.gguf --to Q4_K_M

    zeropoint quantize model-Q8_0.gguf ./model-folder --to BF16
    """
    from zeropoint.checkpoints import open_model
    from zeropoint.checkpoints.portability import find_unread_keys
    from zeropoint.quantizers import refuse

    out = Output(as_json=as_json, quiet=quiet)
    if not to:
        raise typer.BadParameter("say what to make, such as Q4_K_M or Q8_0", param_hint="--to")
    if output is None and not dry_run:
        raise typer.BadParameter("say which file to write, or add --dry-run", param_hint="OUTPUT")
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
            refuse(source, plan.choices, plan.options)
            show_cautions(out, plan)
            write(out, plan, output, threads=threads, progress=how, run=run)
