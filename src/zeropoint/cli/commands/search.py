"""`search`: which format each tensor gets, so that the loss is least within a budget."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeropoint.cli import options as shared
from zeropoint.cli.budget_options import (
    Bits,
    Budget,
    DeviceLimit,
    MemoryContext,
    ProfileOption,
    RuntimeMemory,
)
from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet
from zeropoint.cli.paths import InputRole, OutputKind, OutputRole, Overwrite
from zeropoint.cli.run_outputs import keeping
from zeropoint.cli.stages import Views, run_verb
from zeropoint.cli.views import search as view
from zeropoint.verbs.options.quantize import Effort
from zeropoint.verbs.options.search import Prediction, SearchOptions

if TYPE_CHECKING:
    from zeropoint.results.allocation import SearchResult

DEFAULTS = SearchOptions()

WeightOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KIND=NUMBER",
        help="Weight of a kind of text in the loss, such as code=2; others have 1. Repeatable.",
    ),
]


def recipe_outputs(values: Mapping[str, Any]) -> list[tuple[str, OutputKind]]:
    """Return the path that is written: a file, or with several budgets a folder."""
    if not values.get("output"):
        return []
    several = any(sign in str(values.get("bits") or "") for sign in (",", ".."))
    return [(str(values["output"]), "place" if several else "file")]


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Make")(search)


def search(
    model: shared.ModelArgument,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="RECIPE",
            help="The .recipe file to write, for `quantize --to`. With several budgets, the folder"
            " for the recipes.",
        ),
        OutputRole("file", paths=recipe_outputs),
    ],
    bits: Bits = None,
    budget: Budget = DEFAULTS.budget,
    runtime_memory: RuntimeMemory = DEFAULTS.runtime_memory,
    device: DeviceLimit = DEFAULTS.device,
    ctx: MemoryContext = DEFAULTS.context,
    profile: ProfileOption = DEFAULTS.profile,
    text: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Text file to optimize for; repeatable. It is cut into three parts: to predict"
            " losses, to decide, and to measure. Built-in text such as builtin:code has these"
            " parts. Default: builtin, all kinds but long.",
        ),
        InputRole.FILE,
    ] = None,
    imatrix: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Importance matrix (imatrix) to encode with. Default: it is collected from the"
            " text.",
        ),
        InputRole.MODEL,
    ] = DEFAULTS.imatrix,
    for_: Annotated[
        Path | None,
        typer.Option(
            "--for",
            metavar="FOLDER",
            help="Optimize for the text in this folder, such as a repository or"
            " notes. A recipe that loses over 5 % more on the other kinds of text is refused.",
        ),
        InputRole.TREE,
    ] = DEFAULTS.for_folder,
    weight: WeightOption = None,
    objective: Annotated[
        str,
        typer.Option(
            metavar="kl|tail|tasks:FILE",
            help="Loss to minimize. kl: the mean KL divergence. tail: the mean of the largest 1 %"
            " of the positions. tasks:FILE: the mean on the questions and right answers of a task"
            " file; some of its tasks are held out, and both models answer them.",
        ),
        InputRole.AFTER_COLON,
    ] = DEFAULTS.objective,
    allow_code: shared.AllowCode = DEFAULTS.allow_code,
    prediction: Annotated[
        Prediction,
        typer.Option(
            help="How losses are predicted. gradients: from a backward pass, which needs the extra"
            " torch. outputs: from the errors of the matrices' outputs, which ranks tensors less"
            " well. auto: gradients if torch is installed."
        ),
    ] = DEFAULTS.prediction,
    effort: Annotated[
        Effort, typer.Option(help="How much text is read, and how many recipes are evaluated.")
    ] = DEFAULTS.effort,
    evaluations: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Number of recipes to evaluate by their true loss. 0: the predicted losses decide."
            " Default: by --effort and the size of the model.",
        ),
    ] = DEFAULTS.evaluations,
    tie_fused: Annotated[
        bool,
        typer.Option(
            "--tie-fused",
            help="Give one format to matrices that vLLM multiplies as one: queries, keys and values"
            " of a layer, and gate and up.",
        ),
    ] = DEFAULTS.tie_fused,
    requantize: shared.RequantizeInMemory = DEFAULTS.requantize,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the state of the search, and for the data of `report`. Default: a"
            " folder next to the recipe, which is deleted at the end. An interrupted search"
            " continues from it.",
        ),
        OutputRole("folder"),
    ] = DEFAULTS.run,
    overwrite: Overwrite = DEFAULTS.overwrite,
    threads: shared.Threads = DEFAULTS.threads,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find out which tensor should get which format, so that a model of a given size loses least.

    The loss of each tensor in each format is predicted from one backward pass. An exact solver
    chooses the formats, and some recipes are compared by their true loss. `quantize --to best` does
    this and writes the model.

    [bold]Examples:[/bold]

    zeropoint search model-BF16.gguf -o small.recipe --bits 3.4

    zeropoint search model-BF16.gguf -o recipes --bits 2.5..5

    zeropoint search model-BF16.gguf -o laptop.recipe --runtime-memory 8GiB --ctx 8192
    """
    from zeropoint.verbs.work_folder import work_folder

    out = Output(as_json=as_json, quiet=quiet)
    options = SearchOptions(
        bits=bits, budget=budget, runtime_memory=runtime_memory, device=device, context=ctx,
        profile=profile, text=text, for_folder=for_, imatrix=imatrix, weight=weight,
        objective=objective, allow_code=allow_code, prediction=prediction,
        effort=effort, evaluations=evaluations, tie_fused=tie_fused, requantize=requantize, run=run,
        overwrite=overwrite, threads=threads,
    )  # fmt: skip
    with keeping(run or work_folder(output)):
        result = follow_search(out, model, output, options, out.progress(progress))
    view.show(out, result)
    out.finish("search", result.to_json())


def follow_search(
    out: Output, model: str, output: Path, options: SearchOptions, progress: ProgressStyle
) -> "SearchResult":
    """Run the search, and show the progress."""
    from zeropoint.results.allocation import SearchResult
    from zeropoint.verbs.recipe_search import BudgetStarted, SearchPlanned
    from zeropoint.verbs.search import search_records

    views: Views = {SearchPlanned: view.show_plan, BudgetStarted: view.show_budget}
    result = run_verb(search_records(model, output, options), out, progress, views)
    assert isinstance(result, SearchResult)
    return result
