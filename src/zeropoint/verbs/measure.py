"""`measure`: how much a quantized model diverges from its reference."""

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from zeropoint.errors import CheckpointError, MeasurementError
from zeropoint.metrics.divergence.gate import parse_gate
from zeropoint.metrics.divergence.reference_cache import (
    ReferenceCache,
    cache_bytes,
    open_cache_folder,
)
from zeropoint.metrics.divergence.reference_pass import MeasureText, ReferencePass
from zeropoint.metrics.divergence.run import FloorStarted, MeasureProgress, MeasureRun
from zeropoint.models import CacheTypes
from zeropoint.plans import Recipe
from zeropoint.quantizers.in_memory import TensorReplaced
from zeropoint.quantizers.proof import check_storable, store_measurement
from zeropoint.results.divergence import MeasureResult, QuantIdentity
from zeropoint.results.model_identity import ModelIdentity, ReferenceIdentity
from zeropoint.results.run_store import RunFolder
from zeropoint.verbs.arguments import as_list, as_path
from zeropoint.verbs.default_count import CountChosen, FirstTimed
from zeropoint.verbs.loaded_model import (
    LoadedModel,
    ModelInput,
    checkpoint_of,
    opened,
    with_kv_cache,
)
from zeropoint.verbs.model_pair import ModelPair
from zeropoint.verbs.options.checks import ALL, Count
from zeropoint.verbs.options.measure import MeasureOptions
from zeropoint.verbs.quantized_copy import QuantizedCopy
from zeropoint.verbs.records import Notice, OnRecord, StageStarted, drain
from zeropoint.verbs.reference import TextPrepared, prepare_text, proxy_notices, start_measure_run


@dataclass(frozen=True)
class PairOpened:
    """Both models are loaded."""

    reference: ModelIdentity
    quant: ModelIdentity
    #: How the quantized model stores keys and values.
    kv_cache: str


@dataclass(frozen=True)
class CacheOpened:
    """The folder for the reference's hidden states is open."""

    folder: Path
    nbytes: int  # size of all states when the measurement is complete


PairRecords: TypeAlias = Generator[Notice | StageStarted | TensorReplaced, None, ModelPair]
MeasureRecord: TypeAlias = (
    Notice
    | StageStarted
    | TensorReplaced
    | TextPrepared
    | PairOpened
    | FirstTimed
    | CountChosen
    | CacheOpened
    | FloorStarted
    | MeasureProgress
    | MeasureResult
)


def measure(
    model: ModelInput,
    ref: ModelInput | None = None,
    *,
    to: str | Recipe = "",
    text: str | Path | Sequence[str | Path] | None = None,
    context: int = 512,
    chunks: Count = None,
    floor_chunks: int = 4,
    imatrix: str | Path | None = None,
    requantize: bool = False,
    kv: str = "f32",
    kv_rotation: bool = True,
    until: float | None = None,
    run: str | Path | None = None,
    reference_cache: str | Path | None = None,
    store: bool = False,
    gates: str | Sequence[str] | None = None,
    threads: int | None = None,
    progress: OnRecord | None = None,
) -> MeasureResult:
    """Measure how much a quantized model diverges from its reference, on the same tokens.

    Give either `ref`, the model that it was made from, or `to`, a format that `model` is quantized
    to in memory. With `kv` neither is needed: then `model` is compared with itself, and only its KV
    cache is stored in fewer bits. `MeasureOptions` explains the options. `progress` is called with
    every record.

    KL(reference ‖ quant) is over the whole vocabulary, in float64, in nats per token; intervals are
    95 %, over chunks of text.

    With `store` the file of `model` gets the loss in its metadata (`quantizers.proof`), and an open
    checkpoint of it has to be opened again.

    Raises MeasurementError for models or texts that cannot be compared, CheckpointError or
    UnsupportedModel for a model that cannot be run, RecipeError for an unknown format, and
    CheckpointError if `run` holds another run, or if no loss can be stored in the file.
    """
    options = MeasureOptions(
        to=to,
        text=text,
        context=context,
        chunks=chunks,
        floor_chunks=floor_chunks,
        imatrix=as_path(imatrix),
        requantize=requantize,
        kv=kv,
        kv_rotation=kv_rotation,
        until=until,
        run=as_path(run),
        reference_cache=as_path(reference_cache),
        store=store,
        gates=gates,
        threads=threads,
    )
    return drain(measure_records(model, ref, options), MeasureResult, progress)


def measure_records(
    model: ModelInput, ref: ModelInput | None, options: MeasureOptions
) -> Iterator[MeasureRecord]:
    """Run `measure`; yield progress records, and the result last.

    Stopping between two records is safe: the same run resumes after the last chunk.
    """
    if options.until is not None and options.chunks is None:
        options = replace(options, chunks=ALL)  # the width of the interval decides, not the time
    gates = [parse_gate(gate) for gate in as_list(options.gates)]
    for gate in gates:
        gate.check_name()
    if options.store:
        _check_storable(model, ref)
    started = time.perf_counter()
    pair = yield from _open_pair(model, ref, options)
    reference, quant = pair.reference, pair.quant
    types = CacheTypes.parse(options.kv, rotated=options.kv_rotation)
    yield PairOpened(reference.identity, quant.identity, types.name)

    def start(path: Path, text: MeasureText) -> RunFolder:
        sides = reference.identity, quant.identity
        return start_measure_run(path, *sides, text, quant.quantization, types)

    prepared = yield from prepare_text(reference, quant.model, options, options.run, start)
    text = prepared.text
    cache = None
    if options.reference_cache:
        needed = cache_bytes(reference.model, text.tokens)
        yield CacheOpened(options.reference_cache, needed)
        stored = open_cache_folder(options.reference_cache, reference.identity, needed)
        cache = ReferenceCache(reference.model, stored)
    reference_pass = ReferencePass(
        reference.model, text, floor_chunks=options.floor_chunks, cache=cache
    )
    run = MeasureRun(reference_pass, quant.model, prepared.folder, first=prepared.first)
    startup_seconds = time.perf_counter() - started
    yield StageStarted("measuring", len(text.chunks), "chunks", prepared.seconds)
    measured = yield from run.measure(until=options.until)
    result = replace(
        measured,
        reference=ReferenceIdentity.of(reference.identity),
        quant=QuantIdentity.of(quant.identity, quant.quantization),
        text=prepared.record.text,
        kv_cache=None if types.exact else types.name,
        chosen_count=prepared.chosen,
        startup_seconds=startup_seconds,
    )
    if options.store:
        quant.checkpoint.check_unchanged()
        store_measurement(quant.checkpoint.files[0], result)
    yield replace(result, gates=tuple(gate.check(result) for gate in gates))


def _check_storable(model: ModelInput, ref: ModelInput | None) -> None:
    """Raise CheckpointError unless the loss can be stored in the file of `model`."""
    quant = checkpoint_of(model)
    check_storable(quant)
    reference = checkpoint_of(ref) if ref is not None else quant
    if any(quant.files[0].samefile(file) for file in reference.files):
        raise CheckpointError(
            quant.files[0],
            "is the reference itself, and no loss is stored in a reference; compare two files",
        )


def _open_pair(model: ModelInput, ref: ModelInput | None, options: MeasureOptions) -> PairRecords:
    pair = yield from _open_weights(model, ref, options)
    quant = with_kv_cache(pair.quant.model, options.kv, rotated=options.kv_rotation)
    return replace(pair, quant=replace(pair.quant, model=quant))


def _open_weights(
    model: ModelInput, ref: ModelInput | None, options: MeasureOptions
) -> PairRecords:
    exact = CacheTypes.parse(options.kv).exact
    if ref is None and not options.to and not exact:
        loaded = LoadedModel.open(model, threads=options.threads)
        return ModelPair(loaded, loaded)
    if (ref is None) == (not options.to):
        raise MeasurementError("give either a reference, or a format to quantize the model to")
    if ref is not None:
        reference = LoadedModel.open(ref, threads=options.threads)
        yield from proxy_notices(reference.identity)
        return ModelPair.open(reference, model, threads=options.threads)
    source = opened(model)
    copy = QuantizedCopy.plan_for(  # an unknown format is an error before weights are read
        checkpoint_of(source), options.to, imatrix=options.imatrix, requantize=options.requantize
    )
    reference = LoadedModel.open(source, threads=options.threads)
    yield from proxy_notices(reference.identity)
    quant = yield from copy.load(threads=options.threads)
    return ModelPair(reference, quant)
