"""`train`: trains a small model in low bits, beside the same model in bfloat16."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from zeropoint.calibration.corpus import open_corpus
from zeropoint.checkpoints import Checkpoint, open_checkpoint, open_model
from zeropoint.checkpoints.families.new_model import DecoderShape
from zeropoint.checkpoints.files.atomic import check_target
from zeropoint.errors import MeasurementError, needs_packages
from zeropoint.kernels import default_threads
from zeropoint.metrics.identity import identify
from zeropoint.models.tokenizer import Tokenizer, read_tokenizer
from zeropoint.results.run_store import RunFolder
from zeropoint.results.train import TrainedFormat, TrainResult
from zeropoint.training.text import (
    TextParts,
    TrainingTokens,
    library_documents,
    split_documents,
    tokenize,
)
from zeropoint.verbs.arguments import as_list, as_path
from zeropoint.verbs.options.train import DEFAULT_RATE, DEFAULT_TUNING_RATE, TrainOptions
from zeropoint.verbs.records import Notice, OnRecord, StageStarted, drain
from zeropoint.verbs.work_folder import state_folder

if TYPE_CHECKING:
    from zeropoint.training.experiment import Experiment, StepTrained
    from zeropoint.training.recipes import TrainableFormat

WINDOWS = 4  # of a step


@dataclass(frozen=True)
class TrainPlanned:
    """What will be trained, and how long it is expected to take."""

    parameters: int
    vocabulary: int
    text_tokens: int
    held_out_tokens: int
    labels: tuple[str, ...]
    seeds: int
    steps: int
    step_tokens: int
    seconds: float


@dataclass(frozen=True)
class ModelWritten:
    """A trained model is complete."""

    path: Path
    format: str
    nbytes: int


TrainRecord: TypeAlias = (
    "Notice | StageStarted | TrainPlanned | StepTrained | ModelWritten | TrainResult"
)


def train(
    output: str | Path,
    *,
    format: str | Sequence[str] | None = None,
    against: str = "BF16",
    model: str | Path | None = None,
    text: str | Path | Sequence[str | Path] | None = None,
    tokens: int = 300_000,
    seeds: int = 1,
    context: int = 256,
    rate: float | None = None,
    ablate: bool = False,
    demo: bool = False,
    run: str | Path | None = None,
    overwrite: bool = False,
    threads: int | None = None,
    progress: OnRecord | None = None,
) -> TrainResult:
    """Train a small model in low bits, beside the same model in bfloat16.

    `output` is a .gguf file, or with several formats a folder. `TrainOptions` explains the other
    options. A run that was stopped continues, and ends with the same losses and the same files.

    Raises FormatError for a format without a recipe for gradients, MeasurementError for a text that
    is too short and for a loss that is not finite, UnsupportedModel without torch or for a model
    that cannot be trained, and CheckpointError if `run` holds another run.
    """
    options = TrainOptions(
        format=format, against=against, model=model, text=text, tokens=tokens, seeds=seeds,
        context=context, rate=rate, ablate=ablate, demo=demo, run=as_path(run),
        overwrite=overwrite, threads=threads,
    )  # fmt: skip
    return drain(train_records(output, options), TrainResult, progress)


def train_records(output: str | Path, options: TrainOptions) -> Iterator[TrainRecord]:
    """Run `train`; yield progress records, and the result last.

    Stopping between two records is safe: the same command continues from its folder.
    """
    began = time.perf_counter()
    output = Path(output)
    targets = options.targets(output)
    parts = _read_text(options)  # before torch, which takes seconds to import
    with needs_packages("training"):
        from zeropoint.models.torch_threads import torch_threads
        from zeropoint.training.experiment import Experiment
        from zeropoint.training.trainer import TrainingPlan
    formats = _formats(options)
    if len(targets) > 1:
        output.mkdir(exist_ok=True)
    for target in targets.values():
        check_target(target, (), overwrite=options.overwrite)
    with (
        state_folder(options.run, output) as path,
        torch_threads(options.threads or default_threads()),
    ):
        folder = _start_folder(path, options, parts)
        starts = _starts(folder, options, formats, parts)
        yield from starts.notices(formats)
        steps = max(1, round(options.tokens / (WINDOWS * options.context)))
        plan = TrainingPlan(steps=steps, windows=WINDOWS, rate=_rate(options))
        tokens = starts.tokens(parts, options.context)
        baseline = options.baseline is not None
        experiment = Experiment(
            folder, starts.open, tokens, plan, formats, options.seeds, compares=baseline
        )
        timed = dict(experiment.step_seconds())
        yield _planned(experiment, timed)
        for member in experiment.members:
            yield StageStarted(member.label, steps, "steps", timed[member.format])
            yield from experiment.run(member)
        written = dict[str, TrainedFormat]()
        for found in experiment.results():
            if found.format in targets and not found.left_out:
                target = targets[found.format]
                found = _write(experiment, found, target, options)
                yield ModelWritten(target, found.format, found.output_bytes)
            written[found.label] = found
        first = starts.open(formats[0])
        result = TrainResult(
            model=first.path.name if options.model else None,
            parameters=sum(info.elements for info in first.tensors.values()),
            vocabulary=first.tensors["token_embd.weight"].shape[0],
            text=parts.hash,
            context=options.context,
            step_tokens=experiment.step_tokens,
            tokens=steps * experiment.step_tokens,
            seeds=options.seeds,
            rate=plan.rate,
            baseline=formats[0].name if baseline else None,
            formats=tuple(written.values()),
            histogram=experiment.histogram(),
            seconds=time.perf_counter() - began,
        )
        folder.finish(result)
        yield result


def _formats(options: TrainOptions) -> "tuple[TrainableFormat, ...]":
    """Return the formats to train: the baseline first, and each one before its ablations."""
    from zeropoint.training.recipes import trainable_format

    found = [trainable_format(options.baseline)] if options.baseline else []
    for name in options.formats:
        format = trainable_format(name)
        found.append(format)
        for ingredient in format.ingredients if options.ablate else ():
            found.append(trainable_format(name, frozenset({ingredient})))
    return tuple(dict.fromkeys(found))


def _read_text(options: TrainOptions) -> TextParts:
    files = as_list(options.text)
    return split_documents(
        open_corpus(files, "calibrate").domains if files else library_documents()
    )


def _rate(options: TrainOptions) -> float:
    if options.rate is not None:
        return options.rate
    return DEFAULT_TUNING_RATE if options.model else DEFAULT_RATE


def _start_folder(path: Path, options: TrainOptions, parts: TextParts) -> RunFolder:
    """Begin or resume the run. Raises CheckpointError if the folder holds another run."""
    inputs: dict[str, object] = {"text": {"corpus": parts.hash}}
    if options.model:
        with open_model(options.model, "run") as source:
            inputs["reference"] = identify(source).to_json()
    settings = {
        "formats": list(options.formats), "against": options.baseline, "ablate": options.ablate,
        "tokens": options.tokens, "seeds": options.seeds, "context": options.context,
        "rate": _rate(options), "threads": options.threads or default_threads(),
    }  # fmt: skip
    return RunFolder.start(path, "train", inputs, settings)


@dataclass(frozen=True)
class Starts:
    """The models that training begins with: without and with norms before the projections."""

    plain: Checkpoint
    sub_norms: Checkpoint

    def open(self, format: "TrainableFormat") -> Checkpoint:
        """Return the model that a format begins with."""
        return self.sub_norms if format.sub_norms else self.plain

    def tokens(self, parts: TextParts, context: int) -> TrainingTokens:
        """Return the text as tokens.

        Raises MeasurementError if the model has fewer rows for tokens than the vocabulary needs.
        """
        tokenizer: Tokenizer = read_tokenizer(self.plain)
        found = tokenize(parts, tokenizer.encode, context)
        rows = self.plain.tensors["token_embd.weight"].shape[0]
        highest = max(int(found.tokens.max()), int(found.held_out.max()))
        if highest >= rows:
            raise MeasurementError(
                f"{self.plain.path}: the vocabulary does not fit the model: the text has token"
                f" {highest:,}, and the embedding has {rows:,} rows"
            )
        return found

    def notices(self, formats: "Sequence[TrainableFormat]") -> Iterator[Notice]:
        """Yield a warning if a ternary model is trained without the norms that it should have."""
        if self.plain is self.sub_norms and any(format.sub_norms for format in formats):
            yield Notice("an existing model gets no norms before its output and down projections")


def _starts(
    folder: RunFolder, options: TrainOptions, formats: "Sequence[TrainableFormat]", parts: TextParts
) -> Starts:
    """Open the models that training begins with; a new one is written to the run folder."""
    if options.model:
        source = open_model(options.model, "run")
        return Starts(source, source)
    from zeropoint.training.new_model import train_vocabulary, write_new_model

    shape = replace(DecoderShape(), context=options.context)
    paths = [folder.path / name for name in ("start.gguf", "start-sub-norms.gguf")]
    if not all(path.exists() for path in paths):
        vocabulary = train_vocabulary(parts.training, shape.vocabulary)
        for path, sub_norms in zip(paths, (False, True), strict=True):
            write_new_model(path, vocabulary, shape, sub_norms=sub_norms, seed=0)
    plain, with_norms = (open_checkpoint(path) for path in paths)
    return Starts(plain, with_norms)


def _planned(experiment: "Experiment", timed: "dict[TrainableFormat, float]") -> TrainPlanned:
    tokens, steps = experiment.tokens, experiment.plan.steps
    start = experiment.start(experiment.formats[0])
    return TrainPlanned(
        parameters=sum(info.elements for info in start.tensors.values()),
        vocabulary=start.tensors["token_embd.weight"].shape[0],
        text_tokens=len(tokens.tokens),
        held_out_tokens=tokens.held_out.size,
        labels=tuple(format.label for format in experiment.formats),
        seeds=experiment.seeds,
        steps=steps,
        step_tokens=experiment.step_tokens,
        seconds=sum(timed.values()) * steps * experiment.seeds,
    )


def _write(
    experiment: "Experiment", found: TrainedFormat, target: Path, options: TrainOptions
) -> TrainedFormat:
    """Write the model of a format, of the first seed."""
    from zeropoint.training.experiment import TrainingMember
    from zeropoint.training.export import write_trained
    from zeropoint.training.recipes import trainable_format

    format = trainable_format(found.format)
    trainer = experiment.trained(TrainingMember(format, 0))
    facts = {
        "zeropoint.training.format": format.name,
        "zeropoint.training.tokens": experiment.plan.steps * experiment.step_tokens,
    }
    start = experiment.start(format)
    size = write_trained(trainer, start, target, facts, overwrite=options.overwrite)
    stored = format.stored if trainer.low_bit_names() else "F16"
    return replace(found, output=str(target), output_bytes=size, stored_as=stored)
