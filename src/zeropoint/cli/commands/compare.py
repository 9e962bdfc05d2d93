"""`compare`: several quantized models against one reference, or several models by memory."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeropoint.cli import options as shared
from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet
from zeropoint.cli.paths import InputRole, OutputRole
from zeropoint.cli.run_outputs import Report, keeping, run_folder, write_report
from zeropoint.cli.stages import Views, run_verb
from zeropoint.cli.views import compare as view
from zeropoint.cli.views.default_count import count_views
from zeropoint.cli.views.measure import show_reference, show_text
from zeropoint.verbs.options.compare import CompareOptions

if TYPE_CHECKING:
    from zeropoint.results.divergence import CompareResult
    from zeropoint.results.tasks import AcrossResult

DEFAULTS = CompareOptions()


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Measure")(compare)


def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...", help=f"The models to compare, each of them {shared.MODEL_FORMS}."
        ),
        InputRole.MODEL,
    ],
    ref: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The reference that all models were made from. Without it, models of any kind are"
            " compared by memory.",
        ),
        InputRole.MODEL,
    ] = None,
    text: shared.Text = None,
    ctx: shared.Context = DEFAULTS.context,
    chunks: shared.Chunks = DEFAULTS.chunks,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Store a run folder for each model in this folder. An interrupted run resumes"
            " from it.",
        ),
        OutputRole("folder"),
    ] = DEFAULTS.run,
    report: Report = None,
    tasks: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Without --ref: evaluate the tasks of this file too, or python for the built-in"
            " problems.",
        ),
        InputRole.FILE,
    ] = DEFAULTS.tasks,
    allow_code: shared.AllowCode = DEFAULTS.allow_code,
    chains: Annotated[
        int,
        typer.Option(
            min=0, help="Without --ref: number of chains of each kind. 0 disables chains."
        ),
    ] = DEFAULTS.chains,
    steps: Annotated[
        int, typer.Option(min=1, max=20, help="Number of steps of each chain.")
    ] = DEFAULTS.steps,
    level: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=4,
            help="Difficulty of the chains, 1 to 4. Default: chosen for the first model.",
        ),
    ] = DEFAULTS.level,
    memory_ctx: Annotated[
        int,
        typer.Option(
            min=1,
            help="Without --ref: number of tokens whose key-value cache counts as memory.",
        ),
    ] = DEFAULTS.memory_context,
    tokens: Annotated[
        int,
        typer.Option("-n", "--tokens", min=1, help="Maximum number of tokens per answer."),
    ] = DEFAULTS.tokens,
    chat: Annotated[
        bool | None,
        typer.Option(
            help="Format tasks as chat messages. Default: on if the model has a chat template."
        ),
    ] = DEFAULTS.chat,
    floor_chunks: shared.FloorChunks = DEFAULTS.floor_chunks,
    threads: shared.Threads = DEFAULTS.threads,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare several quantized models with their reference, or several models by memory.

    With --ref, models are ordered by their KL divergence from the reference. A paired test cannot
    separate models that share a letter. A star marks the frontier: no file of at most that size has
    a significantly smaller loss.

    Without --ref, models of any kind are compared by memory: nats per byte of the same text, for
    any tokenizer, scores of tasks, and chains. --chunks then counts windows of about 2 KiB.

    [bold]Examples:[/bold]

    zeropoint compare a-Q4_K_M.gguf b-Q4_K_M.gguf --ref model-BF16.gguf --text book.txt

    zeropoint compare 0.5B-BF16.gguf 1.5B-Q4_K_M.gguf --text code.py --tasks python --allow-code
    --report sizes.html
    """
    if ref is not None and (tasks or chains):
        raise typer.BadParameter(
            "--tasks and --chains compare models without --ref; with a reference, use the commands"
            " `tasks` and `drift`"
        )
    out = Output(as_json=as_json, quiet=quiet)
    with run_folder(run, report) as folder, keeping(run):
        options = CompareOptions(
            text=text, context=ctx, chunks=chunks, floor_chunks=floor_chunks, tasks=tasks,
            allow_code=allow_code, chains=chains, steps=steps, level=level,
            memory_context=memory_ctx, tokens=tokens, chat=chat, run=folder, threads=threads,
        )  # fmt: skip
        result = follow_compare(out, models, ref, options, out.progress(progress))
        if report and folder:
            write_report(out, [folder], report)
    out.finish("compare", result.to_json())


def follow_compare(
    out: Output,
    models: list[str],
    ref: str | None,
    options: CompareOptions,
    progress: ProgressStyle,
) -> "CompareResult | AcrossResult":
    """Compare the models, and show the progress and the result."""
    from zeropoint.results.divergence import CompareResult
    from zeropoint.results.tasks import AcrossResult
    from zeropoint.verbs.compare import compare_records
    from zeropoint.verbs.compare_models import WindowsPrepared
    from zeropoint.verbs.records import ModelStarted
    from zeropoint.verbs.reference import ReferenceOpened, TextPrepared

    models_view = view.ModelViews()
    views: Views = {
        **count_views(),
        TextPrepared: show_text,
        WindowsPrepared: view.show_windows,
        ReferenceOpened: show_reference,
        ModelStarted: models_view.show_model,
        CompareResult: view.show_quants,
        AcrossResult: models_view.show_result,
    }
    result = run_verb(compare_records(models, ref, options), out, progress, views)
    assert isinstance(result, CompareResult | AcrossResult)
    return result
