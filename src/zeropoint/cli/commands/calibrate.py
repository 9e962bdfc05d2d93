"""`calibrate`: what goes into each layer."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeropoint.cli import options as measuring
from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet, in_bytes
from zeropoint.cli.paths import InputRole, OutputRole, Overwrite
from zeropoint.cli.progress import track

if TYPE_CHECKING:
    from zeropoint.calibration import Calibration, Coverage
    from zeropoint.calibration.moments import MomentFolder
    from zeropoint.models import LanguageModel


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Measure")(calibrate)


def calibrate(
    model: Annotated[
        Path, typer.Argument(help="The reference: a GGUF file or a folder."), InputRole.MODEL
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", help="FILE.imatrix.gguf to write."),
        OutputRole("file"),
    ],
    text: measuring.Text = None,
    ctx: Annotated[int, typer.Option(min=8, help="Tokens per chunk; all are counted.")] = 512,
    chunks: measuring.Chunks = None,
    second_moments: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also keep Σ x xᵀ of each input, for error feedback."),
        OutputRole("folder"),
    ] = None,
    overwrite: Overwrite = False,
    threads: measuring.Threads = None,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Collect what goes into each layer while the reference reads a text: an imatrix.

    The file is llama.cpp's (GGUF), so llama-quantize takes it too. Without --text the model reads a
    built-in mix of prose, code, chat and JSON. Ctrl-C writes what was read so far.

    [bold]Example:[/bold]

    zeropoint calibrate model-BF16.gguf -o model.imatrix.gguf --text book.txt --chunks 100
    """
    from zeropoint.calibration import write_imatrix
    from zeropoint.calibration.chunks import read_chunks
    from zeropoint.calibration.collect import Collector, datasets_of
    from zeropoint.calibration.corpus import builtin_corpus, read_corpus
    from zeropoint.checkpoints import open_model
    from zeropoint.models import load_model

    out = Output(as_json=as_json, quiet=quiet)
    if output.suffix != ".gguf":
        raise typer.BadParameter("the name must end in .gguf", param_hint="-o")
    files = text or []
    source = open_model(model, "calibrate")
    corpus = read_corpus(files) if files else builtin_corpus("calibrate")
    loaded = load_model(source, threads=threads)
    cut = read_chunks(corpus, loaded.tokenizer, ctx, limit=chunks)
    moments = None
    if second_moments:
        moments = open_moments(out, second_moments, model, loaded, (corpus.hash, len(cut), ctx))
    collector = Collector(loaded, cut, moments=moments)
    how = out.progress(progress)
    datasets = datasets_of(files, corpus.domains)
    write = partial(write_imatrix, output, sources=[*source.files, *files], overwrite=overwrite)
    try:
        for _ in track(collector.steps(), collector.total, "reading", how):
            pass
    except KeyboardInterrupt:
        if collector.read:
            write(collector.calibration(datasets, ""))
            typer.echo(f"{output} holds {collector.read} of {len(cut)} chunks", err=True)
        raise
    found = collector.calibration(datasets, corpus.hash)
    write(found)
    known = collector.coverage(source, found)
    show(out, found, known, list(corpus.domains))
    out.note(f"wrote {output}")
    out.finish(
        "calibrate",
        {
            "output": str(output), "chunks": found.chunks, "tokens": found.tokens,
            "context": ctx, "corpus": corpus.hash, "domains": list(corpus.domains),
            "tensors": len(found.statistics), "coverage": [asdict(t) for t in known.gaps],
            "second_moments": str(second_moments) if second_moments else None,
        },
    )  # fmt: skip


def open_moments(
    out: Output,
    path: Path,
    model: Path,
    loaded: "LanguageModel",
    text: tuple[str, int, int],
) -> "MomentFolder":
    """Open the folder of second moments, and say how large it will be."""
    from zeropoint.calibration.moments import MomentFolder, folder_bytes
    from zeropoint.results.run_store import RunFolder

    shapes = {n: s for n, s in loaded.matrices().items() if n != loaded.architecture.output}
    out.note(f"second moments take {in_bytes(folder_bytes(shapes))} in {path}")
    corpus, chunks, context = text
    inputs = {"model": model.name, "corpus": corpus}
    run = RunFolder.start(path, "second moments", inputs, {"chunks": chunks, "context": context})
    return MomentFolder(run)


def show(out: Output, found: "Calibration", known: "Coverage", domains: list[str]) -> None:
    """Print what was read and where the evidence is thin."""
    out.say(
        f"Read         {found.chunks} chunks of {found.chunk_tokens} tokens   "
        f"{', '.join(domains)}   corpus {found.corpus[:12]}"
    )
    full = sum(tensor.state == "full" for tensor in known.tensors)
    out.say(f"Coverage     {full} of {len(known.tensors)} matrices saw enough rows everywhere")
    if known.gaps:
        out.say()
        out.table(
            ("Tensor", "State", ">Matrices", ">Without data", ">Few rows", ">Rows"),
            (
                (t.name, t.state, t.matrices, t.without, t.few, f"{t.rows[0]} … {t.rows[1]}")
                for t in known.gaps
            ),
        )
        out.say("Where a matrix has no data, ones stand in: all its columns count the same.")
