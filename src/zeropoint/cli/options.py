"""Arguments and options that several commands share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeropoint.cli.output import Output, ProgressStyle, in_bytes
from zeropoint.cli.paths import InputRole
from zeropoint.cli.progress import track_running
from zeropoint.cli.views import measure as measure_page

if TYPE_CHECKING:
    from zeropoint.cli.inmemory import Copy
    from zeropoint.metrics.divergence.compatibility import ModelIdentity
    from zeropoint.metrics.divergence.run import MeasureRun
    from zeropoint.metrics.divergence.run import MeasureText as TextRead
    from zeropoint.models import LanguageModel
    from zeropoint.results.bench import QuickSpeed
    from zeropoint.results.divergence import MeasureResult
    from zeropoint.results.model_identity import MadeInMemory
    from zeropoint.results.run_store import RunFolder

MODEL_FORMS = (
    "a GGUF file (of a split model the first), a Hugging Face folder, or a hub id org/name"
)
ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help=f"The model: {MODEL_FORMS}."), InputRole.MODEL
]
ImatrixOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Importance matrix (imatrix) that weights the error of each column, as `calibrate` and"
        " llama-imatrix write it. Default: none, all columns count the same.",
    ),
    InputRole.MODEL,
]
Threads = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Number of threads. Default: all processor cores."),
]
Text = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Text to measure on, one domain a file; repeatable. hub:org/name:FILE: of a data set.",
    ),
    InputRole.FILE,
]
Context = Annotated[int, typer.Option(min=8, help="Tokens per chunk; the second half is scored.")]
Chunks = Annotated[
    int | None, typer.Option(min=1, help="At most so many chunks of the text. Default: all.")
]


@dataclass
class Sides:
    """Both models, loaded, and how they are named in results."""

    reference: "LanguageModel"
    quant: "LanguageModel"
    names: tuple["ModelIdentity", "ModelIdentity"]
    made: "MadeInMemory | None" = None  # how the quant was made, with --as


def open_sides(
    out: Output,
    model: Path,
    ref: Path | None,
    as_: str,
    *,
    imatrix: Path | None,
    requantize: bool,
    threads: int | None,
    progress: ProgressStyle,
) -> Sides:
    """Load reference and quant, or the reference and its quant made in memory."""
    from zeropoint.checkpoints import open_model
    from zeropoint.metrics.divergence.compatibility import check_comparable, describe
    from zeropoint.models import load_model

    # The files stay open with the models: embeddings are read row by row.
    source = open_model(ref or model)
    reference = load_model(source, threads=threads)
    side = describe(source)
    if side.quantized:
        out.warn(
            f"{side.name} is itself a quant ({side.kind}): a proxy reference; the loss it has "
            "already is not seen"
        )
    if as_:
        from zeropoint.cli.inmemory import plan_copy

        copy = plan_copy(source, as_, imatrix, requantize=requantize)
        quant = copy.make(out, threads, progress)
        return Sides(reference, quant, (side, copy.side), copy.made)
    other = open_model(model)
    quant = load_model(other, threads=threads)
    check_comparable(reference.tokenizer, quant.tokenizer)
    return Sides(reference, quant, (side, describe(other)))


def read(
    out: Output, model: "LanguageModel", files: Sequence[Path], ctx: int, chunks: int | None
) -> "TextRead":
    """Read the text, and say what it is."""
    from zeropoint.metrics.divergence.run import read_text

    text = read_text(files, model, context=ctx, chunks=chunks)
    domains = ", ".join(dict.fromkeys(chunk.domain for chunk in text.chunks))
    source = "built-in mix: " if text.built_in else ""
    out.say(
        f"Text         {source}{domains}   {len(text.chunks)} chunks of {ctx} tokens, the second "
        f"half scored   corpus {text.corpus[:12]}"
    )
    return text


def prepare(
    out: Output,
    sides: Sides,
    text: "TextRead",
    run: Path | None,
    keep: Path | None,
    floor_chunks: int,
) -> "MeasureRun":
    """Open the run folder and the kept pass, and say what is measured against what."""
    from zeropoint.metrics.divergence import run as measuring
    from zeropoint.metrics.divergence.reference_cache import kept_bytes, open_kept

    reference, quant = sides.names
    proxy = " (proxy reference)" if reference.quantized else ""
    out.say(f"Reference    {reference.name}   {reference.kind}{proxy}")
    out.say(f"Quant        {quant.name}   {quant.kind}   {in_bytes(quant.file_bytes)}")
    out.say("             KL(reference ‖ quant), nats per token, teacher-forced")
    states = None
    if keep:
        needed = kept_bytes(sides.reference, len(text.chunks), text.context)
        out.note(f"the reference's pass takes {in_bytes(needed)} in {keep}")
        kept = open_kept(keep, reference.to_json(), needed)
        states = measuring.remembered(sides.reference, text, kept)
    made = sides.made.to_json() if sides.made else {}
    folder = measuring.start_run(run, sides.names, text, made) if run else None
    return measuring.MeasureRun(
        sides.reference, sides.quant, text, states=states, run=folder, floor_chunks=floor_chunks
    )


def drive(
    measurement: "MeasureRun",
    until: float | None,
    run: Path | None,
    progress: ProgressStyle,
    quiet: bool,
) -> None:
    """Measure, and show how far it is; an interrupted run says where it goes on."""
    how = Output(quiet=quiet).progress(progress)
    total = len(measurement.text.chunks)
    try:
        steps = measurement.steps(until=until)
        for _ in track_running(steps, total, "measuring", how):
            pass
        measurement.measure_floor()
    except KeyboardInterrupt:
        if run and measurement.seen:
            measurement.results()
            done = len(measurement.seen)
            typer.echo(
                f"{run} holds {done} of {total} chunks; the same command goes on from there",
                err=True,
            )
        raise


def finish(
    out: Output, measurement: "MeasureRun", sides: Sides, text: "TextRead", startup: float
) -> "MeasureResult":
    """Sum up, print the page, and return the result with what it is of."""
    from zeropoint.results.divergence import QuantIdentity, TextRead
    from zeropoint.results.model_identity import ReferenceIdentity

    reference, quant = sides.names
    found = replace(
        measurement.results(),
        reference=ReferenceIdentity.of(reference),
        quant=QuantIdentity.of(quant, sides.made),
        text=TextRead(text.corpus, text.built_in, text.context, len(text.chunks)),
        startup_seconds=startup,
    )
    measure_page.show(out, found)
    out.say(f"Speed        {found.tokens_per_second:.1f} scored tokens per second, both passes; "
            f"{startup:.1f} s to load")  # fmt: skip
    return found


class Reference:
    """One reference and one text for several quants; its pass is remembered."""

    def __init__(
        self,
        out: Output,
        path: Path,
        threads: int | None,
        text: tuple[Sequence[Path], int, int | None],
        floor_chunks: int,
    ) -> None:
        from zeropoint.checkpoints import open_model
        from zeropoint.metrics.divergence.compatibility import describe
        from zeropoint.metrics.divergence.run import remembered
        from zeropoint.models import load_model

        self.out = out
        self.threads = threads
        self.source = open_model(path)
        self.model = load_model(self.source, threads=threads)
        self.side = describe(self.source)
        if self.side.quantized:
            out.warn(f"{self.side.name} is itself a quant ({self.side.kind}): a proxy reference")
        self.text = read(out, self.model, *text)
        self.states = remembered(self.model, self.text)
        self.floor_chunks = floor_chunks
        self.floor: float | None = None
        out.say(f"Reference    {self.side.name}   {self.side.kind}")

    def against(
        self, path: Path, run: Path | None, shown: tuple[ProgressStyle, bool]
    ) -> tuple["ModelIdentity", "MeasureRun"]:
        """Measure the quant in a file."""
        from zeropoint.checkpoints import open_model
        from zeropoint.metrics.divergence.compatibility import check_comparable, describe
        from zeropoint.models import load_model

        source = open_model(path)
        quant = load_model(source, threads=self.threads)
        check_comparable(self.model.tokenizer, quant.tokenizer)
        side = describe(source)
        self.out.note(f"{side.name}: {in_bytes(side.file_bytes)}")
        return side, self._measure(quant, side, run, shown)

    def level(
        self, copy: "Copy", run: Path | None, shown: tuple[ProgressStyle, bool]
    ) -> "tuple[MeasureResult, QuickSpeed | None]":
        """Measure the reference's own quant, made in memory; time it if it has kernels.

        What a run folder holds in full is read and not made again.
        """
        from zeropoint.metrics.divergence.ladder import load_level, save_level
        from zeropoint.metrics.speed.throughput import measure_speed

        folder = self._folder(run, copy.side)
        found = load_level(folder, len(self.text.chunks)) if folder else None
        if found is None:
            quant = copy.make(self.out, self.threads, shown[0])
            measurement = self._measure(quant, copy.side, run, shown)
            speed = measure_speed(quant) if copy.plan.has_kernels else None
            found = measurement.results(), speed
            if folder:
                save_level(folder, speed)
        elif self.floor is None:
            self.floor = found[0].floor
        return found

    def _folder(self, run: Path | None, side: "ModelIdentity") -> "RunFolder | None":
        from zeropoint.metrics.divergence.run import start_run

        return start_run(run, (self.side, side), self.text, {}) if run else None

    def _measure(
        self,
        quant: "LanguageModel",
        side: "ModelIdentity",
        run: Path | None,
        shown: tuple[ProgressStyle, bool],
    ) -> "MeasureRun":
        from zeropoint.metrics.divergence.run import MeasureRun

        measurement = MeasureRun(
            self.model, quant, self.text, states=self.states, run=self._folder(run, side),
            floor_chunks=self.floor_chunks,
        )  # fmt: skip
        measurement.floor = self.floor
        drive(measurement, None, run, *shown)
        self.floor = measurement.floor
        return measurement
