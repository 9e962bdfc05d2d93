"""`ladder`: the same model at fewer and fewer bits."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeropoint.cli import options as measuring
from zeropoint.cli.output import (
    AsJson,
    AsProgress,
    Output,
    ProgressStyle,
    Quiet,
    in_bytes,
    in_seconds,
)
from zeropoint.cli.paths import InputRole, OutputRole
from zeropoint.cli.progress import QUIET_SECONDS, seconds_left
from zeropoint.cli.reporting import Report, run_folder, write_report
from zeropoint.cli.views.measure import interval, number

if TYPE_CHECKING:
    from zeropoint.metrics.divergence.ladder import Level
    from zeropoint.results.divergence import LadderResult
    from zeropoint.results.run_store import RunFolder


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Measure")(ladder)


def ladder(
    model: Annotated[
        Path, typer.Argument(help="The reference: a GGUF file or a folder."), InputRole.MODEL
    ],
    levels: Annotated[
        str,
        typer.Option(metavar="LIST", help="Bits (16 to 2) and names that --as takes."),
        InputRole.NAMES,
    ] = "16,8,6,5,4,3,2",
    share: Annotated[
        str, typer.Option(help="Weights that share a scale: G32, G128, ROW, TENSOR, ...")
    ] = "G32",
    text: measuring.Text = None,
    ctx: measuring.Context = 512,
    chunks: measuring.Chunks = None,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep a run folder for each level in DIR; the same command goes on from there.",
        ),
        OutputRole("folder"),
    ] = None,
    report: Report = None,
    floor_chunks: Annotated[
        int, typer.Option(min=0, help="Chunks for the noise floor; 0: no floor.")
    ] = 4,
    requantize: Annotated[
        bool, typer.Option("--requantize", help="Accept a model that is quantized already.")
    ] = False,
    threads: measuring.Threads = None,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """What each bit is worth on your model: size, speed, perplexity, KL, agreement, by level.

    Each level is made in memory and measured against the model itself. A dash for speed: this
    format is judged here, and has no kernel. Names of presets and formats are levels too.

    [bold]Examples:[/bold]

    zeropoint ladder model-BF16.gguf --chunks 8

    zeropoint ladder model-BF16.gguf --levels 4,Q4_0,Q4_K_M,FP4_E2M1_G32 --text book.txt
    """
    from zeropoint.metrics.divergence.ladder import parse_levels

    out = Output(as_json=as_json, quiet=quiet)
    rungs = parse_levels(levels, share)
    reference = measuring.Reference(out, model, threads, (text or [], ctx, chunks), floor_chunks)
    with run_folder(run, report) as keep:
        result = climb(out, reference, rungs, keep, (progress, quiet), requantize=requantize)
        if report and keep:
            write_report(out, [keep], report)
    out.finish("ladder", result.to_json())


def climb(
    out: Output,
    reference: measuring.Reference,
    rungs: "Sequence[Level]",
    run: Path | None,
    shown: tuple[ProgressStyle, bool],
    *,
    requantize: bool,
) -> "LadderResult":
    """Measure every level, print the table, and return the result."""
    from zeropoint.cli.inmemory import plan_copy
    from zeropoint.metrics.divergence.ladder import largest_step
    from zeropoint.results.divergence import LadderLevel, LadderResult

    kept = start_run(run, reference, rungs) if run else None
    copies = [plan_copy(reference.source, r.format, None, requantize=requantize) for r in rungs]
    clock = Clock(len(rungs))
    rows: list[LadderLevel] = []
    for index, (rung, copy) in enumerate(zip(rungs, copies, strict=True)):
        out.note(f"[{index + 1}/{len(rungs)}] {rung.format}, {in_bytes(copy.plan.tensor_bytes)}"
                 f"{clock.left(index)}")  # fmt: skip
        folder = run / f"{index:02}-{rung.format}" if run else None
        found, speed = reference.level(copy, folder, shown)
        rows.append(
            LadderLevel(
                level=rung.label,
                kind=rung.kind,
                format=rung.format,
                bytes=copy.plan.tensor_bytes,
                bits_per_weight=copy.plan.bits_per_weight,
                prompt_tokens_per_second=speed.prompt if speed else None,
                generation_tokens_per_second=speed.generation if speed else None,
                measured=found,
            )
        )
        out.note(f"      KL {number(found.kl.mean)}{interval(found.kl, '.5f', ' (', ')')}   "
                 f"top-1 {found.top1:.2%}")  # fmt: skip
    step = largest_step(rungs, [row.measured.top1 for row in rows])
    result = LadderResult(floor=reference.floor, largest_step=step, levels=tuple(rows))
    show(out, result)
    if kept:
        kept.finish(result)
    return result


def start_run(path: Path, reference: measuring.Reference, rungs: "Sequence[Level]") -> "RunFolder":
    """Begin the run of the whole ladder, whose levels are runs of their own inside it."""
    from zeropoint.results.run_store import RunFolder

    inputs = {"reference": reference.side.to_json(), "text": {"corpus": reference.text.corpus}}
    settings = {"context": reference.text.context, "formats": [rung.format for rung in rungs]}
    return RunFolder.start(path, "ladder", inputs, settings)


class Clock:
    """Says how long the levels that are left will take."""

    def __init__(self, levels: int) -> None:
        self._levels = levels
        self._started = time.monotonic()

    def left(self, done: int) -> str:
        """Return the time left after `done` levels, or nothing where it is not known yet."""
        seconds = seconds_left(self._started, done, self._levels)
        return f"   about {in_seconds(seconds)} left" if seconds and seconds > QUIET_SECONDS else ""


def show(out: Output, found: "LadderResult") -> None:
    """Print the table."""
    out.say()
    out.table(
        ("Level", "Integers", "Format", ">Size", ">Bits", ">Prompt tok/s", ">Gen tok/s",
         ">Perplexity", ">KL mean", ">95 % interval", ">Top-1", ""),
        (
            (row.level, row.kind, row.format, in_bytes(row.bytes), f"{row.bits_per_weight:.2f}",
             speed(row.prompt_tokens_per_second), speed(row.generation_tokens_per_second),
             perplexity(m.perplexity.quant), number(m.kl.mean), interval(m.kl, ".5f") or "-",
             f"{m.top1:.2%}", "← largest step down" if index == found.largest_step else "")
            for index, row in enumerate(found.levels)
            for m in [row.measured]
        ),
    )  # fmt: skip
    out.say()
    ppl = found.levels[0].measured.perplexity.reference
    noise = "" if found.floor is None else f"   noise floor {found.floor:.6f} nats"
    out.say(f"Reference perplexity {perplexity(ppl)}{noise}")


def speed(value: float | None) -> str:
    """Return tokens per second, or a dash."""
    return "-" if value is None else f"{value:.1f}"


def perplexity(value: float) -> str:
    """Return a perplexity; a model that is lost may have one of any size.

    >>> perplexity(10.9884), perplexity(20974251666711.6)
    ('10.988', '2.1e+13')
    """
    return f"{value:.3f}" if value < 1e6 else f"{value:.2g}"
