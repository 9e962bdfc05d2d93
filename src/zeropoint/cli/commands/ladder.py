"""`ladder`: one model in formats of fewer and fewer bits."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeropoint.cli import options as shared
from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet
from zeropoint.cli.paths import InputRole, OutputRole
from zeropoint.cli.run_outputs import Report, keeping, run_folder, write_report
from zeropoint.cli.stages import Views, run_verb
from zeropoint.cli.views import ladder as view
from zeropoint.cli.views.default_count import count_views
from zeropoint.cli.views.measure import show_reference, show_text
from zeropoint.cli.views.search import show_budget, show_plan
from zeropoint.verbs.options.ladder import DEFAULT_LEVELS, LadderOptions

if TYPE_CHECKING:
    from zeropoint.results.divergence import LadderResult

DEFAULTS = LadderOptions()


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Measure")(ladder)


def ladder(
    model: shared.ModelArgument,
    levels: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Levels, separated by commas: numbers of bits from 16 to 2, and names of presets"
            f" and formats. Default: {DEFAULT_LEVELS}; none with --with.",
        ),
        InputRole.NAMES,
    ] = None,
    with_: Annotated[
        str,
        typer.Option(
            "--with",
            metavar="LIST",
            help="Also measure: presets (llama.cpp's presets from Q6_K to IQ2_M; those that need"
            " importance only with --imatrix), best (for each file among the levels, the recipe of"
            " at most its size that a quick search on built-in text finds; needs --imatrix).",
        ),
    ] = "",
    share: Annotated[
        str,
        typer.Option(
            metavar="SHARE",
            help="Weights that share a scale at a level of bits: G32 (32 weights), G128, ROW,"
            " TENSOR, ...",
        ),
    ] = DEFAULTS.share,
    imatrix: shared.ImatrixOption = DEFAULTS.imatrix,
    text: shared.Text = None,
    ctx: shared.Context = DEFAULTS.context,
    chunks: shared.Chunks = DEFAULTS.chunks,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Store a run folder for each level in this folder. An interrupted run resumes"
            " from it.",
        ),
        OutputRole("folder"),
    ] = DEFAULTS.run,
    report: Report = None,
    floor_chunks: shared.FloorChunks = DEFAULTS.floor_chunks,
    requantize: shared.RequantizeInMemory = DEFAULTS.requantize,
    threads: shared.Threads = DEFAULTS.threads,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show what each bit is worth for your model: size, speed, perplexity, KL divergence and
    agreement, level by level.

    Each level is quantized in memory and measured against the model itself. A dash instead of a
    speed means that the format has no kernel for computing with it.

    [bold]Examples:[/bold]

    zeropoint ladder model-BF16.gguf --chunks 8

    zeropoint ladder model-BF16.gguf --levels 4,Q4_0,Q4_K_M,FP4_E2M1_G32 --text book.txt

    zeropoint ladder model-BF16.gguf --with presets,best --imatrix model.imatrix.gguf

    zeropoint ladder model-BF16.gguf --levels IQ3_S,IQ2_M,IQ1_S --imatrix model.imatrix.gguf
    """
    out = Output(as_json=as_json, quiet=quiet)
    with run_folder(run, report) as folder, keeping(run):
        options = LadderOptions(
            levels=levels, with_=with_, share=share, imatrix=imatrix, text=text, context=ctx,
            chunks=chunks, run=folder, floor_chunks=floor_chunks, requantize=requantize,
            threads=threads,
        )  # fmt: skip
        result = follow_ladder(out, model, options, out.progress(progress))
        view.show(out, result)
        if report and folder:
            write_report(out, [folder], report)
    out.finish("ladder", result.to_json())


def follow_ladder(
    out: Output, model: str, options: LadderOptions, progress: ProgressStyle
) -> "LadderResult":
    """Measure every level, and show the progress."""
    from zeropoint.results.divergence import LadderResult
    from zeropoint.verbs.ladder import LevelMeasured, LevelStarted, ladder_records
    from zeropoint.verbs.recipe_search import BudgetStarted, SearchPlanned
    from zeropoint.verbs.reference import ReferenceOpened, TextPrepared

    notes = view.LevelNotes()
    views: Views = {
        **count_views(),
        TextPrepared: show_text,
        ReferenceOpened: show_reference,
        LevelStarted: notes.show_start,
        LevelMeasured: notes.show_result,
        SearchPlanned: show_plan,
        BudgetStarted: show_budget,
    }
    result = run_verb(ladder_records(model, options), out, progress, views)
    assert isinstance(result, LadderResult)
    return result
