"""How close a model comes to what a machine could do: operations a second over operations a byte.

    intensity   =  operations / bytes read          operations: two for each weight and token
    roof        =  min(peak, intensity · bandwidth)

To write one token every weight is read and used once: two operations for each weight's bytes, far
left under the slope, where only bandwidth and fewer bits help. B users share what is read, so a
point moves right with the batch until the peak stops it; a prompt begins there. Caches are read by
one user alone and are never shared.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from zeropoint.formats import find_format
from zeropoint.plans.machines.machines import HERE, Device
from zeropoint.plans.memory.bytes_read import Traffic, traffic
from zeropoint.plans.memory.memory import BATCH
from zeropoint.plans.planner.model_spec import Subject, mostly
from zeropoint.plans.planner.ranking import PROMPT, Question, prepare
from zeropoint.plans.speed.calibration import Bench, Evidence
from zeropoint.plans.speed.multiply import PHASES, find_way
from zeropoint.plans.speed.speed import Estimate, generating, kind_of, prompting

BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
ASSUMED = 25  # operations a byte, of a machine whose peak is not stated
RUNTIME = "llama.cpp"


@dataclass(frozen=True, kw_only=True)
class Roof:
    """What a machine could do at best, and what of it is expected."""

    device: str
    bandwidth: float  # bytes per second
    peaks: tuple[tuple[str, float], ...]  # kind of number, operations per second
    assumed: bool  # the peak is a guess: so many operations a byte
    reach: tuple[float, float]  # of bandwidth with F16 weights, of the peak with a prompt


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One model in one format on one device, at work."""

    device: str
    model: str
    format: str
    phase: str  # generate or prompt
    batch: int  # users, or tokens of the prompt
    intensity: float  # operations a byte
    operations: float  # for one token
    speed: Estimate
    unit: str  # the kind of number that llama.cpp multiplies there; empty: it cannot
    fits: bool


@dataclass(frozen=True, kw_only=True)
class Timed:
    """What `bench` found on this machine."""

    model: str
    phase: str
    batch: int
    intensity: float
    operations: float  # for one token
    tokens_per_second: float
    low: float | None  # of the repetitions: one standard deviation to both sides, or their ends
    high: float | None


def roof(device: Device, evidence: Evidence) -> Roof:
    """Return what a device could do."""
    share, _, prompt = kind_of(device)
    peaks: list[tuple[str, float]] = []
    if device.fp16_flops:
        widest = "fp32" if device.kind == "cpu" or "fp16" not in device.family.native else "fp16"
        peaks.append((widest, device.fp16_flops))
    if device.int8_ops:
        peaks.append(("int8", device.int8_ops))
    if device.id == HERE and evidence.here:
        peaks.append(("int8", 2 * max(rate.weights_per_second for rate in evidence.here.rates)))
    assumed = not peaks
    if assumed:
        peaks = [("fp32", ASSUMED * device.bandwidth)]
    return Roof(device=device.id, bandwidth=device.bandwidth, peaks=tuple(peaks), assumed=assumed,
                reach=(share, prompt))  # fmt: skip


def marks(
    subject: Subject, to: str | None, devices: Sequence[Device], question: Question
) -> Iterator[Mark]:
    """Yield a model's points on each device: generation for 1 to 256 users, and a prompt."""
    prepared = prepare(subject, to, question)
    shape, tensors = subject.shape, list(prepared.made.tensors.values())
    past = min(question.past, question.demand.context)
    usual = mostly(tensors)
    steps = [traffic(shape, tensors, replace(question.demand, users=users), past=past)
             for users in BATCHES]  # fmt: skip
    for device in devices:
        costs = question.evidence.costs(device)
        if costs is None:
            continue
        rows = [("generate", users, step, generating(costs, step))
                for users, step in zip(BATCHES, steps, strict=True)]  # fmt: skip
        rows.append(("prompt", PROMPT, steps[0], prompting(costs, steps[0], PROMPT)))
        units = {phase: unit_of(device, usual, phase) for phase in PHASES}
        for phase, batch, step, speed in rows:
            intensity, operations = work(step, phase, batch)
            yield Mark(
                device=device.id, model=subject.label, format=prepared.format, phase=phase,
                batch=batch, intensity=intensity, operations=operations, speed=speed,
                unit=units[phase],
                fits=prepared.memory.total_bytes <= device.usable_bytes,
            )  # fmt: skip


def unit_of(device: Device, format: str, phase: str) -> str:
    """Return the kind of number that llama.cpp multiplies there for a format."""
    way = find_way(RUNTIME, device.family.id, find_format(format), phase, device.family.native)
    return way.unit if way else ""


def work(step: Traffic, phase: str, batch: int) -> tuple[float, float]:
    """Return operations a byte, and operations for one token.

    >>> from zeropoint.plans.memory.memory import Demand
    >>> from zeropoint.plans.memory.typical import typical
    >>> model = typical("8B")
    >>> step = traffic(model.shape, model.tensors.values(), Demand())
    >>> round(work(step, "generate", 1)[0], 2)  # two operations for the two bytes of a weight
    1.0
    """
    head, body = sum(step.head.values()), sum(step.products.values())
    if phase == "generate":
        operations = 2.0 * (body + head) + 2.0 * step.attention
        read = sum(step.read.values()) + step.cache
        return operations * batch / read, operations
    operations = 2.0 * (body + head / batch) + step.attention
    read = sum(step.read_at_once(min(batch, BATCH)).values()) * -(-batch // BATCH)
    return operations * batch / read, operations


def timed(benches: Iterable[Bench]) -> Iterator[Timed]:
    """Yield what was measured on this machine, as points."""
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
            yield Timed(model=bench.model, phase="generate", batch=1, operations=2 * weights,
                        intensity=2 * weights / nbytes, tokens_per_second=bench.generation,
                        low=low, high=high)  # fmt: skip
        if bench.prompt and bench.prompt_tokens:
            products = sum(count for name, count in bench.prompt_features.items()
                           if name.startswith("multiply:"))  # fmt: skip
            each = 2 * (products + bench.prompt_features.get("attention", 0.0))
            batches = -(-bench.prompt_tokens // BATCH)
            low, high = bench.prompt_spread
            yield Timed(model=bench.model, phase="prompt", batch=bench.prompt_tokens,
                        operations=each / bench.prompt_tokens,
                        intensity=each / (weights_bytes * batches),
                        tokens_per_second=bench.prompt, low=low, high=high)  # fmt: skip
