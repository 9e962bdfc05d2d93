"""`quantize`: write a model in the formats of a preset or recipe."""

from pathlib import Path
from typing import Annotated

import typer

from zeropoint.cli.budget_options import (
    Bits,
    Budget,
    DeviceLimit,
    MemoryContext,
    ProfileOption,
    RuntimeMemory,
)
from zeropoint.cli.completion import complete_format, complete_target
from zeropoint.cli.options import ImatrixOption, ModelArgument, Threads
from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet
from zeropoint.cli.paths import InputRole, OutputRole, Overwrite
from zeropoint.cli.quantize_outputs import outputs_of, targets_of, written_paths
from zeropoint.cli.stages import follow
from zeropoint.cli.views.best import show_best, show_best_plan
from zeropoint.cli.views.quantize import show_preview, show_result
from zeropoint.formatting import format_bytes, format_seconds
from zeropoint.verbs.options.quantize import Effort, Inputs, QuantizeOptions, Rounding

DEFAULTS = QuantizeOptions()


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Make")(quantize)


def quantize(
    model: ModelArgument,
    output: Annotated[
        Path | None,
        typer.Argument(
            metavar="OUTPUT",
            help="The .gguf file to write. {type} in the name is replaced by the target. A name"
            " without a suffix writes a Hugging Face folder in F32, F16 or BF16. Not needed with"
            " --dry-run.",
        ),
        OutputRole("model", paths=written_paths),
    ] = None,
    *,
    to: Annotated[
        str,
        typer.Option(
            metavar="TARGET,...",
            help="Format to quantize to: a preset such as Q4_K_M, a format such as MXFP4, a .recipe"
            " file, or best: the formats with the least loss within a limit (--bits, --budget or"
            " --runtime-memory). Several targets, separated by commas, write one file each.",
            autocompletion=complete_target,
        ),
        InputRole.NAMES,
    ],
    imatrix: ImatrixOption = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder with second moments, as `calibrate --second-moments` writes it: for error"
            " feedback and, without --imatrix, as importance.",
        ),
        InputRole.MODEL,
    ] = None,
    text: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Text file, or built-in text such as builtin:code, to collect second moments from,"
            " before quantizing; repeatable. They are cached for later commands with the same model"
            " and text. Instead of --calibration.",
        ),
        InputRole.FILE,
    ] = None,
    rounding: Annotated[
        Rounding,
        typer.Option(
            help="nearest: each weight gets the nearest code. feedback: codes are chosen so that"
            " the errors of a row compensate each other; without --calibration and --text a"
            " built-in text is read first. auto: feedback for the formats that it is shown to"
            " improve, if --calibration or --text is given, otherwise nearest."
        ),
    ] = DEFAULTS.rounding,
    inputs: Annotated[
        Inputs,
        typer.Option(
            help="Inputs whose second moments error feedback uses. reference: those of the 16-bit"
            " model. sequential: those that the quantized layers before a layer produce; they are"
            " collected layer by layer while the model is quantized, from --text or the built-in"
            " text."
        ),
    ] = DEFAULTS.inputs,
    effort: Annotated[
        Effort,
        typer.Option(
            help="How much of the calibration text is read: at most 8,192 tokens (quick), 32,768"
            " (normal) or 131,072 (long), evenly spread over the text."
        ),
    ] = DEFAULTS.effort,
    threads: Threads = DEFAULTS.threads,
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
    ] = DEFAULTS.pure,
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
    ] = DEFAULTS.output_tensor_type,
    token_embedding_type: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT", help="Format of the token embedding.", autocompletion=complete_format
        ),
    ] = DEFAULTS.token_embedding_type,
    leave_output_tensor: Annotated[
        bool,
        typer.Option(
            "--leave-output-tensor", help="Copy the output matrix (output.weight) unchanged."
        ),
    ] = DEFAULTS.leave_output_tensor,
    requantize: Annotated[
        bool,
        typer.Option(
            "--requantize",
            help="Accept a model that is already quantized.",
        ),
    ] = DEFAULTS.requantize,
    split_max_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Write several files of at most this size, such as 2GiB. Default: one file.",
        ),
    ] = DEFAULTS.split_max_size,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the data of `report`: error, histogram and worst block"
            " of each tensor.",
        ),
        OutputRole("folder", unless="dry_run"),
    ] = None,
    overwrite: Overwrite = DEFAULTS.overwrite,
    bits: Bits = None,
    budget: Budget = DEFAULTS.budget,
    runtime_memory: RuntimeMemory = DEFAULTS.runtime_memory,
    device: DeviceLimit = DEFAULTS.device,
    ctx: MemoryContext = DEFAULTS.context,
    for_: Annotated[
        Path | None,
        typer.Option(
            "--for",
            metavar="FOLDER",
            help="With --to best: optimize for the text in this folder, such as a repository or"
            " notes. A recipe that loses over 5 % more on the other kinds of text is refused.",
        ),
        InputRole.TREE,
    ] = DEFAULTS.for_folder,
    profile: ProfileOption = DEFAULTS.profile,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Quantize a model to a GGUF file that llama.cpp and tools built on it load.

    OUTPUT appears only when it is complete: an interrupted command leaves an existing file as it
    was.

    With --to best one command collects importance, searches the formats, rounds, writes, and
    measures the file on text that nothing else read; --effort quick takes minutes.

    [bold]Examples:[/bold]

    zeropoint quantize model-BF16.gguf model-Q4_K_M.gguf --to Q4_K_M

    zeropoint quantize model-BF16.gguf --to Q4_K_M --dry-run

    zeropoint quantize model-BF16.gguf "model-{type}.gguf" --to Q4_K_M,Q5_K_M,Q6_K

    zeropoint quantize model-BF16.gguf small.gguf --to mine.recipe --imatrix model.imatrix.gguf

    zeropoint quantize model-BF16.gguf better.gguf --to IQ4_NL --rounding feedback

    zeropoint quantize model-BF16.gguf best.gguf --to best --bits 4

    zeropoint quantize ./qwen-folder qwen-Q4_K_M.gguf --to Q4_K_M

    zeropoint quantize model-Q8_0.gguf ./model-folder --to BF16
    """
    out = Output(as_json=as_json, quiet=quiet)
    options = QuantizeOptions(
        imatrix=imatrix,
        calibration=calibration,
        text=text,
        rounding=rounding,
        inputs=inputs,
        effort=effort,
        threads=threads,
        pure=pure,
        tensor_type=tensor_type,
        output_tensor_type=output_tensor_type,
        token_embedding_type=token_embedding_type,
        leave_output_tensor=leave_output_tensor,
        requantize=requantize,
        split_max_size=split_max_size,
        run=run,
        overwrite=overwrite,
        for_folder=for_,
        bits=bits,
        budget=budget,
        runtime_memory=runtime_memory,
        device=device,
        context=ctx,
        profile=profile,
    )
    targets = targets_of(to)
    results: list[dict[str, object]] = []
    if dry_run:
        results += [print_preview(out, model, target, options) for target in targets]
    elif output is None:
        raise typer.BadParameter("name the file to write, or add --dry-run", param_hint="OUTPUT")
    elif run and len(targets) > 1:
        raise typer.BadParameter("--run stores the data of one output; give one target with it")
    else:
        for target, path in zip(targets, outputs_of(output, targets), strict=True):
            style = out.progress(progress)
            results.append(print_quantized(out, model, path, target, options, style))
    out.finish("quantize", results[0] if len(results) == 1 else {"results": results})


def print_preview(out: Output, model: str, to: str, options: QuantizeOptions) -> dict[str, object]:
    """Print what would be written, and return it for `--json`."""
    from zeropoint.errors import OutputError
    from zeropoint.verbs.checkpoint_input import opened
    from zeropoint.verbs.quantize import NO_PREVIEW, check_no_limit, is_best
    from zeropoint.verbs.written_file import make_plan, plan_notices

    if is_best(to):
        raise OutputError(NO_PREVIEW)
    check_no_limit(options)
    with opened(model, "quantize") as source:
        plan = make_plan(source, to, options)
        for notice in plan_notices(plan):
            out.warn(notice.message)
        preview = plan.preview()
        show_preview(out, preview)
        for reason in plan.obstacles():
            out.warn(reason)
        return preview.to_json()


def print_quantized(
    out: Output,
    model: str,
    output: Path,
    to: str,
    options: QuantizeOptions,
    style: ProgressStyle,
) -> dict[str, object]:
    """Write the output, print the result, and return it for `--json`."""
    from zeropoint.quantizers import TensorWritten
    from zeropoint.results.allocation import BestResult
    from zeropoint.results.quantize import QuantizeResult
    from zeropoint.verbs.best import BestPlanned
    from zeropoint.verbs.quantize import quantize_checkpoint_records
    from zeropoint.verbs.recipe_search import SearchPlanned
    from zeropoint.verbs.second_moments import MomentsPlanned, RoundingPlanned

    written: list[TensorWritten] = []
    result: QuantizeResult | None = None
    for record in follow(quantize_checkpoint_records(model, output, to, options), out, style):
        if isinstance(record, TensorWritten):
            written.append(record)
        elif isinstance(record, MomentsPlanned):
            out.note(
                f"the model reads {record.tokens:,} tokens for second moments; until the output is"
                f" complete, this takes about {format_seconds(record.seconds)} and up to"
                f" {format_bytes(record.nbytes)} in {record.folder}"
            )
        elif isinstance(record, RoundingPlanned) and record.nbytes:
            out.note(
                f"rounding with error feedback takes about {format_seconds(record.seconds)}, and"
                f" {format_bytes(record.nbytes)} in {record.folder} until the output is complete"
            )
        elif isinstance(record, BestPlanned):
            show_best_plan(out, record)
        elif isinstance(record, SearchPlanned):
            out.note(f"recipes to compare by their true loss: at most {record.evaluations}")
        elif isinstance(record, BestResult):
            show_result(out, record, written, to)
            show_best(out, record)
            result = record
        elif isinstance(record, QuantizeResult):
            show_result(out, record, written, to)
            result = record
    assert result is not None
    return result.to_json()
