"""`drift`: how the texts of a quantized model diverge from its reference's over many steps."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from zeropoint.errors import MeasurementError
from zeropoint.metrics.chains.run import ChainRun, ChainSettings, Participant
from zeropoint.metrics.chains.session import ChainProgress
from zeropoint.metrics.generation.divergence_point import (
    FreeRunProgress,
    FreeRunSettings,
    PairedGeneration,
    ReferenceTexts,
)
from zeropoint.metrics.generation.prompts import (
    Prompt,
    encode_prompts,
    read_prompts,
    split_by_length,
    spread_prompts,
)
from zeropoint.metrics.generation.run import (
    PromptContinuation,
    compare_texts,
    continue_prompts,
    free_run_results,
    load_texts,
    save_texts,
    start_run,
)
from zeropoint.plans import Recipe
from zeropoint.quantizers.in_memory import TensorReplaced
from zeropoint.results.chains import ChainsResult
from zeropoint.results.drift import (
    DriftResult,
    DriftSettings,
    FreeRun,
    PromptTooLong,
    TextsCompared,
)
from zeropoint.results.model_identity import ModelIdentity, ReferenceIdentity
from zeropoint.results.run_store import RunFolder
from zeropoint.verbs.arguments import as_path
from zeropoint.verbs.default_count import MIN_COUNT, CountChosen, FirstTimed, timed
from zeropoint.verbs.drift_choice import TIMED_TOKENS, DriftChoice
from zeropoint.verbs.loaded_model import LoadedModel, ModelInput, checkpoint_of
from zeropoint.verbs.model_pair import ModelPair
from zeropoint.verbs.options.checks import Count
from zeropoint.verbs.options.drift import DriftOptions
from zeropoint.verbs.quantized_copy import QuantizedCopy
from zeropoint.verbs.records import ModelStarted, Notice, OnRecord, StageStarted, drain


@dataclass(frozen=True)
class DriftStarted:
    """The reference is loaded, and the prompts are read."""

    reference: ModelIdentity
    prompts: int  # that fit the reference's context


DriftProgress: TypeAlias = (
    Notice
    | FirstTimed
    | CountChosen
    | DriftStarted
    | ModelStarted
    | StageStarted
    | TensorReplaced
    | FreeRunProgress
    | ChainProgress
)


def drift(
    model: ModelInput,
    ref: ModelInput | None = None,
    *,
    to: str | Recipe = "",
    requantize: bool = False,
    prompts: Path | str | None = None,
    count: Count = None,
    tokens: int = 64,
    decoding: Literal["both", "greedy", "sampled"] = "both",
    temperature: float = 1.0,
    seed: int = 0,
    batch_size: int = 48,
    chat: bool | None = None,
    mode: Literal["exact", "fast"] = "exact",
    chains: int | None = None,
    steps: int = 8,
    level: int | None = None,
    run: str | Path | None = None,
    threads: int | None = None,
    progress: OnRecord | None = None,
) -> DriftResult:
    """Measure how the texts of a quantized model diverge from those of its reference.

    Give either `ref`, the model to compare with, or `to`, a format that `model` is quantized to in
    memory. `DriftOptions` explains the options. Both models continue the same prompts with the same
    noise, and then answer chains: problems of several steps.

    Raises MeasurementError for prompts that cannot be read or do not fit, CheckpointError or
    UnsupportedModel for a model that cannot be run, RecipeError for an unknown format, and
    CheckpointError if `run` holds another run.
    """
    options = DriftOptions(
        to=to, requantize=requantize, prompts=prompts, count=count, tokens=tokens,
        decoding=decoding, temperature=temperature, seed=seed, batch_size=batch_size, chat=chat,
        mode=mode, chains=chains, steps=steps, level=level, run=as_path(run), threads=threads,
    )  # fmt: skip
    return drain(drift_records([model], ref, options), DriftResult, progress)


def drift_records(
    models: Sequence[ModelInput], ref: ModelInput | None, options: DriftOptions
) -> Iterator[DriftProgress | DriftResult]:
    """Run `drift` for several quantized models; yield the result of each when it is complete.

    The reference generates its texts only once. With several models, each has its own folder
    in the run folder. Stopping between two records is safe, and the same run continues.
    """
    if (ref is None) == (not options.to):
        raise MeasurementError("drift needs either a reference model or a format to quantize to")
    if options.to and len(models) > 1:
        raise MeasurementError("only one model can be quantized in memory")
    folders = [
        options.run / f"{place:02}-{_stem(model)}"
        if options.run and len(models) > 1
        else options.run
        for place, model in enumerate(models)
    ]
    comparison = DriftComparison(options, ref if ref is not None else models[0], folders[0])
    yield from comparison.start(len(models))
    for model, folder in zip(models, folders, strict=True):
        yield (yield from comparison.follow(model, folder))


def _stem(model: ModelInput) -> str:
    path = model if isinstance(model, str | Path) else checkpoint_of(model).path
    return Path(path).stem


@dataclass
class DriftParticipant:
    """A loaded model, its encoded prompts, and what it has generated so far."""

    loaded: LoadedModel
    texts: ReferenceTexts
    chains: Participant
    encoded: dict[Prompt, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, loaded: LoadedModel) -> "DriftParticipant":
        """Return a participant that has generated nothing."""
        participant = Participant(loaded.identity.name, loaded.model)
        return cls(loaded, ReferenceTexts(loaded.model), participant)

    def encode(self, prompts: Sequence[Prompt], chat: bool | None) -> list[list[int]]:
        """Return the token ids of prompts; a prompt is encoded only once."""
        missing = [prompt for prompt in prompts if prompt not in self.encoded]
        if missing:  # a chat template is rendered in a child process
            texts = [prompt.prompt for prompt in missing]
            ids = encode_prompts(self.loaded.checkpoint, self.loaded.model, texts, chat=chat)
            self.encoded.update(zip(missing, ids, strict=True))
        return [self.encoded[prompt] for prompt in prompts]

    def fitting(
        self, prompts: Sequence[Prompt], chat: bool | None
    ) -> tuple[list[Prompt], list[PromptTooLong]]:
        """Return the prompts that fit the model's context, and those that do not."""
        ids = self.encode(prompts, chat)
        return split_by_length(prompts, ids, self.loaded.model.context_length)


class DriftComparison:
    """One reference and its prompts, for several quantized models."""

    def __init__(
        self, options: DriftOptions, reference: ModelInput, run: Path | None = None
    ) -> None:
        self.options = options
        self.choice = DriftChoice(options, run)
        # A count that is chosen applies to the prompts that fit, so all of them are read.
        asked = self.choice.prompts
        self.prompts: list[Prompt] = read_prompts(
            Path(options.prompts) if options.prompts else None,
            count=None if asked.stored else asked.limit,
        )
        loaded = LoadedModel.open(reference, mode=options.mode, threads=options.threads)
        self.reference = DriftParticipant.of(loaded)
        self.too_long: list[PromptTooLong] = []
        self.levels: dict[str, int] = {}  # of the chains, by family
        self.settings = FreeRunSettings(
            max_tokens=options.tokens,
            modes=("greedy", "sampled") if options.decoding == "both" else (options.decoding,),
            temperature=options.temperature,
            seed=options.seed,
            batch_size=options.batch_size,
        )

    def start(self, models: int = 1) -> Iterator[DriftProgress]:
        """Leave out the prompts that do not fit the reference's context, and choose how many.

        `models` is the number of quantized models.
        """
        self.prompts, self.too_long = self.reference.fitting(self.prompts, self.options.chat)
        yield from _too_long_notices(self.reference, self.too_long)
        seconds = None
        if self.choice.needs_time(len(self.prompts)):
            yield FirstTimed("prompts", len(self.prompts))
            seconds = self._time_token()
        yield from self.choice.choose(len(self.prompts), seconds, 1 + models)
        self.prompts = spread_prompts(self.prompts, self.choice.prompt_count)
        yield DriftStarted(self.reference.loaded.identity, len(self.prompts))

    def _time_token(self) -> float:
        """Return the seconds that the reference takes for a token, in a batch of some prompts."""
        prompts = spread_prompts(self.prompts, MIN_COUNT)
        ids = self.reference.encode(prompts, self.options.chat)
        few = replace(self.settings, max_tokens=min(TIMED_TOKENS, self.settings.max_tokens))
        model = self.reference.loaded.model
        _, seconds = timed(lambda: list(continue_prompts(model, ids, few, {})))
        return seconds / (len(prompts) * few.max_tokens)

    def follow(
        self, model: ModelInput, path: Path | None
    ) -> Generator[DriftProgress, None, DriftResult]:
        """Compare one quantized model with the reference; `path` is its run folder."""
        quant = DriftParticipant.of((yield from self._load(model)))
        pair = ModelPair(self.reference.loaded, quant.loaded)
        settings = self._recorded_settings()
        folder = None
        if path:
            identities = pair.reference.identity, pair.quant.identity
            folder = start_run(path, *identities, self.prompts, settings.to_json())
            self.choice.save(folder)
        yield ModelStarted(pair.quant.identity)
        prompts, too_long = quant.fitting(self.prompts, self.options.chat)
        yield from _too_long_notices(quant, too_long)
        texts: TextsCompared | None = None
        free_run: dict[str, FreeRun] = {}
        try:
            pair.check_tokens()
        except MeasurementError as difference:
            yield Notice(f"{difference}; texts and answers are compared instead, greedy")
            texts = yield from self._compare_texts(quant, prompts, folder)
        else:
            free_run = yield from self._free_run(quant, prompts, folder)
        chains = (yield from self._run_chains(quant, folder)) if self.choice.chain_count else None
        result = DriftResult(
            reference=ReferenceIdentity.of(pair.reference.identity),
            quant=pair.quant.identity,
            settings=settings,
            prompts=len(prompts),
            left_out=(*self.too_long, *too_long),
            texts=texts,
            free_run=free_run,
            chains=chains,
            chosen_prompts=self.choice.chosen_prompts,
            chosen_chains=self.choice.chosen_chains,
        )
        if folder:
            folder.finish(result)
        return result

    def _recorded_settings(self) -> DriftSettings:
        """Return the settings by their names in run.json."""
        options, settings = self.options, self.settings
        return DriftSettings(
            limit=settings.max_tokens,
            ways=settings.modes,
            temperature=settings.temperature,
            seed=settings.seed,
            together=settings.batch_size,
            chat=options.chat,
            mode=options.mode,
            chains=(self.choice.chain_count, options.steps, options.level),
        )

    def _load(self, model: ModelInput) -> Generator[DriftProgress, None, LoadedModel]:
        """Load a quantized model, or quantize the reference in memory."""
        options = self.options
        if not options.to:
            return LoadedModel.open(model, mode=options.mode, threads=options.threads)
        copy = QuantizedCopy.plan_for(
            self.reference.loaded.checkpoint, options.to, requantize=options.requantize
        )
        return (yield from copy.load(mode=options.mode, threads=options.threads))

    def _free_run(
        self, quant: DriftParticipant, prompts: Sequence[Prompt], folder: RunFolder | None
    ) -> Generator[DriftProgress, None, dict[str, FreeRun]]:
        """Generate with both models, and compare them token by token."""
        model = self.reference.loaded.model
        all_prompts = len(prompts) == len(self.prompts)
        generation = PairedGeneration(
            self.reference.texts if all_prompts else ReferenceTexts(model),
            quant.loaded.model,
            self.reference.encode(prompts, self.options.chat),
            model.tokenizer.stops,
            self.settings,
            folder,
        )
        yield StageStarted("generating", generation.total, "tokens")
        yield from generation.run()
        return free_run_results(generation, prompts, model.tokenizer, folder)

    def _compare_texts(
        self, quant: DriftParticipant, prompts: Sequence[Prompt], folder: RunFolder | None
    ) -> Generator[DriftProgress, None, TextsCompared]:
        """Generate with two models whose tokens differ, and compare the texts."""
        sides = []
        for place, participant in enumerate((self.reference, quant)):
            texts: dict[int, PromptContinuation] = load_texts(folder, place) if folder else {}
            saved = len(texts)
            ids = participant.encode(prompts, self.options.chat)
            yield StageStarted("generating", len(prompts) * self.settings.max_tokens, "tokens")
            for record in continue_prompts(participant.loaded.model, ids, self.settings, texts):
                if folder and record.pairs > saved:
                    save_texts(folder, place, texts)
                    saved = record.pairs
                yield record
            sides.append([texts[index] for index in range(len(prompts))])
        return compare_texts(*sides, prompts=prompts, folder=folder)

    def _run_chains(
        self, quant: DriftParticipant, folder: RunFolder | None
    ) -> Generator[DriftProgress, None, ChainsResult]:
        """Run the chains that either model has not answered, and compare the models."""
        options = self.options
        settings = ChainSettings(
            self.choice.chain_count,
            options.steps,
            level=options.level,
            batch_size=options.batch_size,
        )
        participants = self.reference.chains, quant.chains
        run = ChainRun(settings, participants, self.levels, folder)
        yield StageStarted("chains", run.total, "answers")
        yield from run.run()
        return run.results()


def _too_long_notices(
    participant: DriftParticipant, prompts: Sequence[PromptTooLong]
) -> Iterator[Notice]:
    for prompt in prompts:
        yield Notice(
            f"the prompt of line {prompt.line} is left out: it has {prompt.tokens} tokens, and the "
            f"context of {participant.loaded.identity.name} has {prompt.room}"
        )
