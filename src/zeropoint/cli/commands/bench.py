"""`bench`: how fast a model reads and writes here, and what the machine could do."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeropoint.cli.commands.run import Arithmetic
from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet, in_bytes
from zeropoint.cli.paths import InputRole, OutputRole
from zeropoint.cli.progress import track

if TYPE_CHECKING:
    from zeropoint.results.bench import BenchResult, MachinePeaks, ModelSpeed, Spread


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Run")(bench)


def bench(
    model: Annotated[Path, typer.Argument(help="A GGUF file, folder or hub id."), InputRole.MODEL],
    prompt: Annotated[
        int, typer.Option("-p", "--prompt", min=0, help="Tokens to read at once; 0: none.")
    ] = 512,
    generate: Annotated[
        int, typer.Option("-n", "--generate", min=0, help="Tokens to write after it; 0: none.")
    ] = 64,
    repetitions: Annotated[int, typer.Option("-r", "--repetitions", min=1)] = 3,
    versus: Annotated[
        Path | None,
        typer.Option("--vs", metavar="MODEL", help="Another model, in turn."),
        InputRole.MODEL,
    ] = None,
    peer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The same file in llama.cpp, in turn."),
    ] = None,
    mode: Annotated[
        Arithmetic, typer.Option(help="Round activations to 8 bits (fast) or not (exact).")
    ] = Arithmetic.fast,
    threads: Annotated[int | None, typer.Option(min=1, help="Default: all processors.")] = None,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the result in a run folder."),
        OutputRole("folder"),
    ] = None,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """How fast a model reads and writes on this machine, beside the machine's own peaks.

    Tokens per second are medians of the repetitions. Bandwidth counts every weight once per token
    and is set beside a plain read of memory; operations are set beside float32 multiply-adds,
    which products of small integers may exceed. Models that are compared run in processes of their
    own and take turns, so that their ratio holds on a busy machine too.

    [bold]Examples:[/bold]

    zeropoint bench model-Q4_K_M.gguf

    zeropoint bench model-Q4_K_M.gguf --vs model-BF16.gguf

    zeropoint bench model-Q4_K_M.gguf --peer llama.cpp --threads 4
    """
    from zeropoint.metrics.speed.bench import Bench, workload_of
    from zeropoint.plans.speed import calibration as evidence

    out = Output(as_json=as_json, quiet=quiet)
    workload = workload_of(
        prompt=prompt, generate=generate, repetitions=repetitions, threads=threads, mode=mode.value
    )
    job = Bench(model, workload, versus=versus, peer=peer)
    folder = None
    if run:
        from zeropoint.results.run_store import RunFolder

        inputs = {"models": [asdict(contestant) for contestant in job.contestants]}
        folder = RunFolder.start(run, "bench", inputs, asdict(workload))
    how = out.progress(progress)
    for _ in track(job.run(), job.total, "Timing", how):
        pass
    found = replace(job.results(), work=evidence.work_of(str(model), prompt, generate))
    evidence.note(found)  # `plan` predicts by what was timed
    show(out, found)
    if folder:
        folder.finish(found)
        out.note(f"wrote {run}")
    out.finish("bench", found.to_json())


def show(out: Output, found: "BenchResult") -> None:
    """Print a column of figures for each model, then the ratios."""
    others = [other for other in (found.vs, found.peer) if other]
    sides: list[ModelSpeed] = [found, *others]
    peaks = found.peaks
    out.say(
        f"{found.threads} threads, {found.mode} products, {found.kernels} kernels, "
        f"{found.repetitions} repetitions: median (lowest to highest)"
    )
    out.say()
    headers = [f"{Path(side.model).name} ({side.engine})" for side in sides]
    rows: list[tuple[str, list[str]]] = [
        ("File", [in_bytes(side.file_bytes) for side in sides]),
        ("Loading", [f"{side.load_seconds:.2f} s" for side in sides]),
        ("Peak memory", [in_bytes(side.peak_memory_bytes) for side in sides]),
        (f"Prompt of {found.prompt_tokens}", [rate(side.prompt) for side in sides]),
        ("  operations", [operations(side, peaks) for side in sides]),
        (f"Generating {found.generated_tokens}", [rate(side.generation) for side in sides]),
        ("  read per token", [in_bytes(side.bytes_per_token) for side in sides]),
        ("  bandwidth", [bandwidth(side) for side in sides]),
    ]
    out.table(("", *headers), ((name, *cells) for name, cells in rows))
    for other in others:
        ratios = (("prompt", other.ratio.prompt), ("generation", other.ratio.generation))
        parts = [
            f"{name} {ratio.median:.2f}× ({ratio.min:.2f} to {ratio.max:.2f})"
            for name, ratio in ratios
            if ratio
        ]
        whom = other.engine if other.engine != "zeropoint" else Path(other.model).name
        out.say()
        out.say(f"Speed beside {whom}: {', '.join(parts)}")


def rate(spread: "Spread | None") -> str:
    """Say tokens per second with their spread.

    >>> from zeropoint.results.bench import Spread
    >>> rate(Spread(18.04, 17.9, 18.1))
    '18.0 tokens/s (17.9 to 18.1)'
    """
    if spread is None:
        return "-"
    return f"{spread.median:.1f} tokens/s ({spread.min:.1f} to {spread.max:.1f})"


def operations(side: "ModelSpeed", peaks: "MachinePeaks | None") -> str:
    """Say arithmetic per second, and its share of what multiply-adds reach."""
    value = side.prompt_flops_per_second
    if value is None:
        return "-"
    share = f", {side.flops_fraction:.0%} of {peaks.flops / 1e9:.0f}" if peaks else ""
    return f"{value / 1e9:.0f} GFLOP/s{share}"


def bandwidth(side: "ModelSpeed") -> str:
    """Say bytes per second, and their share of a plain read between the repetitions."""
    value, share = side.bytes_per_second, side.bandwidth_fraction
    if value is None:
        return "-"
    return f"{value / 1e9:.1f} GB/s" + (f", {share:.0%} of a plain read" if share else "")
