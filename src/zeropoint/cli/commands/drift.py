"""`drift`: what a quant does over many steps, beside its reference."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from zeropoint.cli import options as measuring
from zeropoint.cli.commands.run import Arithmetic
from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet, in_bytes
from zeropoint.cli.paths import InputRole, OutputRole
from zeropoint.cli.progress import CountedRecord, track
from zeropoint.cli.reporting import Report, keeping, run_folder, write_report
from zeropoint.cli.views import drift as drift_page

if TYPE_CHECKING:
    from zeropoint.checkpoints import Checkpoint
    from zeropoint.metrics.chains.run import Participant
    from zeropoint.metrics.divergence.compatibility import ModelIdentity
    from zeropoint.metrics.generation.divergence_point import ReferencePaths, Settings
    from zeropoint.metrics.generation.prompts import Prompt
    from zeropoint.models import LanguageModel, Mode
    from zeropoint.results.chains import ChainsResult
    from zeropoint.results.drift import DriftResult, FreeRun, PromptTooLong, TextsCompared
    from zeropoint.results.run_store import RunFolder

S = TypeVar("S", bound=CountedRecord)


class Ways(StrEnum):
    """How tokens are chosen."""

    both = "both"
    greedy = "greedy"
    sampled = "sampled"


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Measure")(drift)


def drift(
    quants: Annotated[
        list[Path], typer.Argument(metavar="QUANT...", help="Models to follow."), InputRole.MODEL
    ],
    ref: Annotated[
        Path | None,
        typer.Option(metavar="MODEL", help="The reference, or any other model."),
        InputRole.MODEL,
    ] = None,
    as_: Annotated[
        str,
        typer.Option("--as", metavar="WHAT", help="Quantize the model in memory instead."),
        InputRole.NAMES,
    ] = "",
    prompts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Prompts, one a line, or .jsonl. Default: built in."),
        InputRole.FILE,
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="So many of the prompts. Default: all.")
    ] = None,
    tokens: Annotated[
        int, typer.Option("-n", "--tokens", min=1, help="Tokens that each prompt is continued by.")
    ] = 64,
    way: Annotated[
        Ways, typer.Option(help="The best token, sampled with the same noise, or both.")
    ] = Ways.both,
    temperature: Annotated[float, typer.Option(min=0.01, help="Of the sampled texts.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other noise.")] = 0,
    together: Annotated[int, typer.Option(min=1, help="Texts written at once.")] = 48,
    chat: Annotated[
        bool | None, typer.Option(help="Prompts are messages. Default: if the model chats.")
    ] = None,
    mode: Annotated[
        Arithmetic, typer.Option(help="exact: float32; fast: activations rounded to 8 bits.")
    ] = Arithmetic.exact,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep all texts; the same run goes on from there."),
        OutputRole("folder"),
    ] = None,
    report: Report = None,
    chains: Annotated[
        int, typer.Option(min=0, help="Tasks of several steps, so many of each kind; 0: none.")
    ] = 16,
    steps: Annotated[int, typer.Option(min=1, max=20, help="Steps of each such task.")] = 8,
    level: Annotated[
        int | None,
        typer.Option(min=1, max=4, help="How hard. Default: what the reference can do."),
    ] = None,
    requantize: Annotated[
        bool, typer.Option("--requantize", help="Let --as take a model that is quantized already.")
    ] = False,
    threads: measuring.Threads = None,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """What a quant does over many steps: when its texts part from the reference's, and how far.

    Both models continue the same prompts with the same randomness. Told are the share of texts that
    are still the same after 1, 2, 4 … tokens, the loss that adds up along the quant's own text
    beside what single-token KL predicts, who comes back to the same answer, and changes in length
    and repetition. Then both do tasks of several steps (sums, look-ups, edits, tool calls) on their
    own earlier answers: accuracy by step, and from which step on they can be told apart. A model
    beside itself never differs. Models with other tokenizers are compared by text and by task.

    [bold]Examples:[/bold]

    zeropoint drift small.gguf --ref model-BF16.gguf --count 24 -n 64

    zeropoint drift model-BF16.gguf --as INT4_SYM_G32 --prompts mine.jsonl --report drift.html
    """
    from zeropoint.metrics.generation.divergence_point import Settings
    from zeropoint.metrics.generation.prompts import read_prompts

    if (ref is None) == (not as_):
        raise typer.BadParameter("give either --ref MODEL or --as WHAT")
    if as_ and len(quants) > 1:
        raise typer.BadParameter("--as takes one model")
    out = Output(as_json=as_json, quiet=quiet)
    asked = read_prompts(prompts, count=count)
    ways: tuple[Literal["greedy", "sampled"], ...] = ("greedy", "sampled")
    if way is not Ways.both:
        ways = ("greedy",) if way is Ways.greedy else ("sampled",)
    settings = Settings(tokens, ways, temperature, seed, together)
    job = Job(
        out, asked, settings, chat, "exact" if mode is Arithmetic.exact else "fast", threads, run,
        out.progress(progress),
    )  # fmt: skip
    reference = job.open(ref or quants[0])
    job.prompts, job.left_out = job.fitting(reference, asked)
    job.say_method(reference)
    job.chains = (chains, steps, level)
    results = []
    with run_folder(run, report) as kept, keeping(run):
        for index, path in enumerate(quants):
            other = job.quantized(reference, as_, requantize) if as_ else job.open(path)
            folder = kept / f"{index:02}-{path.stem}" if kept and len(quants) > 1 else kept
            found = job.follow(reference, other, folder)
            drift_page.show(out, found)
            results.append(found)
        if report and kept:
            write_report(out, [kept], report)
    told = [found.to_json() for found in results]
    out.finish("drift", told[0] if len(told) == 1 else {"results": told})
    if run:
        out.note(f"wrote {run}")


@dataclass
class Opened:
    """A model, and what is needed to ask it."""

    source: "Checkpoint"
    model: "LanguageModel"
    side: "ModelIdentity"
    paths: "ReferencePaths"
    chains: "Participant"
    encoded: "dict[Prompt, list[int]]" = field(default_factory=dict)


@dataclass
class Job:
    """What all quants of one command have in common."""

    out: Output
    prompts: "Sequence[Prompt]"
    settings: "Settings"
    chat: bool | None
    mode: "Mode"
    threads: int | None
    run: Path | None
    progress: ProgressStyle
    chains: tuple[int, int, int | None] = (0, 8, None)  # of each kind, steps, level
    levels: dict[str, int] = field(default_factory=dict)
    left_out: "list[PromptTooLong]" = field(default_factory=list)

    def open(self, path: Path) -> Opened:
        """Load a model."""
        from zeropoint.checkpoints import open_model
        from zeropoint.metrics.divergence.compatibility import describe
        from zeropoint.models import load_model

        source = open_model(path)
        model = load_model(source, mode=self.mode, threads=self.threads)
        return self._opened(source, model, describe(source))

    def quantized(self, reference: Opened, to: str, requantize: bool) -> Opened:
        """Make the reference's own quant, in memory."""
        from zeropoint.cli.inmemory import plan_copy

        copy = plan_copy(reference.source, to, None, requantize=requantize)
        model = copy.make(self.out, self.threads, self.progress)
        model.mode = self.mode
        return self._opened(reference.source, model, copy.side)

    def _opened(
        self, source: "Checkpoint", model: "LanguageModel", side: "ModelIdentity"
    ) -> Opened:
        from zeropoint.metrics.chains.run import Participant
        from zeropoint.metrics.generation.divergence_point import ReferencePaths

        return Opened(source, model, side, ReferencePaths(model), Participant(side.name, model))

    def fitting(
        self, opened: Opened, prompts: "Sequence[Prompt]"
    ) -> "tuple[Sequence[Prompt], list[PromptTooLong]]":
        """Part prompts into those that fit a model's context and those that do not; say which."""
        from zeropoint.metrics.generation.prompts import leave_out_long

        ids, room = self._encode(opened, prompts), opened.model.context_length
        kept, long = leave_out_long(prompts, ids, room)
        for one in long:
            self.out.warn(
                f"the prompt of line {one.line} has {one.tokens} tokens, the context of "
                f"{opened.side.name} room for {room}: it is left out"
            )
        return kept, long

    def say_method(self, reference: Opened) -> None:
        """Say what is done, before it takes its time."""
        settings, side = self.settings, reference.side
        proxy = " (proxy reference)" if side.quantized else ""
        self.out.say(f"Reference    {side.name}   {side.kind}{proxy}")
        self.out.say(
            f"Prompts      {len(self.prompts)}, each continued by up to {settings.limit} tokens: "
            f"{', '.join(settings.ways)}; temperature {settings.temperature:g}, "
            f"seed {settings.seed}; {self.mode} arithmetic"
        )

    def follow(self, reference: Opened, quant: Opened, run: Path | None) -> "DriftResult":
        """Follow one quant."""
        from zeropoint.errors import MeasurementError
        from zeropoint.metrics.divergence.compatibility import check_comparable
        from zeropoint.metrics.generation.run import start_run
        from zeropoint.results.drift import DriftResult, DriftSettings
        from zeropoint.results.model_identity import ReferenceIdentity

        sides = reference.side, quant.side
        said = DriftSettings(
            **asdict(self.settings), chat=self.chat, mode=self.mode, chains=self.chains
        )
        folder = start_run(run, sides, self.prompts, said.to_json()) if run else None
        self.out.note(f"{quant.side.name}: {in_bytes(quant.side.file_bytes)}")
        prompts, long = self.fitting(quant, self.prompts)
        texts: TextsCompared | None = None
        free_run: dict[str, FreeRun] = {}
        try:
            check_comparable(reference.model.tokenizer, quant.model.tokenizer)
        except MeasurementError as difference:
            self.out.warn(f"{difference}; texts and answers are compared instead, greedy")
            texts = self._texts((reference, quant), prompts, folder)
        else:
            free_run = self._free_run((reference, quant), prompts, folder)
        found = DriftResult(
            reference=ReferenceIdentity.of(sides[0]),
            quant=sides[1],
            settings=said,
            prompts=len(prompts),
            left_out=(*self.left_out, *long),
            texts=texts,
            free_run=free_run,
            chains=self._chains(reference, quant, folder) if self.chains[0] else None,
        )
        if folder:
            folder.finish(found)
        return found

    def _free_run(
        self, sides: tuple[Opened, Opened], prompts: "Sequence[Prompt]", run: "RunFolder | None"
    ) -> "dict[str, FreeRun]":
        from zeropoint.metrics.generation.divergence_point import Drift, ReferencePaths
        from zeropoint.metrics.generation.run import free_run_results

        reference, quant = sides
        model = reference.model
        ids = self._encode(reference, prompts)
        paths = reference.paths if len(prompts) == len(self.prompts) else ReferencePaths(model)
        drift = Drift(paths, quant.model, ids, model.tokenizer.stops, self.settings, run)
        for _ in self._watch(drift.steps(), drift.total):
            pass
        return free_run_results(drift, prompts, model, run)

    def _chains(self, reference: Opened, quant: Opened, run: "RunFolder | None") -> "ChainsResult":
        from zeropoint.metrics.chains.run import Chaining, ChainSettings

        count, steps, level = self.chains
        settings = ChainSettings(count, steps, level=level, together=self.settings.together)
        chaining = Chaining(settings, (reference.chains, quant.chains), self.levels, run)
        for _ in self._watch(chaining.steps(), chaining.total, "chains"):
            pass
        return chaining.results()

    def _texts(
        self, opened: tuple[Opened, Opened], prompts: "Sequence[Prompt]", run: "RunFolder | None"
    ) -> "TextsCompared":
        from zeropoint.metrics.generation.run import (
            Text,
            load_texts,
            save_texts,
            text_figures,
            write_texts,
        )

        sides = []
        for place, one in enumerate(opened):
            texts: dict[int, Text] = load_texts(run, place) if run else {}
            saved = len(texts)
            steps = write_texts(one.model, self._encode(one, prompts), self.settings, texts)
            for record in self._watch(steps, len(prompts) * self.settings.limit):
                if run and record.pairs > saved:
                    save_texts(run, place, texts)
                    saved = record.pairs
            sides.append([texts[index] for index in range(len(prompts))])
        return text_figures(*sides, prompts=prompts, run=run)

    def _encode(self, opened: Opened, prompts: "Sequence[Prompt]") -> list[list[int]]:
        from zeropoint.metrics.generation.prompts import encode_prompts

        new = [prompt for prompt in prompts if prompt not in opened.encoded]
        if new:  # a chat template is rendered in a process of its own
            texts = [prompt.prompt for prompt in new]
            ids = encode_prompts(opened.source, opened.model, texts, chat=self.chat)
            opened.encoded.update(zip(new, ids, strict=True))
        return [opened.encoded[prompt] for prompt in prompts]

    def _watch(self, records: Iterator[S], total: int, what: str = "writing") -> Iterator[S]:
        return track(records, total, what, self.progress)
