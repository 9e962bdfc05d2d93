"""`compare`: several quantized models against one reference, or several models by memory."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import MeasurementError
from zeropoint.metrics.divergence.ranking import QuantScores, inseparable, rank
from zeropoint.metrics.divergence.reference_pass import MeasureText, ReferencePass
from zeropoint.metrics.divergence.run import FloorStarted, MeasureProgress, MeasureRun
from zeropoint.metrics.identity import distinct_names
from zeropoint.results.divergence import CompareResult
from zeropoint.results.run_store import RunFolder
from zeropoint.results.tasks import AcrossResult
from zeropoint.verbs.arguments import as_path
from zeropoint.verbs.compare_models import ModelsRecord, compare_models_records
from zeropoint.verbs.default_count import CountChosen, FirstTimed
from zeropoint.verbs.loaded_model import LoadedModel, ModelInput, checkpoint_of, opened
from zeropoint.verbs.model_pair import ModelPair
from zeropoint.verbs.options.checks import Count
from zeropoint.verbs.options.compare import CompareOptions
from zeropoint.verbs.records import ModelStarted, Notice, OnRecord, StageStarted, drain
from zeropoint.verbs.reference import (
    ReferenceOpened,
    TextPrepared,
    prepare_text,
    proxy_notices,
    start_measure_run,
)

CompareRecord: TypeAlias = (
    Notice
    | TextPrepared
    | FirstTimed
    | CountChosen
    | ReferenceOpened
    | ModelStarted
    | StageStarted
    | MeasureProgress
    | FloorStarted
    | CompareResult
    | ModelsRecord
)


def compare(
    models: ModelInput | Sequence[ModelInput],
    ref: ModelInput | None = None,
    *,
    text: str | Path | Sequence[str | Path] | None = None,
    context: int = 512,
    chunks: Count = None,
    floor_chunks: int = 4,
    tasks: str = "",
    allow_code: bool = False,
    chains: int = 0,
    steps: int = 8,
    level: int | None = None,
    memory_context: int = 4096,
    tokens: int = 256,
    chat: bool | None = None,
    run: str | Path | None = None,
    threads: int | None = None,
    progress: OnRecord | None = None,
) -> CompareResult | AcrossResult:
    """Compare several quantized models with their reference, or several models of any kind.

    With `ref`, the models are ordered by their KL divergence from it, and a paired test groups
    those that it cannot separate (CompareResult). Files of the same name, such as those of several
    uploaders, are named with their folder. Without it, the models need not use the same
    tokens, and are compared by memory: nats per byte of the same text, tasks, and chains
    (AcrossResult). `CompareOptions` explains the options. `progress` is called with every record.

    Raises MeasurementError for models or texts that cannot be compared, CheckpointError or
    UnsupportedModel for a model that cannot be run, and CheckpointError if `run` holds another run.
    """
    options = CompareOptions(
        text=text,
        context=context,
        chunks=chunks,
        floor_chunks=floor_chunks,
        tasks=tasks,
        allow_code=allow_code,
        chains=chains,
        steps=steps,
        level=level,
        memory_context=memory_context,
        tokens=tokens,
        chat=chat,
        run=as_path(run),
        threads=threads,
    )
    several = models if isinstance(models, Sequence) and not isinstance(models, str) else [models]
    records = compare_records(several, ref, options)
    if ref is None:
        return drain(records, AcrossResult, progress)
    return drain(records, CompareResult, progress)


def compare_records(
    models: Sequence[ModelInput], ref: ModelInput | None, options: CompareOptions
) -> Iterator[CompareRecord]:
    """Run `compare`; yield progress records, and the result last.

    Stopping between two records is safe: the same run resumes where it was stopped.
    """
    if not models:
        raise MeasurementError("there is no model to compare; name at least one")
    if ref is None:
        yield from compare_models_records(models, options)
        return
    if options.tasks or options.chains:
        raise MeasurementError(
            "tasks and chains (--tasks, --chains) compare models without a reference (without"
            " --ref); with a reference, the verbs `tasks` and `drift` evaluate them"
        )
    reference = LoadedModel.open(ref, threads=options.threads)
    yield from proxy_notices(reference.identity)
    yield ReferenceOpened(reference.identity)
    sources = [opened(model) for model in models]
    folders = _run_folders(options.run, [checkpoint_of(source) for source in sources])
    names = distinct_names([checkpoint_of(source).path for source in sources])
    quant = ModelPair.open(reference, sources[0], threads=options.threads).quant

    def start(path: Path, text: MeasureText) -> RunFolder:
        identity = replace(quant.identity, name=names[folders.index(path)])
        return start_measure_run(path, reference.identity, identity, text)

    prepared = yield from prepare_text(
        reference, quant.model, options, folders[0], start, models=len(sources)
    )
    text, first = prepared.text, prepared.first
    reference_pass = ReferencePass.for_several(
        reference.model, text, floor_chunks=options.floor_chunks
    )
    scored: list[QuantScores] = []
    for index, (source, name) in enumerate(zip(sources, names, strict=True)):
        if index:
            quant = ModelPair.open(reference, source, threads=options.threads).quant
        identity = replace(quant.identity, name=name)
        yield ModelStarted(identity)
        path = folders[index]
        folder = start(path, text) if path and index else prepared.folder
        run = MeasureRun(reference_pass, quant.model, folder, first=None if index else first)
        yield StageStarted("measuring", len(text.chunks), "chunks", prepared.seconds)
        result = yield from run.measure()
        scored.append(QuantScores(identity.name, identity.file_bytes, run.scores, result))
    ranked = tuple(rank(scored))
    yield CompareResult(
        floor=reference_pass.floor,
        results=ranked,
        chosen_count=prepared.chosen,
        inseparable=inseparable([one.name for one in ranked], [one.group for one in ranked]),
    )


def _run_folders(run: Path | None, quants: Sequence[Checkpoint]) -> list[Path | None]:
    """Return the run folder of each quantized model; None without `run`."""
    return [
        run / f"{index:02}-{quant.path.stem}" if run else None for index, quant in enumerate(quants)
    ]
