"""`bench`: time models on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from zeropoint.cli import options as shared
from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet
from zeropoint.cli.paths import InputRole, OutputRole
from zeropoint.cli.stages import follow
from zeropoint.cli.views import bench as view
from zeropoint.verbs.options.bench import BenchOptions

DEFAULTS = BenchOptions()


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Run")(bench)


def bench(
    model: shared.ModelArgument,
    prompt_tokens: Annotated[
        int,
        typer.Option(
            "-p",
            "--prompt-tokens",
            min=0,
            help="Tokens of the prompt, processed at once. 0 disables the timing of prompts.",
        ),
    ] = DEFAULTS.prompt_tokens,
    tokens: Annotated[
        int,
        typer.Option(
            "-n",
            "--tokens",
            min=0,
            help="Tokens generated after the prompt. 0 disables the timing of generation.",
        ),
    ] = DEFAULTS.tokens,
    repetitions: Annotated[
        int, typer.Option("-r", "--repetitions", min=1, help="Number of timed rounds per model.")
    ] = DEFAULTS.repetitions,
    versus: Annotated[
        str | None,
        typer.Option(
            "--vs",
            metavar="MODEL",
            help="Compare with another model; the two models take turns.",
        ),
        InputRole.MODEL,
    ] = DEFAULTS.versus,  # type: ignore[assignment]
    peer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Compare with another engine on the same file: llama.cpp. The engines take turns.",
        ),
    ] = DEFAULTS.peer,
    kv: shared.KvCache = DEFAULTS.kv,
    kv_rotation: shared.KvRotation = DEFAULTS.kv_rotation,
    mode: shared.Mode = shared.Arithmetic(DEFAULTS.mode),
    threads: shared.Threads = DEFAULTS.threads,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Store the result in this run folder."),
        OutputRole("folder"),
    ] = DEFAULTS.run,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure the speed of a model on this machine: prompt processing and generation in tokens per
    second.

    Each figure is the median of the repetitions. Generation is also given as memory bandwidth, with
    every weight counted once per token, relative to the machine's read bandwidth. Prompt processing
    is also given as operations per second, relative to the machine's float32 multiply-adds; integer
    products can exceed these. Models that are compared run in processes of their own and take
    turns, so their ratio is valid on a busy machine too.

    [bold]Examples:[/bold]

    zeropoint bench model-Q4_K_M.gguf

    zeropoint bench model-Q4_K_M.gguf --vs model-BF16.gguf

    zeropoint bench model-Q4_K_M.gguf --peer llama.cpp --threads 4
    """
    from zeropoint.results.bench import BenchResult
    from zeropoint.verbs.bench import bench_records

    out = Output(as_json=as_json, quiet=quiet)
    options = BenchOptions(
        prompt_tokens=prompt_tokens, tokens=tokens, repetitions=repetitions, versus=versus,
        peer=peer, kv=kv, kv_rotation=kv_rotation, mode=mode.value, threads=threads, run=run,
    )  # fmt: skip
    *_, result = follow(bench_records(model, options), out, out.progress(progress))
    assert isinstance(result, BenchResult)
    view.show(out, result)
    if run:
        out.note(f"wrote {run}")
    out.finish("bench", result.to_json())
