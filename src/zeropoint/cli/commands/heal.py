"""`heal`: wins back loss of a quantized file at the same size."""

from pathlib import Path
from typing import Annotated

import typer

from zeropoint.cli import options as shared
from zeropoint.cli.exits import NO
from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet
from zeropoint.cli.paths import InputRole, OutputRole, Overwrite
from zeropoint.cli.run_outputs import keeping
from zeropoint.cli.stages import Views, run_verb
from zeropoint.cli.views import heal as view
from zeropoint.verbs.options.heal import HealOptions
from zeropoint.verbs.options.quantize import Effort

DEFAULTS = HealOptions()


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Make")(heal)


def heal(
    quant: Annotated[
        str,
        typer.Argument(metavar="QUANT", help="The quantized GGUF file."),
        InputRole.MODEL,
    ],
    output: Annotated[
        Path,
        typer.Argument(metavar="OUTPUT", help="Path of the healed GGUF file to write."),
        OutputRole("file", unless="dry_run"),
    ],
    ref: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help=f"The 16-bit model that the file was made from: {shared.MODEL_FORMS}.",
        ),
        InputRole.MODEL,
    ],
    text: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Text file to train on; repeatable. It is cut into three parts: to train, to"
            " decide, and a last one that is not read. Built-in text such as builtin:code has"
            " these parts. Default: built-in prose, code, dialogue and science.",
        ),
        InputRole.FILE,
    ] = None,
    effort: Annotated[
        Effort,
        typer.Option(help="Number of tokens to train on: quick 16k, normal 64k, long 256k."),
    ] = DEFAULTS.effort,
    tokens: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Number of tokens to train on, such as 100000 or 64k. Default: by --effort.",
        ),
    ] = None,
    stages: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="What is trained, separated by commas. gain: one factor for each matrix. factors:"
            " the float16 scales of blocks. scales: the small integer scales of groups. norms: the"
            " gains of the norms, within the other stages. Default: all.",
        ),
    ] = None,
    ctx: Annotated[
        int, typer.Option(min=8, help="Number of tokens per window of text.")
    ] = DEFAULTS.context,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="Where the model is trained: cpu or cuda.")
    ] = DEFAULTS.device,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Predict time and memory from one step, and write nothing."),
    ] = False,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the state of the training. Default: a folder next to the output,"
            " which is deleted at the end. An interrupted command continues from it.",
        ),
        OutputRole("folder"),
    ] = DEFAULTS.run,
    overwrite: Overwrite = DEFAULTS.overwrite,
    threads: shared.Threads = DEFAULTS.threads,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Win back loss of a quantized file at the same size, by training its scales.

    The codes stay. Scales, minimums and the gains of norms are trained so that the KL divergence
    from the reference falls. Held-out text decides, also of a kind that is not trained on: if it
    shows no gain, nothing is written and the exit status is 1. Needs the extra torch.

    [bold]Examples:[/bold]

    zeropoint heal small.gguf healed.gguf --ref model-BF16.gguf

    zeropoint heal small.gguf healed.gguf --ref model-BF16.gguf --text book.txt --tokens 128k

    zeropoint heal small.gguf healed.gguf --ref model-BF16.gguf --dry-run
    """
    from zeropoint.results.heal import HealPlan, HealResult
    from zeropoint.verbs.heal import heal_records
    from zeropoint.verbs.work_folder import work_folder

    out = Output(as_json=as_json, quiet=quiet)
    options = HealOptions(
        text=text, effort=effort, tokens=tokens, stages=stages, context=ctx, device=device,
        run=run, overwrite=overwrite, threads=threads,
    )  # fmt: skip
    views: Views = {HealPlan: view.show_plan}
    records = heal_records(quant, output, ref, options, dry_run=dry_run)
    if dry_run:
        plan = run_verb(records, out, out.progress(progress), views)
        assert isinstance(plan, HealPlan)
        out.finish("heal", plan.to_json())
        return
    with keeping(run or work_folder(output)):
        result = run_verb(records, out, out.progress(progress), views)
    assert isinstance(result, HealResult)
    view.show(out, result)
    out.finish("heal", result.to_json())
    if result.output is None:
        raise typer.Exit(NO)
