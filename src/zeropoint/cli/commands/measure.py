"""`measure`: how much a quantized model diverges from its reference."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeropoint.cli import options as shared
from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet
from zeropoint.cli.paths import InputRole, OutputRole
from zeropoint.cli.run_outputs import Report, keeping, run_folder, write_report
from zeropoint.cli.stages import Views, run_verb
from zeropoint.cli.views import llama_perplexity as llama_view
from zeropoint.cli.views import measure as view
from zeropoint.cli.views.default_count import count_views
from zeropoint.verbs.options.checks import ALL
from zeropoint.verbs.options.llama_perplexity import LlamaPerplexityOptions
from zeropoint.verbs.options.measure import MeasureOptions

if TYPE_CHECKING:
    from zeropoint.results.divergence import MeasureResult

DEFAULTS = MeasureOptions()


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Measure")(measure)


def measure(
    model: Annotated[
        str,
        typer.Argument(metavar="QUANT", help=f"The quantized model: {shared.MODEL_FORMS}."),
        InputRole.MODEL,
    ],
    ref: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The reference: the model that QUANT was made from.",
        ),
        InputRole.MODEL,
    ] = None,
    as_: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="WHAT",
            help="Instead of --ref: quantize QUANT in memory to this preset, format or recipe, and"
            " measure that against QUANT itself.",
        ),
        InputRole.NAMES,
    ] = "",
    kv: shared.KvCache = DEFAULTS.kv,
    kv_rotation: shared.KvRotation = DEFAULTS.kv_rotation,
    text: shared.Text = None,
    ctx: shared.Context = DEFAULTS.context,
    chunks: shared.Chunks = DEFAULTS.chunks,
    until: Annotated[
        float | None,
        typer.Option(
            metavar="NATS",
            help="Stop when the 95 % interval of the mean KL has this half-width, in nats per"
            " token. Without --chunks, all of the text may then be read. Default: the number of"
            " chunks decides.",
        ),
    ] = DEFAULTS.until,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Store the scores of every position in this run folder. An interrupted run"
            " resumes from it.",
        ),
        OutputRole("folder"),
    ] = DEFAULTS.run,
    report: Report = None,
    reference_cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Store the hidden states of the reference in this folder, so that other quants"
            " are measured without a new pass of the reference.",
        ),
        OutputRole("folder"),
    ] = DEFAULTS.reference_cache,
    store: Annotated[
        bool,
        typer.Option(
            "--store",
            help="Store the loss in QUANT, a file that zeropoint wrote: only the fields of its"
            " metadata that are reserved for the loss change. `zeropoint inspect` shows them.",
        ),
    ] = DEFAULTS.store,
    gates: Annotated[
        list[str] | None,
        typer.Option(
            "--gate",
            metavar="FIGURE<NUMBER",
            help="Exit with status 1 unless the 95 % interval satisfies FIGURE<NUMBER, e.g."
            " kl.mean<0.05. Repeatable.",
        ),
    ] = None,
    floor_chunks: shared.FloorChunks = DEFAULTS.floor_chunks,
    imatrix: shared.ImatrixOption = DEFAULTS.imatrix,
    requantize: shared.RequantizeInMemory = DEFAULTS.requantize,
    llama_compat: Annotated[
        bool,
        typer.Option(
            "--llama-compat",
            help="Use the protocol of llama-perplexity, and print its tables under its names."
            " Without --chunks, all of the text is read.",
        ),
    ] = False,
    llama_base: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Base file of llama-perplexity (its logits): written with --ref, read without"
            " --ref.",
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
    threads: shared.Threads = DEFAULTS.threads,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure how much a quantized model diverges from its reference: KL divergence, perplexity
    and flips on the same tokens.

    KL(reference ‖ quant) is computed over the whole vocabulary, in float64. It is reported with a
    95 % interval over chunks of text, and with the noise floor of the reference. Ctrl-C stops the
    measurement; with --run, the same command resumes it.

    With --kv, QUANT stores keys and values in this type, and the reference stores them as F32.
    Without --ref and --as, QUANT is the reference too: only the loss of its cache is measured.

    [bold]Examples:[/bold]

    zeropoint measure small.gguf --ref model-BF16.gguf --text book.txt --chunks 32

    zeropoint measure model-BF16.gguf --as INT4_SYM_G128 --chunks 8

    zeropoint measure model.gguf --kv q8_0 --ctx 8192 --chunks 4

    zeropoint measure small.gguf --ref model-BF16.gguf --store

    zeropoint measure small.gguf --ref model-BF16.gguf --gate "kl.mean<0.05"
    """
    out = Output(as_json=as_json, quiet=quiet)
    if llama_compat or llama_base:
        if kv.lower() != DEFAULTS.kv:
            raise typer.BadParameter("--kv cannot be used with --llama-compat or --llama-base")
        if store:
            raise typer.BadParameter("--store cannot be used with --llama-compat or --llama-base")
        llama_options = LlamaPerplexityOptions(
            text=text, context=ctx, chunks=None if chunks == ALL else chunks, base=llama_base,
            overwrite=overwrite,
            threads=threads,
        )  # fmt: skip
        measure_as_llama(out, model, ref, llama_options, out.progress(progress))
        return
    if (ref is not None and as_) or (ref is None and not as_ and kv.lower() == DEFAULTS.kv):
        raise typer.BadParameter("give either --ref MODEL or --as WHAT, or --kv TYPE without both")
    with run_folder(run, report) as folder, keeping(run):
        options = MeasureOptions(
            to=as_, text=text, context=ctx, chunks=chunks, floor_chunks=floor_chunks,
            imatrix=imatrix, requantize=requantize, kv=kv, kv_rotation=kv_rotation, until=until,
            run=folder,
            reference_cache=reference_cache, store=store, gates=gates, threads=threads,
        )  # fmt: skip
        result = follow_measure(out, model, ref, options, out.progress(progress))
        view.show(out, result)
        if report and folder:
            write_report(out, [folder], report)
    view.show_gates(out, result.gates or ())
    out.finish("measure", result.to_json())
    if run:
        out.note(f"wrote {run}")
    if store:
        out.note(f"stored the loss in {model}")
    if any(not gate.passed for gate in result.gates or ()):
        raise typer.Exit(1)


def follow_measure(
    out: Output, model: str, ref: str | None, options: MeasureOptions, progress: ProgressStyle
) -> "MeasureResult":
    """Measure, and show the progress and what is measured."""
    from zeropoint.results.divergence import MeasureResult
    from zeropoint.verbs.measure import CacheOpened, PairOpened, measure_records
    from zeropoint.verbs.reference import TextPrepared

    views: Views = {
        **count_views(),
        TextPrepared: view.show_text,
        PairOpened: view.show_pair,
        CacheOpened: view.show_cache,
    }
    result = run_verb(measure_records(model, ref, options), out, progress, views)
    assert isinstance(result, MeasureResult)
    return result


def measure_as_llama(
    out: Output,
    model: str,
    ref: str | None,
    options: LlamaPerplexityOptions,
    progress: ProgressStyle,
) -> None:
    """Print what llama-perplexity would print of the same logits."""
    from zeropoint.results.llama_perplexity import LlamaPerplexityResult
    from zeropoint.verbs.llama_perplexity import BaseFileStarted, llama_perplexity_records

    if ref is None and options.base is None:
        raise typer.BadParameter("give --ref MODEL, or --llama-base FILE to read one")
    records = llama_perplexity_records(model, ref, options)
    result = run_verb(records, out, progress, {BaseFileStarted: llama_view.show_base_file})
    assert isinstance(result, LlamaPerplexityResult)
    llama_view.show(out, result)
    if options.base is not None and ref is not None:
        out.note(f"wrote {options.base}")
    out.finish("measure-llama", result.to_json())
