"""What was measured before, read from run folders: losses of quants, and timings of this machine.

`measure` and `ladder` leave losses, `bench` leaves timings. A loss counts for the file (or source
and format) that it was measured on, a timing for this processor and number of threads. Timings are
also taken from the cache directory, where `bench` notes each.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from zeropoint.checkpoints.hub.demo_model import cache_directory
from zeropoint.errors import CheckpointError
from zeropoint.plans.machines.machines import HERE, Device
from zeropoint.plans.machines.this_machine import Here
from zeropoint.plans.memory.bytes_read import traffic
from zeropoint.plans.memory.memory import Demand
from zeropoint.plans.planner.model_spec import Subject, describe
from zeropoint.plans.speed.speed import (
    Costs,
    Estimate,
    Timing,
    calibrated,
    costs_of,
    generation_features,
    prompt_features,
)
from zeropoint.results.bench import BenchResult, BenchWork, Spread
from zeropoint.results.divergence import MeasureResult
from zeropoint.results.runs import Run, finished_runs, of_kind
from zeropoint.results.tasks import AcrossResult, ModelCompared, ModelTasks, TasksResult

NOTES = "benches.jsonl"
NOTES_KEPT = 400  # the newest
NATS, TASKS = "nats per byte", "tasks right"
DEPTH = 4  # folders in folders that are looked into for runs


@dataclass(frozen=True)
class Loss:
    """What a quant lost, as `measure` found it."""

    mean: float  # KL(reference ‖ quant), nats per token
    low: float | None
    high: float | None
    reference: str
    run: str

    @property
    def label(self) -> str:
        """Say it in a few signs."""
        return f"KL {self.mean:.3g}"


@dataclass(frozen=True)
class Score:
    """What a model reached on the same text or tasks as others: comparable between models."""

    kind: str  # nats per byte (less is better), or tasks right (more is)
    value: float
    low: float | None
    high: float | None
    group: str  # models that share a letter cannot be told apart; empty: not tested
    run: str

    @property
    def label(self) -> str:
        """Say it in a few signs."""
        if self.kind == NATS:
            return f"{self.value:.4f} nats/byte {self.group}".rstrip()
        return f"{self.value:.0%} of tasks"

    @property
    def order(self) -> float:
        """The smaller, the better."""
        return self.value if self.kind == NATS else -self.value


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What `bench` found for one model on this machine."""

    model: str  # the file's name
    file_bytes: int
    threads: int
    kernels: str
    mode: str
    prompt_tokens: int
    generated_tokens: int
    prompt: float | None  # tokens per second
    generation: float | None
    prompt_spread: tuple[float | None, float | None]  # one standard deviation to both sides
    generation_spread: tuple[float | None, float | None]
    generation_features: Mapping[str, float]
    prompt_features: Mapping[str, float]


class Evidence:
    """Everything that was measured before. `here`: this machine, if it was measured."""

    def __init__(self, runs: Iterable[Path] = (), here: Here | None = None) -> None:
        self.here = here
        self.runs = list(runs)

    @cached_property
    def finished(self) -> list[Run]:
        """Return every finished run in the folders that were given, and theirs below, in time."""
        return finished_runs(self.runs, DEPTH)

    @cached_property
    def benches(self) -> list[Bench]:
        """Return the timings that count for this machine, the newest last."""
        if self.here is None:
            return []
        timed = [*notes(), *(result for _, result in of_kind(self.finished, BenchResult))]
        kept: dict[tuple[object, ...], Bench] = {}
        for result in timed:
            bench = bench_of(result)
            if bench and self._is_ours(bench):
                kept[(bench.model, bench.file_bytes, bench.prompt_tokens)] = bench
        return list(kept.values())

    def _is_ours(self, bench: Bench) -> bool:
        assert self.here is not None
        same = bench.kernels == self.here.machine.instruction_set
        return same and bench.threads == self.here.threads and bench.mode == "fast"

    def costs(self, device: Device) -> Costs | None:
        """Return what work costs on a device, moved by what was timed there; None if unknown."""
        if not device.bandwidth:
            return None
        if device.id != HERE or self.here is None:
            return costs_of(device)
        return self._costs_here

    @cached_property
    def _costs_here(self) -> Costs:
        assert self.here is not None
        costs = costs_of(self.here.device, self.here.costs)
        timings = []
        for bench in self.benches:
            if bench.generation:
                timings.append(
                    Timing(features=bench.generation_features, seconds=1 / bench.generation)
                )
            if bench.prompt and bench.prompt_tokens:
                seconds = bench.prompt_tokens / bench.prompt
                timings.append(Timing(features=bench.prompt_features, seconds=seconds))
        return calibrated(costs, timings)

    def timed(self, subject: Subject, device: Device) -> tuple[Estimate | None, Estimate | None]:
        """Return the speeds that were measured of this very file on this machine."""
        if device.id != HERE or subject.path is None:
            return None, None
        for bench in reversed(self.benches):
            if (bench.model, bench.file_bytes) == (subject.path.name, subject.file_bytes):
                return measured(bench.generation), measured(bench.prompt)
        return None, None

    def loss(self, subject: Subject, to: str | None) -> Loss | None:
        """Return what this model lost in this format, if it was measured."""
        if subject.path is None:
            return None
        name = subject.path.name
        wanted = f"{name} as {to}" if to else name
        for run, found in reversed(of_kind(self.finished, MeasureResult)):
            quant, reference = run.inputs.quant, run.inputs.reference
            if quant is None or reference is None or found.kl.empty:
                continue
            if quant.name.upper() == wanted.upper() and (
                to or quant.file_bytes == subject.file_bytes
            ):
                kl = found.kl
                return Loss(kl.mean, kl.low, kl.high, reference.name, str(run.path))
        return None

    @cached_property
    def scores(self) -> dict[tuple[str, int], Score]:
        """Return by file the scores of the newest run that compared models: one run, one scale."""
        for run in reversed(self.finished):
            rows: Sequence[ModelCompared | ModelTasks] = ()
            if isinstance(run.result, AcrossResult):
                rows = run.result.results
            elif isinstance(run.result, TasksResult):
                rows = run.result.models
            found = {(row.name, row.file_bytes): score_of(row, str(run.path)) for row in rows}
            if len(found) > 1:
                return found
        return {}

    def score(self, subject: Subject, to: str | None) -> Score | None:
        """Return what this file reached beside others, if it was compared with them."""
        if to is not None or subject.path is None or subject.file_bytes is None:
            return None
        return self.scores.get((subject.path.name, subject.file_bytes))


def score_of(row: ModelCompared | ModelTasks, run: str) -> Score:
    """Return what one model of `compare` (nats per byte of text) or `tasks` reached."""
    if isinstance(row, ModelCompared):
        found, kind, group = row.text.nats_per_byte, NATS, row.text.group
    else:
        found, kind, group = row.accuracy, TASKS, ""
    return Score(kind, found.mean, found.low, found.high, group, run)


def measured(rate: float | None) -> Estimate | None:
    """Return a speed that was timed as it is, with what two timings differ by."""
    if not rate:
        return None
    return Estimate(
        tokens_per_second=rate, low=rate / 1.05, high=rate * 1.05, basis="measured here"
    )


def notes() -> list[BenchResult]:
    """Return what `bench` noted in the cache directory; a line that is damaged is left out."""
    path = cache_directory() / NOTES
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return []
    found = []
    for line in lines[-NOTES_KEPT:]:
        # A line may be cut short by a full disk or a kill.
        with suppress(ValueError, RecursionError, CheckpointError):
            found.append(BenchResult.from_json(json.loads(line), path))
    return found


def note(found: BenchResult) -> None:
    """Add what `bench` found to the cache directory; a cache that cannot be written is no error."""
    keys = ("model", "file_bytes", "threads", "kernels", "mode", "prompt_tokens",
            "generated_tokens", "prompt_tokens_per_second", "generation_tokens_per_second",
            "prompt", "generation", "work")  # fmt: skip
    results = found.to_json()
    row = {key: results[key] for key in keys if key in results}
    path = cache_directory() / NOTES
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    except OSError:
        return


def work_of(model: str, prompt: int, generated: int) -> BenchWork:
    """Return what `bench` makes a machine do for a model: for its record, and for `Evidence`.

    A prompt is read at once, the tokens after it see it and half of themselves.
    """
    subject, _ = describe(model)
    demand = Demand(context=max(prompt + generated, 1))
    tensors = list(subject.source.tensors.values())
    reading = traffic(subject.shape, tensors, demand, past=prompt)
    writing = traffic(subject.shape, tensors, demand, past=prompt + generated // 2)
    return BenchWork(generation_features(writing), prompt_features(reading, prompt))


def bench_of(found: BenchResult) -> Bench | None:
    """Return a timing as a prediction needs it; None if the run does not say what was done."""
    if found.work is None:
        return None
    return Bench(
        model=Path(found.model).name,
        file_bytes=found.file_bytes,
        threads=found.threads,
        kernels=found.kernels,
        mode=found.mode,
        prompt_tokens=found.prompt_tokens,
        generated_tokens=found.generated_tokens,
        prompt=_rate(found.prompt_tokens_per_second),
        generation=_rate(found.generation_tokens_per_second),
        prompt_spread=_spread(found.prompt),
        generation_spread=_spread(found.generation),
        generation_features={k: float(v) for k, v in found.work.generation.items()},
        prompt_features={k: float(v) for k, v in found.work.prompt.items()},
    )


def _spread(found: Spread | None) -> tuple[float | None, float | None]:
    """Return what repetitions lie between: a standard deviation to both sides, or their ends."""
    if found is None:
        return None, None
    middle, sd = _rate(found.median), _rate(found.sd)
    if middle and sd:
        return middle - sd, middle + sd
    return _rate(found.min), _rate(found.max)


def _rate(value: float | None) -> float | None:
    return value if value is not None and 0 < value < float("inf") else None
