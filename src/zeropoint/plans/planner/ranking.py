"""Which model, in which format, on which device: what fits, how long the context may be, how fast.

A `Result` is one model in one format on one device. Results are ranked by an objective:

    loss      within a model the loss that was measured, if it was for all formats, else the more
              bits, the better; between models nats per byte or tasks, where `compare` or `tasks`
              left them, else a rule of thumb (`RULE`), which the result says
    speed     tokens per second
    context   the longest context that fits
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from zeropoint.errors import RecipeError
from zeropoint.plans.formats.sizes import bits_per_weight
from zeropoint.plans.machines.machines import Device
from zeropoint.plans.memory.bytes_read import Traffic, distinct, traffic
from zeropoint.plans.memory.memory import Demand, Memory, repacked_bytes, running, token_bytes
from zeropoint.plans.memory.offload import Host, Placement, place
from zeropoint.plans.planner.model_spec import EXACT, TYPICAL, Made, Subject, canonical, requantized
from zeropoint.plans.speed.calibration import Evidence, Loss, Score
from zeropoint.plans.speed.speed import Estimate, generating, prompting

OBJECTIVES = ("loss", "speed", "context")
LADDER = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q3_K_M", "IQ3_XXS", "Q2_K", "IQ2_XXS")
PROMPT = 512  # tokens of a prompt whose speed is told
RULE = (
    "between models nothing was measured: by rule of thumb the larger model wins down to 4 bits "
    "per weight (arXiv 2212.09720); below that, and for long reasoning, measure"
)
STEP = 256  # positions in which a longest context is told
LONGEST = 2**24


@dataclass(frozen=True, kw_only=True)
class Result:
    """One model in one format on one device."""

    subject: Subject
    format: str  # a preset's or format's name; for a file as it is, what most of it is in
    changed: bool  # the format is not the file's own
    device: Device
    demand: Demand
    memory: Memory
    experts_bytes: int  # of the weights: those of all experts
    repacked_bytes: int  # a second copy that llama.cpp makes on a processor; not in the total
    bits_per_weight: float
    longest: int  # context that fits, per user; 0: none does
    generation: Estimate | None  # None where the bandwidth is not known
    prompt: Estimate | None
    placement: Placement | None  # where it would live if it does not fit
    loss: Loss | None  # within the model
    score: Score | None  # beside other models

    @property
    def fits(self) -> bool:
        """Whether all of it lies in the device's usable memory."""
        return self.memory.total_bytes <= self.device.usable_bytes

    @property
    def model(self) -> str:
        """The model's name, with its format unless it is a quantized file: that has a name."""
        own = self.subject.quantized and not self.changed
        return self.subject.label if own else f"{self.subject.label} {self.format}"

    @property
    def memory_basis(self) -> str:
        """How the memory figures are known."""
        if self.subject.basis == TYPICAL:
            return "typical shape"
        return "exact" if self.subject.basis == EXACT else "exact for the config"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of every model and device."""

    demand: Demand
    objective: str = "loss"
    formats: tuple[
        str, ...
    ] = ()  # none: the file's own, and the ladder for one that is unquantized
    host: Host
    evidence: Evidence
    past: int = PROMPT  # positions before the token whose speed is told

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise RecipeError(
                f"there is no objective {self.objective!r}; there is {', '.join(OBJECTIVES)}"
            )


def formats_for(subject: Subject, question: Question) -> list[str | None]:
    """Return which formats a subject is planned in; None is its own."""
    if question.formats:
        return list(question.formats)
    return [None] if subject.quantized else [None, *LADDER]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """One model in one format: what holds on every device."""

    subject: Subject
    to: str | None  # None: as it is
    made: Made
    memory: Memory
    step: Traffic  # one token for each user
    reading: Traffic  # a prompt of one user
    format: str
    bits_per_weight: float
    repacked_bytes: int


def plan(
    subjects: Sequence[Subject], devices: Sequence[Device], question: Question
) -> Iterator[Result]:
    """Yield every model in every format on every device, unranked.

    Raises RecipeError for a format that a model cannot be in, if it was asked for by name.
    """
    for subject in subjects:
        for to in formats_for(subject, question):
            try:
                prepared = prepare(subject, to, question)
            except RecipeError:
                if question.formats:
                    raise
                continue
            for device in devices:
                yield result_of(prepared, device, question)


def prepare(subject: Subject, to: str | None, question: Question) -> Prepared:
    """Choose formats and count what running the model takes."""
    made = Made(subject.source.metadata, subject.source.tensors)
    if to is not None:
        to = canonical(to)
        made = requantized(subject, to)
    tensors, shape, demand = list(made.tensors.values()), subject.shape, question.demand
    memory = running(shape, tensors, demand)
    if to is None:
        memory = replace(memory, weights_bytes=subject.weights_bytes)
    past = min(question.past, demand.context)
    stored = subject.file_bytes if to is None and subject.file_bytes else memory.weights_bytes
    return Prepared(
        subject=subject, to=to, made=made, memory=memory,
        step=traffic(shape, tensors, demand, past=past),
        reading=traffic(shape, tensors, replace(demand, users=1), past=past),
        format=subject.format if to is None else to,
        bits_per_weight=bits_per_weight(stored, tensors), repacked_bytes=repacked_bytes(tensors),
    )  # fmt: skip


def result_of(prepared: Prepared, device: Device, question: Question) -> Result:
    """Work out one model in one format on one device."""
    subject, to, memory = prepared.subject, prepared.to, prepared.memory
    demand = question.demand
    own, fits = to is None, memory.total_bytes <= device.usable_bytes
    generation = prompt = placement = None
    costs = question.evidence.costs(device)
    if fits and costs is not None:
        generation, prompt = question.evidence.timed(subject, device) if own else (None, None)
        if (demand.users, demand.keys, demand.values) != (1, "F16", "F16"):
            generation = None  # `bench` times one sequence, its cache in 16 bits
        generation = generation or generating(costs, prepared.step)
        prompt = prompt or prompting(costs, prepared.reading, PROMPT)
    elif not fits and device.bandwidth:
        met = distinct(subject.shape.experts, subject.shape.experts_used, demand.users)
        placement = place(memory, prepared.step, device, question.host, experts_met=met)
    return Result(
        subject=subject, format=prepared.format, changed=not own, device=device,
        demand=demand, memory=memory, bits_per_weight=prepared.bits_per_weight,
        experts_bytes=prepared.step.all_experts,
        repacked_bytes=prepared.repacked_bytes if device.kind == "cpu" else 0,
        longest=longest_context(subject, device, demand, memory.weights_bytes),
        generation=generation, prompt=prompt, placement=placement,
        loss=question.evidence.loss(subject, to),
        score=question.evidence.score(subject, to),
    )  # fmt: skip


def longest_context(subject: Subject, device: Device, demand: Demand, weights: int) -> int:
    """Return the longest context for each user that fits, in steps of 256; 0 if none does."""

    def fits(context: int) -> bool:
        memory = running(subject.shape, (), replace(demand, context=context))
        return weights + memory.total_bytes <= device.usable_bytes

    if not fits(STEP):
        return 0
    if token_bytes(subject.shape, demand) == 0:
        return subject.shape.context or LONGEST
    low, high = 1, LONGEST // STEP
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle * STEP) else (low, middle - 1)
    return low * STEP


def ranked(results: Iterable[Result], objective: str) -> list[Result]:
    """Return results, the best first: those that fit, then those that could be split."""

    results = list(results)
    unmeasured = {id(r.subject) for r in results if r.fits and r.loss is None}

    def key(result: Result) -> tuple[float, ...]:
        speed = result.generation.tokens_per_second if result.generation else 0.0
        if result.placement:
            speed = result.placement.tokens_per_second
        # Losses rank a model's formats only where all were measured; else bits do.
        known = result.loss is not None and id(result.subject) not in unmeasured
        measured = result.loss.mean if known and result.loss else 0.0
        four = result.bits_per_weight >= 3.9
        if not result.fits:
            return (1, -speed, result.memory.total_bytes)
        if objective == "speed":
            return (0, -speed, measured)
        if objective == "context":
            return (0, -result.longest, measured)
        if result.score:
            return (0, 0, result.score.order)
        # Within a model: measured loss, else bits. Between models: size down to 4 bits.
        return (0, 1, not four, -result.subject.weights if four else 0, measured,
                -result.bits_per_weight)  # fmt: skip

    return sorted(results, key=key)


def cheapest(results: Iterable[Result]) -> list[Result]:
    """Return what fits on devices with a known price, the cheapest device first."""
    found = [result for result in results if result.fits and result.device.price_usd]
    return sorted(found, key=lambda result: (result.device.price_usd, -result.bits_per_weight))
