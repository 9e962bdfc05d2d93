"""`compare`: several quants against one reference."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeropoint.cli import options as measuring
from zeropoint.cli.commands.tasks import AllowCode
from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet, in_bytes
from zeropoint.cli.paths import InputRole, OutputRole
from zeropoint.cli.reporting import Report, keeping, run_folder, write_report
from zeropoint.cli.views.measure import interval, number

if TYPE_CHECKING:
    from zeropoint.results.divergence import CompareResult


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Measure")(compare)


def compare(
    quants: Annotated[
        list[Path], typer.Argument(metavar="QUANT...", help="Models to compare."), InputRole.MODEL
    ],
    ref: Annotated[
        Path | None,
        typer.Option(metavar="MODEL", help="The reference. Without: models by memory."),
        InputRole.MODEL,
    ] = None,
    text: measuring.Text = None,
    ctx: measuring.Context = 512,
    chunks: measuring.Chunks = None,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep a run folder for each quant in DIR."),
        OutputRole("folder"),
    ] = None,
    report: Report = None,
    tasks: Annotated[
        str,
        typer.Option(metavar="FILE", help="Without --ref: a task file, or python (built in)."),
        InputRole.FILE,
    ] = "",
    allow_code: AllowCode = False,
    chains: Annotated[
        int, typer.Option(min=0, help="Without --ref: so many chains of each kind.")
    ] = 0,
    steps: Annotated[int, typer.Option(min=1, max=20, help="Steps of each chain.")] = 8,
    level: Annotated[
        int | None, typer.Option(min=1, max=4, help="Of the chains. Default: the first's.")
    ] = None,
    memory_ctx: Annotated[
        int, typer.Option(min=1, help="Without --ref: tokens whose cache counts as memory.")
    ] = 4096,
    tokens: Annotated[
        int, typer.Option("-n", "--tokens", min=1, help="Of an answer to a task, at most.")
    ] = 256,
    chat: Annotated[
        bool | None, typer.Option(help="Tasks are messages. Default: if the model chats.")
    ] = None,
    floor_chunks: Annotated[
        int, typer.Option(min=0, help="Chunks for the noise floor; 0: no floor.")
    ] = 4,
    threads: measuring.Threads = None,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Several quants, or several models, side by side; nothing is ranked inside the noise.

    Quants with a letter in common cannot be told apart by a paired test. A star marks the frontier:
    no smaller file is shown to lose less.

    Without --ref, models of any kind are compared by memory: nats per byte of the same text
    (whatever their tokenizers), task scores and chains. --chunks are windows of about 2 KiB then.

    [bold]Examples:[/bold]

    zeropoint compare a-Q4_K_M.gguf b-Q4_K_M.gguf --ref model-BF16.gguf --text book.txt

    zeropoint compare 0.5B-BF16.gguf 1.5B-Q4_K_M.gguf --text code.py --tasks python --allow-code
    --report sizes.html
    """
    out = Output(as_json=as_json, quiet=quiet)
    if ref is None:
        from zeropoint.cli.across import Across, compare_across

        how = out.progress(progress)
        asked = Across(text or [], chunks, tasks, allow_code, (chains, steps, level), memory_ctx,
                       tokens, chat)  # fmt: skip
        with run_folder(run, report) as kept, keeping(run):
            compare_across(out, quants, asked, kept, (threads, how))
            if report and kept:
                write_report(out, [kept], report)
        return
    if tasks or chains:
        raise typer.BadParameter("--tasks and --chains compare models without --ref; `tasks` and "
                                 "`drift` take quants")  # fmt: skip
    from zeropoint.metrics.divergence.ranking import Entry, compare_result, rank

    reference = measuring.Reference(out, ref, threads, (text or [], ctx, chunks), floor_chunks)
    entries = []
    with run_folder(run, report) as kept:
        for index, path in enumerate(quants):
            folder = kept / f"{index:02}-{path.stem}" if kept else None
            side, measurement = reference.against(path, folder, (progress, quiet))
            figures = measurement.results()
            entries.append(Entry(path.name, side.file_bytes, measurement.seen, figures))
        found = compare_result(rank(entries), reference.floor)
        show(out, found)
        if report and kept:
            write_report(out, [kept], report)
    out.finish("compare", found.to_json())


def show(out: Output, found: "CompareResult") -> None:
    """Print the table, the best first."""
    out.say()
    out.table(
        ("Quant", ">Size", ">KL mean", ">95 % interval", ">99 %", ">Top-1", ">PPL ratio", "Group",
         "Frontier"),
        (
            (one.name, in_bytes(one.bytes), number(m.kl.mean), interval(m.kl, ".5f") or "-",
             number(m.kl.p99), f"{m.top1:.2%}", f"{m.perplexity.ratio.mean:.4f}", one.group,
             "*" if one.frontier else "")
            for one in found.results
            for m in [one.measured]
        ),
    )  # fmt: skip
    out.say()
    if found.floor is not None:
        out.say(
            f"Noise floor  {found.floor:.6f}: the reference against itself in another arithmetic"
        )
    letters = [letter for one in found.results for letter in set(one.group)]
    if len(set(letters)) < len(letters):
        out.say("Quants that share a letter cannot be told apart on this text; measure more of it.")
    out.say("* no file of at most that size is shown to lose less.")
