"""`ladder`: one model in formats of fewer and fewer bits, measured against the model itself."""

from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import MeasurementError, RecipeError
from zeropoint.metrics.divergence.ladder import (
    LevelFormat,
    largest_step,
    load_level,
    parse_companions,
    parse_levels,
    preset_levels,
    save_level,
)
from zeropoint.metrics.divergence.reference_pass import MeasureText, ReferencePass
from zeropoint.metrics.divergence.run import FloorStarted, MeasureProgress, MeasureRun
from zeropoint.metrics.speed.throughput import measure_speed
from zeropoint.plans import Recipe
from zeropoint.quantizers.in_memory import TensorReplaced
from zeropoint.results.bench import QuickSpeed
from zeropoint.results.divergence import LadderLevel, LadderResult, MeasureResult
from zeropoint.results.run_store import RunFolder
from zeropoint.verbs.arguments import as_path
from zeropoint.verbs.best_levels import BestLevel, find_best_levels
from zeropoint.verbs.default_count import CountChosen, FirstTimed
from zeropoint.verbs.loaded_model import LoadedModel, ModelInput, checkpoint_of, opened
from zeropoint.verbs.options.checks import Count
from zeropoint.verbs.options.ladder import DEFAULT_LEVELS, LadderOptions
from zeropoint.verbs.quantized_copy import QuantizedCopy
from zeropoint.verbs.records import Notice, OnRecord, StageStarted, drain
from zeropoint.verbs.reference import (
    ReferenceOpened,
    TextPrepared,
    prepare_text,
    proxy_notices,
    start_measure_run,
)
from zeropoint.verbs.search import SearchRecord


@dataclass(frozen=True)
class LevelStarted:
    """The work on one level begins."""

    index: int  # from 0
    levels: int
    format: str
    #: Size of the file; of all tensors, if no file can store the format.
    nbytes: int


@dataclass(frozen=True)
class LevelMeasured:
    """One level is measured."""

    level: LadderLevel


@dataclass(frozen=True)
class PlannedLevel:
    """A level that is planned and not measured yet."""

    level: LevelFormat
    copy: QuantizedCopy


LevelRecords: TypeAlias = Generator[
    StageStarted | TensorReplaced | MeasureProgress | FloorStarted,
    None,
    tuple[MeasureResult, QuickSpeed | None],
]
LadderRecord: TypeAlias = (
    Notice
    | SearchRecord
    | TextPrepared
    | FirstTimed
    | CountChosen
    | ReferenceOpened
    | LevelStarted
    | StageStarted
    | TensorReplaced
    | MeasureProgress
    | FloorStarted
    | LevelMeasured
    | LadderResult
)


def ladder(
    model: ModelInput,
    *,
    levels: str | Sequence[str | int] | None = None,
    with_: str | Sequence[str] = "",
    share: str = "G32",
    imatrix: str | Path | None = None,
    text: str | Path | Sequence[str | Path] | None = None,
    context: int = 512,
    chunks: Count = None,
    floor_chunks: int = 4,
    requantize: bool = False,
    run: str | Path | None = None,
    threads: int | None = None,
    progress: OnRecord | None = None,
) -> LadderResult:
    """Measure a model in formats of fewer and fewer bits, each quantized in memory.

    A number of bits in `levels` stands for symmetric and asymmetric integers, whose weights share a
    scale as `share` says. `with_="presets,best"` adds llama.cpp's presets, and recipes of a search
    with their sizes. `LadderOptions` explains the options. `progress` is called with every record.

    Raises MeasurementError for a text that cannot be used, RecipeError for an unknown format,
    FormatError for a model that is already quantized (unless `requantize` is set), and
    CheckpointError if `run` holds another run.
    """
    options = LadderOptions(
        levels=levels,
        with_=with_,
        share=share,
        imatrix=as_path(imatrix),
        text=text,
        context=context,
        chunks=chunks,
        floor_chunks=floor_chunks,
        requantize=requantize,
        run=as_path(run),
        threads=threads,
    )
    return drain(ladder_records(model, options), LadderResult, progress)


def ladder_records(model: ModelInput, options: LadderOptions) -> Iterator[LadderRecord]:
    """Run `ladder`; yield progress records, and the result last.

    Stopping between two records is safe: the same run resumes at the level where it was stopped.
    """
    source = opened(model)
    planned = yield from _plan_levels(checkpoint_of(source), options)
    formats = [one.level for one in planned]
    reference = LoadedModel.open(source, threads=options.threads)
    yield from proxy_notices(reference.identity)
    yield ReferenceOpened(reference.identity)
    prepared = yield from prepare_text(
        reference,
        reference.model,
        options,
        options.run,
        partial(_start_run, options, reference, formats),
        models=len(planned),
    )
    text = prepared.text
    reference_pass = ReferencePass.for_several(
        reference.model, text, floor_chunks=options.floor_chunks
    )
    rows: list[LadderLevel] = []
    for index, one in enumerate(planned):
        level, copy, plan = one.level, one.copy, one.copy.plan
        yield LevelStarted(index, len(formats), level.format, copy.file_bytes or plan.tensor_bytes)
        level_folder = None
        if options.run:
            path = options.run / f"{index:02}-{level.format}"
            level_folder = start_measure_run(path, reference.identity, copy.identity, text)
        result, speed = yield from _measure_level(reference_pass, copy, level_folder, options)
        row = LadderLevel(
            level=level.label,
            kind=level.kind,
            format=level.format,
            bytes=plan.tensor_bytes,
            file_bytes=copy.file_bytes,
            bits_per_weight=plan.bits_per_weight,
            prompt_tokens_per_second=speed.prompt if speed else None,
            generation_tokens_per_second=speed.generation if speed else None,
            measured=result,
        )
        rows.append(row)
        yield LevelMeasured(row)
    step = largest_step(formats, [row.measured.top1 for row in rows])
    ladder_result = LadderResult(
        floor=reference_pass.floor,
        largest_step=step,
        levels=tuple(rows),
        chosen_count=prepared.chosen,
    )
    if prepared.folder:
        prepared.folder.finish(ladder_result)
    yield ladder_result


def _plan_levels(
    checkpoint: Checkpoint, options: LadderOptions
) -> Generator[Notice | SearchRecord, None, list[PlannedLevel]]:
    """Plan the levels, then those of `with_`. Presets that need importance require an imatrix."""
    companions = parse_companions(options.with_)
    levels = options.levels
    if levels is None:
        levels = "" if companions else DEFAULT_LEVELS
    words = levels if isinstance(levels, str) else ",".join(str(level) for level in levels)
    formats = parse_levels(words, options.share) if words.strip() or not companions else []
    found = [_planned(checkpoint, level, level.format, options) for level in formats]
    if "presets" in companions:
        found += yield from _plan_presets(checkpoint, {one.level.format for one in found}, options)
    if "best" in companions:
        sizes = {one.level.format: one.copy.file_bytes for one in found if one.copy.file_bytes}
        for record in find_best_levels(checkpoint, sizes, options):
            if isinstance(record, BestLevel):
                found.append(_planned(checkpoint, record.level, record.recipe, options))
            else:
                yield record
    return found


def _plan_presets(
    checkpoint: Checkpoint, known: Collection[str], options: LadderOptions
) -> Generator[Notice, None, list[PlannedLevel]]:
    """Plan the presets that are not known as levels, and report those that need importance."""
    found: list[PlannedLevel] = []
    missing: list[str] = []
    for level in preset_levels():
        if level.format in known:
            continue
        try:
            found.append(_planned(checkpoint, level, level.format, options))
        except RecipeError:
            if options.imatrix:  # importance is not what is missing
                raise
            missing.append(level.format)
    if missing:
        yield Notice(
            f"the presets {', '.join(missing)} need importance and are left out; give it with"
            " --imatrix FILE, which `zeropoint calibrate` writes"
        )
    if not found and not known:
        raise MeasurementError("no preset can be measured without importance (--imatrix)")
    return found


def _planned(
    checkpoint: Checkpoint, level: LevelFormat, to: str | Recipe, options: LadderOptions
) -> PlannedLevel:
    copy = QuantizedCopy.plan_for(
        checkpoint, to, imatrix=options.imatrix, requantize=options.requantize
    )
    return PlannedLevel(level, copy)


def _start_run(
    options: LadderOptions,
    reference: LoadedModel,
    formats: Sequence[LevelFormat],
    path: Path,
    text: MeasureText,
) -> RunFolder:
    """Begin the run of the whole ladder; its levels are runs of their own inside of it."""
    inputs = {"reference": reference.identity.to_json(), "text": {"corpus": text.corpus}}
    settings = {"context": text.context, "formats": [level.format for level in formats]}
    if options.imatrix:
        settings["imatrix"] = options.imatrix.name
    return RunFolder.start(path, "ladder", inputs, settings)


def _measure_level(
    reference: ReferencePass,
    copy: QuantizedCopy,
    folder: RunFolder | None,
    options: LadderOptions,
) -> LevelRecords:
    """Measure one level, and time it if its format has kernels.

    A level that the run folder holds in full is read, and not quantized again.
    """
    stored = load_level(folder, len(reference.text.chunks)) if folder else None
    if stored is not None:
        reference.adopt_floor(stored[0].floor)
        return stored
    quant = yield from copy.load(threads=options.threads)
    run = MeasureRun(reference, quant.model, folder)
    yield StageStarted("measuring", len(reference.text.chunks), "chunks")
    result = yield from run.measure()
    speed = measure_speed(quant.model) if copy.plan.has_kernels else None
    if folder:
        save_level(folder, speed)
    return result, speed
