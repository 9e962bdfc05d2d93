"""Earlier results on which `plan` bases its figures: losses, comparisons of models, and timings.

`measure` and `ladder` give losses, `compare` and `tasks` compare models, `bench` gives timings. A
loss counts for the file, or the source and format, that it was measured on; a timing counts for
this processor and number of threads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from zeropoint.plans.machines.device import LOCAL_ID, Device
from zeropoint.plans.machines.local_machine import LocalMachine
from zeropoint.plans.memory.bytes_read import step_traffic
from zeropoint.plans.memory.memory import PlanWorkload
from zeropoint.plans.planner.model_spec import ModelSpec
from zeropoint.plans.speed.speed import (
    SpeedEstimate,
    Timing,
    WorkCosts,
    calibrate_costs,
    device_costs,
    generation_features,
    prompt_features,
)
from zeropoint.results.bench import BenchResult, BenchWork, Spread
from zeropoint.results.divergence import MeasureResult
from zeropoint.results.runs import Run, results_of_type
from zeropoint.results.tasks import AcrossResult, ModelCompared, ModelTasks, TasksResult

# Kinds of scores; values in the JSON of `plan`.
NATS_PER_BYTE, TASKS_RIGHT = "nats per byte", "tasks right"
TIMING_SPREAD = 1.05  # factor by which two timings of one model differ


@dataclass(frozen=True)
class MeasuredLoss:
    """Loss of a quantized model, as `measure` found it."""

    #: KL(reference ‖ quant), nats per token, and its 95 % interval.
    mean: float
    low: float | None
    high: float | None
    reference: str
    run: str

    @property
    def label(self) -> str:
        """The loss for a cell of a table."""
        return f"KL {self.mean:.3g}"


@dataclass(frozen=True)
class ModelScore:
    """Result of a model on the same text or tasks as others: comparable between models."""

    #: NATS_PER_BYTE (lower is better) or TASKS_RIGHT (a rate; higher is better).
    kind: str
    value: float
    low: float | None
    high: float | None
    #: Models that share a letter do not differ significantly; empty: not tested.
    group: str
    run: str

    @property
    def label(self) -> str:
        """The score for a cell of a table."""
        if self.kind == NATS_PER_BYTE:
            return f"{self.value:.4f} nats/byte {self.group}".rstrip()
        return f"{self.value:.0%} of tasks"

    @property
    def order(self) -> float:
        """A number that is lower for a better model."""
        return self.value if self.kind == NATS_PER_BYTE else -self.value


@dataclass(frozen=True, kw_only=True)
class BenchTiming:
    """Timing of one model on this machine by `bench`."""

    #: Name of the file.
    model: str
    file_bytes: int
    threads: int
    kernels: str
    mode: str
    prompt_tokens: int
    generated_tokens: int
    #: Prompt processing and generation, tokens per second; None if not timed.
    prompt: float | None
    generation: float | None
    #: One standard deviation to both sides, or the lowest and highest repetition.
    prompt_spread: tuple[float | None, float | None]
    generation_spread: tuple[float | None, float | None]
    #: Work of one generated token, and of the whole prompt (see `speed`).
    generation_features: Mapping[str, float]
    prompt_features: Mapping[str, float]


class EarlierResults:
    """Results of earlier runs on this machine.

    `runs` are finished runs, the oldest first; `benches` are timings that `bench` noted; `local` is
    this machine, whose timings count if it was benchmarked.
    """

    def __init__(
        self,
        runs: Sequence[Run] = (),
        benches: Sequence[BenchResult] = (),
        local: LocalMachine | None = None,
    ) -> None:
        self.runs = runs
        self.local = local if local and local.benchmarked else None
        self._noted = benches

    @cached_property
    def benches(self) -> list[BenchTiming]:
        """The newest timing of each model and prompt that counts for this machine."""
        if self.local is None:
            return []
        results = [*self._noted, *(result for _, result in results_of_type(self.runs, BenchResult))]
        newest: dict[tuple[object, ...], BenchTiming] = {}
        for result in results:
            timing = bench_timing(result)
            if timing and self._is_local(timing):
                newest[timing.model, timing.file_bytes, timing.prompt_tokens] = timing
        return list(newest.values())

    def _is_local(self, timing: BenchTiming) -> bool:
        assert self.local is not None
        same_kernels = timing.kernels == self.local.instruction_set
        return same_kernels and timing.threads == self.local.threads and timing.mode == "fast"

    def costs(self, device: Device) -> WorkCosts | None:
        """Return the cost of work on a device, calibrated by timings; None if it is unknown."""
        if not device.bandwidth:
            return None
        if device.id != LOCAL_ID or self.local is None:
            return device_costs(device)
        return self._local_costs

    @cached_property
    def _local_costs(self) -> WorkCosts:
        assert self.local is not None
        costs = device_costs(self.local.device, self.local.product_seconds)
        timings = []
        for bench in self.benches:
            if bench.generation:
                timings.append(
                    Timing(features=bench.generation_features, seconds=1 / bench.generation)
                )
            if bench.prompt and bench.prompt_tokens:
                seconds = bench.prompt_tokens / bench.prompt
                timings.append(Timing(features=bench.prompt_features, seconds=seconds))
        return calibrate_costs(costs, timings)

    def timed(
        self, spec: ModelSpec, device: Device
    ) -> tuple[SpeedEstimate | None, SpeedEstimate | None]:
        """Return generation and prompt speed of exactly this file, if they were timed here."""
        if device.id != LOCAL_ID or spec.path is None:
            return None, None
        for bench in reversed(self.benches):
            if (bench.model, bench.file_bytes) == (spec.path.name, spec.file_bytes):
                return _as_timed(bench.generation), _as_timed(bench.prompt)
        return None, None

    def loss(self, spec: ModelSpec, target: str | None) -> MeasuredLoss | None:
        """Return the newest measured loss of a model as it is (None) or in a format."""
        if spec.path is None:
            return None
        name = spec.path.name
        wanted = f"{name} as {target}" if target else name
        for run, result in reversed(results_of_type(self.runs, MeasureResult)):
            quant, reference = run.inputs.quant, run.inputs.reference
            if quant is None or reference is None or result.kl.empty:
                continue
            if quant.name.upper() == wanted.upper() and (
                target or quant.file_bytes == spec.file_bytes
            ):
                kl = result.kl
                return MeasuredLoss(kl.mean, kl.low, kl.high, reference.name, str(run.path))
        return None

    @cached_property
    def scores(self) -> dict[tuple[str, int], ModelScore]:
        """Scores of the newest run that compared models, by name and bytes of the file."""
        for run in reversed(self.runs):
            rows: Sequence[ModelCompared | ModelTasks] = ()
            if isinstance(run.result, AcrossResult):
                rows = run.result.results
            elif isinstance(run.result, TasksResult):
                rows = run.result.models
            scores = {(row.name, row.file_bytes): _score(row, str(run.path)) for row in rows}
            if len(scores) > 1:
                return scores
        return {}

    def score(self, spec: ModelSpec, target: str | None) -> ModelScore | None:
        """Return the score of exactly this file, if it was compared with others."""
        if target is not None or spec.path is None or spec.file_bytes is None:
            return None
        return self.scores.get((spec.path.name, spec.file_bytes))


def bench_work(spec: ModelSpec, prompt_tokens: int, generated_tokens: int) -> BenchWork:
    """Return the work that `bench` times for a model, for its result and for calibration.

    Generated tokens attend to the prompt and, on average, to half of the generated tokens.
    """
    workload = PlanWorkload(context=max(prompt_tokens + generated_tokens, 1))
    tensors = list(spec.source.tensors.values())
    past = prompt_tokens + generated_tokens // 2
    prompt = step_traffic(spec.shape, tensors, workload, past=prompt_tokens)
    generation = step_traffic(spec.shape, tensors, workload, past=past)
    return BenchWork(generation_features(generation), prompt_features(prompt, prompt_tokens))


def bench_timing(result: BenchResult) -> BenchTiming | None:
    """Return a timing from a result of `bench`; None if the result has no record of the work."""
    if result.work is None:
        return None
    return BenchTiming(
        model=Path(result.model).name,
        file_bytes=result.file_bytes,
        threads=result.threads,
        kernels=result.kernels,
        mode=result.mode,
        prompt_tokens=result.prompt_tokens,
        generated_tokens=result.generated_tokens,
        prompt=_rate(result.prompt_tokens_per_second),
        generation=_rate(result.generation_tokens_per_second),
        prompt_spread=_spread(result.prompt),
        generation_spread=_spread(result.generation),
        generation_features={k: float(v) for k, v in result.work.generation.items()},
        prompt_features={k: float(v) for k, v in result.work.prompt.items()},
    )


def _score(row: ModelCompared | ModelTasks, run: str) -> ModelScore:
    if isinstance(row, ModelCompared):
        interval, kind, group = row.text.nats_per_byte, NATS_PER_BYTE, row.text.group
    else:
        interval, kind, group = row.accuracy, TASKS_RIGHT, ""
    return ModelScore(kind, interval.mean, interval.low, interval.high, group, run)


def _as_timed(rate: float | None) -> SpeedEstimate | None:
    if not rate:
        return None
    return SpeedEstimate(
        tokens_per_second=rate,
        low=rate / TIMING_SPREAD,
        high=rate * TIMING_SPREAD,
        basis="measured here",
    )


def _spread(spread: Spread | None) -> tuple[float | None, float | None]:
    if spread is None:
        return None, None
    middle, sd = _rate(spread.median), _rate(spread.sd)
    if middle and sd:
        return middle - sd, middle + sd
    return _rate(spread.min), _rate(spread.max)


def _rate(value: float | None) -> float | None:
    return value if value is not None and 0 < value < float("inf") else None
