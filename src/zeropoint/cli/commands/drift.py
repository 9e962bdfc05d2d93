"""`drift`: follow quantized models over many steps, compared with their reference."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from zeropoint.cli import options as shared
from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet
from zeropoint.cli.paths import InputRole, OutputRole
from zeropoint.cli.run_outputs import Report, keeping, run_folder, write_report
from zeropoint.cli.stages import follow, show
from zeropoint.cli.views import drift as view
from zeropoint.cli.views.default_count import count_views
from zeropoint.verbs.options.drift import DriftOptions

DEFAULTS = DriftOptions()


class Decoding(StrEnum):
    """Decoding modes that the command line accepts."""

    both = "both"
    greedy = "greedy"
    sampled = "sampled"


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Measure")(drift)


def drift(
    quants: Annotated[
        list[str],
        typer.Argument(
            metavar="QUANT...", help=f"The quantized models, each of them {shared.MODEL_FORMS}."
        ),
        InputRole.MODEL,
    ],
    ref: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="Reference, or any other model to compare the QUANT models with."
        ),
        InputRole.MODEL,
    ] = None,
    as_: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="WHAT",
            help="Quantize the given model in memory instead, to a preset, a format or a recipe,"
            " and compare it with itself.",
        ),
        InputRole.NAMES,
    ] = "",
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File of prompts, one per line, or .jsonl. Default: the built-in prompts.",
        ),
        InputRole.FILE,
    ] = DEFAULTS.prompts,  # type: ignore[assignment]
    count: shared.PromptCount = DEFAULTS.count,
    tokens: Annotated[
        int,
        typer.Option(
            "-n", "--tokens", min=1, help="Maximum number of tokens to generate for each prompt."
        ),
    ] = DEFAULTS.tokens,
    decoding: Annotated[
        Decoding,
        typer.Option(
            case_sensitive=False,
            help="Greedy decoding, sampling with the same noise for both models, or both.",
        ),
    ] = Decoding(DEFAULTS.decoding),
    temperature: Annotated[
        float, typer.Option(min=0.01, help="Sampling temperature of the sampled texts.")
    ] = DEFAULTS.temperature,
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed of the sampled texts.")
    ] = DEFAULTS.seed,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Maximum number of texts generated at once.")
    ] = DEFAULTS.batch_size,
    chat: Annotated[
        bool | None,
        typer.Option(
            help="Format prompts as chat messages. Default: on if the model has a chat template."
        ),
    ] = DEFAULTS.chat,
    mode: shared.Mode = shared.Arithmetic(DEFAULTS.mode),
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Store all texts in this run folder. An interrupted run resumes from it.",
        ),
        OutputRole("folder"),
    ] = DEFAULTS.run,
    report: Report = None,
    chains: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Number of chains (problems of several steps) of each kind. 0 disables chains."
            " Default: 16, 8 or 4 if they take about a minute, and otherwise 0.",
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
            help="Difficulty of the chains, 1 to 4. Default: for each kind the hardest level that"
            " the reference can do.",
        ),
    ] = DEFAULTS.level,
    requantize: Annotated[
        bool,
        typer.Option("--requantize", help="Accept a model that is already quantized."),
    ] = DEFAULTS.requantize,
    threads: shared.Threads = DEFAULTS.threads,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure drift over many generated tokens: when the texts of a quantized model diverge from
    the reference's, and how much.

    Both models continue the same prompts with the same random noise. The result has the share of
    texts that are identical after 1, 2, 4 … tokens; the KL divergence that accumulates along the
    quantized model's own text, relative to what single-token KL predicts; how many diverged texts
    still reach the same answer; and changes of length and repetition. Then both models run chains:
    problems of several steps (sums, look-ups, edits, tool calls) in which each step depends on the
    model's own earlier answers. The result has the accuracy after each step, and the first step at
    which the models differ significantly. A model never diverges from itself. Models with different
    tokenizers are compared by text and by answer.

    [bold]Examples:[/bold]

    zeropoint drift small.gguf --ref model-BF16.gguf --count 24 -n 64

    zeropoint drift model-BF16.gguf --as INT4_SYM_G32 --prompts mine.jsonl --report drift.html
    """
    from zeropoint.results.drift import DriftResult
    from zeropoint.verbs.drift import drift_records

    if (ref is None) == (not as_):
        raise typer.BadParameter("give either --ref MODEL or --as WHAT")
    if as_ and len(quants) > 1:
        raise typer.BadParameter("--as takes one model")
    out = Output(as_json=as_json, quiet=quiet)
    results = []
    with run_folder(run, report) as folder, keeping(run):
        options = DriftOptions(
            to=as_, requantize=requantize, prompts=prompts, count=count, tokens=tokens,
            decoding=decoding.value, temperature=temperature, seed=seed, batch_size=batch_size,
            chat=chat, mode=mode.value, chains=chains, steps=steps, level=level, run=folder,
            threads=threads,
        )  # fmt: skip
        views = count_views()
        for record in follow(drift_records(quants, ref, options), out, out.progress(progress)):
            show(out, record, views)
            view.show_record(out, record, options)
            if isinstance(record, DriftResult):
                results.append(record.to_json())
        if report and folder:
            write_report(out, [folder], report)
    out.finish("drift", results[0] if len(results) == 1 else {"results": results})
    if run:
        out.note(f"wrote {run}")
