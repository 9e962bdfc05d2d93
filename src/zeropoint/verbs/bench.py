"""`bench`: the speed of a model on this machine, compared with the machine's own peaks."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

from zeropoint.metrics.speed.bench import (
    BenchRun,
    ContestantLoaded,
    RepetitionTimed,
    workload_of,
)
from zeropoint.models import CacheTypes
from zeropoint.plans.speed.earlier_results import bench_work
from zeropoint.results.bench import BenchResult
from zeropoint.results.bench_history import append_bench_history
from zeropoint.results.run_store import RunFolder
from zeropoint.verbs.arguments import as_path
from zeropoint.verbs.loaded_model import ModelInput, checkpoint_of
from zeropoint.verbs.options.bench import BenchOptions
from zeropoint.verbs.plan import describe_model
from zeropoint.verbs.records import OnRecord, StageStarted, drain

BenchRecord = StageStarted | ContestantLoaded | RepetitionTimed | BenchResult


def bench(
    model: ModelInput,
    *,
    prompt_tokens: int = 512,
    tokens: int = 64,
    repetitions: int = 3,
    versus: str | Path | None = None,
    peer: str | None = None,
    kv: str = "f32",
    kv_rotation: bool = True,
    mode: Literal["exact", "fast"] = "fast",
    threads: int | None = None,
    run: str | Path | None = None,
    progress: OnRecord | None = None,
) -> BenchResult:
    """Time prompt processing and generation of a model, in tokens per second.

    The model is loaded in a separate process, even if it is already open. `BenchOptions` explains
    the options. Raises CheckpointError or UnsupportedModel for a model that cannot be run, and
    MeasurementError for a peer that is not installed or a workload without tokens.
    """
    options = BenchOptions(
        prompt_tokens=prompt_tokens,
        tokens=tokens,
        repetitions=repetitions,
        versus=versus,
        peer=peer,
        kv=kv,
        kv_rotation=kv_rotation,
        mode=mode,
        threads=threads,
        run=as_path(run),
    )
    return drain(bench_records(model, options), BenchResult, progress)


def bench_records(model: ModelInput, options: BenchOptions) -> Iterator[BenchRecord]:
    """Run `bench`; yield progress records, and the result last.

    The timings are also stored in the cache directory, where `plan` calibrates its predictions.
    """
    path = model if isinstance(model, str | Path) else checkpoint_of(model).path
    CacheTypes.parse(options.kv)  # a wrong name is an error before anything is loaded
    workload = workload_of(
        prompt=options.prompt_tokens,
        generate=options.tokens,
        repetitions=options.repetitions,
        threads=options.threads,
        mode=options.mode,
    )
    workload = replace(workload, kv=options.kv, kv_rotation=options.kv_rotation)
    timing = BenchRun(path, workload, versus=options.versus, peer=options.peer)
    folder = None
    if options.run:
        models = [
            {"model": entry.model, "engine": entry.engine, "file_bytes": entry.file_bytes,
             "work": asdict(entry.cost)}
            for entry in timing.contestants
        ]  # fmt: skip
        folder = RunFolder.start(options.run, "bench", {"models": models}, asdict(workload))
    yield StageStarted("timing", timing.total, "repetitions")
    yield from timing.run()
    work = bench_work(describe_model(path)[0], workload.prompt, workload.generate)
    result = replace(timing.results(), work=work)
    if result.kv_cache == "f32":  # what `plan` predicts
        append_bench_history(result)
    if folder:
        folder.finish(result)
    yield result
