"""Roofline: the operations per second of a model, compared with the limits of a device.

    intensity   =  operations / bytes read       a weight and a token are two operations
    roof        =  min(peak, intensity · bandwidth)

Generation for one user reads every weight and uses it once: two operations for the bytes of each
weight. It lies far left, under the slope, where only more bandwidth or fewer bits help. Several
users share the weights that are read, so a point moves right with their number until the peak
limits it; a prompt starts there. Every user reads an own KV cache, which is never shared.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from zeropoint.formats import find_format
from zeropoint.plans.machines.device import LOCAL_ID, Device
from zeropoint.plans.memory.batch import BATCH_TOKENS
from zeropoint.plans.memory.bytes_read import StepTraffic, step_traffic
from zeropoint.plans.planner.model_spec import ModelSpec, dominant_format
from zeropoint.plans.planner.ranking import PROMPT_TOKENS, PlanQuestion, format_model
from zeropoint.plans.speed.earlier_results import BenchTiming, EarlierResults
from zeropoint.plans.speed.multiply import PHASES, find_arithmetic
from zeropoint.plans.speed.speed import (
    ASSUMED_FLOPS_PER_BYTE,
    SpeedEstimate,
    device_kind,
    generation_speed,
    prompt_speed,
)

USER_COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
RUNTIME = "llama.cpp"


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """Theoretical maximum of a device, and the fraction of it that is expected."""

    device: str
    #: Bytes per second.
    bandwidth: float
    #: Kind of number, and its operations per second.
    peaks: tuple[tuple[str, float], ...]
    #: Whether the peak is assumed, because the data sheet has none.
    assumed: bool
    #: Shares of the bandwidth with F16 weights, and of the peak with a prompt.
    reach: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class RooflinePoint:
    """One model in one format on one device in one phase."""

    device: str
    model: str
    format: str
    #: "generate" or "prompt".
    phase: str
    #: Users, or tokens of the prompt.
    batch: int
    #: Operations per byte.
    intensity: float
    #: Operations per token.
    operations: float
    speed: SpeedEstimate
    #: Kind of number that llama.cpp multiplies; empty if it cannot run the format there.
    unit: str
    fits: bool


@dataclass(frozen=True, kw_only=True)
class MeasuredPoint:
    """Timing of one model by `bench` on this machine."""

    model: str
    phase: str
    batch: int
    intensity: float
    operations: float
    tokens_per_second: float
    #: One standard deviation to both sides, or the lowest and highest repetition.
    low: float | None
    high: float | None


def device_roofline(device: Device, earlier: EarlierResults) -> Roofline:
    """Return the roofline of a device whose bandwidth is known."""
    share, _, prompt = device_kind(device)
    peaks: list[tuple[str, float]] = []
    if device.fp16_flops:
        widest = "fp32" if device.kind == "cpu" or "fp16" not in device.family.native else "fp16"
        peaks.append((widest, device.fp16_flops))
    if device.int8_ops:
        peaks.append(("int8", device.int8_ops))
    if device.id == LOCAL_ID and earlier.local and earlier.local.int8_ops:
        peaks.append(("int8", earlier.local.int8_ops))
    assumed = not peaks
    if assumed:
        peaks = [("fp32", ASSUMED_FLOPS_PER_BYTE * device.bandwidth)]
    return Roofline(device=device.id, bandwidth=device.bandwidth, peaks=tuple(peaks),
                    assumed=assumed, reach=(share, prompt))  # fmt: skip


def roofline_points(
    spec: ModelSpec, target: str | None, devices: Sequence[Device], question: PlanQuestion
) -> Iterator[RooflinePoint]:
    """Yield the points of a model on each device: generation for 1 to 256 users, and a prompt.

    `target` is a preset or format; None: the model as it is.
    """
    model = format_model(spec, target, question)
    shape, tensors = spec.shape, list(model.tensors.tensors.values())
    past = min(question.past, question.workload.context)
    format = dominant_format(tensors)
    steps = [step_traffic(shape, tensors, replace(question.workload, users=users), past=past)
             for users in USER_COUNTS]  # fmt: skip
    for device in devices:
        costs = question.earlier.costs(device)
        if costs is None:
            continue
        rows = [("generate", users, step, generation_speed(costs, step))
                for users, step in zip(USER_COUNTS, steps, strict=True)]  # fmt: skip
        rows.append(
            ("prompt", PROMPT_TOKENS, steps[0], prompt_speed(costs, steps[0], PROMPT_TOKENS))
        )
        units = {phase: _unit(device, format, phase) for phase in PHASES}
        for phase, batch, step, speed in rows:
            intensity, operations = phase_work(step, phase, batch)
            yield RooflinePoint(
                device=device.id,
                model=spec.label,
                format=model.format,
                phase=phase,
                batch=batch,
                intensity=intensity,
                operations=operations,
                speed=speed,
                unit=units[phase],
                fits=model.memory.total_bytes <= device.usable_bytes,
            )


def _unit(device: Device, format: str, phase: str) -> str:
    """Return the kind of number that llama.cpp multiplies for a format; empty if it cannot."""
    family = device.family
    arithmetic = find_arithmetic(RUNTIME, family.id, find_format(format), phase, family.native)
    return arithmetic.unit if arithmetic else ""


def phase_work(step: StepTraffic, phase: str, batch: int) -> tuple[float, float]:
    """Return operations per byte, and operations per token.

    `batch` is the number of users or, for a prompt, of its tokens.

    >>> from zeropoint.plans.memory.memory import PlanWorkload
    >>> from zeropoint.plans.memory.typical import typical_model
    >>> model = typical_model("8B")
    >>> step = step_traffic(model.shape, model.tensors.values(), PlanWorkload())
    >>> round(phase_work(step, "generate", 1)[0], 2)  # two operations for two bytes of a weight
    1.0
    """
    head, body = sum(step.head.values()), sum(step.products.values())
    if phase == "generate":
        operations = 2.0 * (body + head) + 2.0 * step.attention
        read = sum(step.read.values()) + step.cache
        return operations * batch / read, operations
    operations = 2.0 * (body + head / batch) + step.attention
    batches = -(-batch // BATCH_TOKENS)
    read = sum(step.read_at_once(min(batch, BATCH_TOKENS)).values()) * batches
    return operations * batch / read, operations


def measured_points(benches: Iterable[BenchTiming]) -> Iterator[MeasuredPoint]:
    """Yield the timings of this machine as points."""
    for bench in benches:
        read = [(find_format(name.partition(":")[2]), size)
                for name, size in bench.generation_features.items()
                if name.startswith("read:")]  # fmt: skip
        weights_bytes = sum(size for _, size in read)
        nbytes = weights_bytes + bench.generation_features.get("cache", 0.0)
        if not nbytes:
            continue
        weights = sum(size * format.block_size / format.block_bytes for format, size in read)
        if bench.generation:
            low, high = bench.generation_spread
            yield MeasuredPoint(
                model=bench.model, phase="generate", batch=1, operations=2 * weights,
                intensity=2 * weights / nbytes, tokens_per_second=bench.generation, low=low,
                high=high,
            )  # fmt: skip
        if bench.prompt and bench.prompt_tokens:
            products = sum(count for name, count in bench.prompt_features.items()
                           if name.startswith("multiply:"))  # fmt: skip
            operations = 2 * (products + bench.prompt_features.get("attention", 0.0))
            batches = -(-bench.prompt_tokens // BATCH_TOKENS)
            low, high = bench.prompt_spread
            yield MeasuredPoint(
                model=bench.model, phase="prompt", batch=bench.prompt_tokens,
                operations=operations / bench.prompt_tokens,
                intensity=operations / (weights_bytes * batches),
                tokens_per_second=bench.prompt, low=low, high=high,
            )  # fmt: skip
