"""`measure`: what a quant lost against its reference."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeropoint.cli import options as measuring
from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet
from zeropoint.cli.paths import InputRole, OutputRole
from zeropoint.cli.reporting import Report, run_folder, write_report

if TYPE_CHECKING:
    from zeropoint.results.divergence import GateResult, MeasureResult


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Measure")(measure)


def measure(
    model: Annotated[
        Path,
        typer.Argument(metavar="QUANT", help="A GGUF file or Hugging Face folder."),
        InputRole.MODEL,
    ],
    ref: Annotated[
        Path | None,
        typer.Option(metavar="MODEL", help="The reference: the model it was made of."),
        InputRole.MODEL,
    ] = None,
    as_: Annotated[
        str,
        typer.Option(
            "--as", metavar="WHAT", help="Quantize the model in memory: preset, format or recipe."
        ),
        InputRole.NAMES,
    ] = "",
    text: measuring.Text = None,
    ctx: measuring.Context = 512,
    chunks: measuring.Chunks = None,
    until: Annotated[
        float | None,
        typer.Option(metavar="NATS", help="Stop when the interval has this half-width."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep every position; the same run goes on from there."),
        OutputRole("folder"),
    ] = None,
    report: Report = None,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the reference's pass for other quants."),
        OutputRole("folder"),
    ] = None,
    gate: Annotated[
        list[str] | None,
        typer.Option(metavar="FIGURE<NUMBER", help="Exit 1 unless shown to hold; repeatable."),
    ] = None,
    floor_chunks: Annotated[
        int, typer.Option(min=0, help="Chunks for the noise floor; 0: no floor.")
    ] = 4,
    imatrix: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Importance for --as, an imatrix in GGUF."),
        InputRole.MODEL,
    ] = None,
    requantize: Annotated[
        bool, typer.Option("--requantize", help="Let --as take a model that is quantized already.")
    ] = False,
    llama_compat: Annotated[
        bool,
        typer.Option("--llama-compat", help="The protocol and names of llama-perplexity."),
    ] = False,
    llama_base: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="llama-perplexity's base file: written with --ref, read without it.",
        ),
        OutputRole("file", needs="ref"),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace the file of --llama-base if it exists. Without this option an existing"
            " file is an error. An input is never replaced.",
        ),
    ] = False,
    threads: measuring.Threads = None,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """What a quant lost: KL divergence, perplexity, flips, on the same tokens as its reference.

    KL(reference ‖ quant) is over the whole vocabulary, in float64, with 95 % intervals over chunks
    of text, and the reference's own noise beside it. Without --text both read a built-in mix of
    prose, code, chat and JSON. Ctrl-C keeps what --run has.

    [bold]Examples:[/bold]

    zeropoint measure small.gguf --ref model-BF16.gguf --text book.txt --chunks 32

    zeropoint measure model-BF16.gguf --as INT4_SYM_G128 --chunks 8

    zeropoint measure small.gguf --ref model-BF16.gguf --gate "kl.mean<0.05"
    """
    out = Output(as_json=as_json, quiet=quiet)
    if llama_compat or llama_base:
        from zeropoint.cli.measure_compat import measure_compat

        measure_compat(
            out, model, ref, llama_base, (text or [], ctx, chunks), threads, (progress, quiet),
            overwrite=overwrite,
        )  # fmt: skip
        return
    if (ref is None) == (not as_):
        raise typer.BadParameter("give either --ref MODEL or --as WHAT")
    started = time.perf_counter()
    sides = measuring.open_sides(
        out, model, ref, as_, imatrix=imatrix, requantize=requantize, threads=threads,
        progress=progress,
    )  # fmt: skip
    read = measuring.read(out, sides.reference, text or [], ctx, chunks)
    with run_folder(run, report) as folder:
        measurement = measuring.prepare(out, sides, read, folder, keep, floor_chunks)
        startup = time.perf_counter() - started
        measuring.drive(measurement, until, run, progress, quiet)
        found = measuring.finish(out, measurement, sides, read, startup)
        if report and folder:
            write_report(out, [folder], report)
    gates = check_gates(found, gate or [])
    for result in gates:
        word = "passed" if result.passed else "not shown to pass"
        out.say(
            f"Gate         {result.gate}: {word} (the bound that decides is {result.bound:.6g})"
        )
    out.finish("measure", replace(found, gates=gates).to_json())
    if run:
        out.note(f"wrote {run}")
    if any(not result.passed for result in gates):
        raise typer.Exit(1)


def check_gates(found: "MeasureResult", gates: Sequence[str]) -> "tuple[GateResult, ...]":
    """Decide the gates."""
    from zeropoint.metrics.divergence.gate import check_gate

    return tuple(check_gate(gate, found) for gate in gates)
