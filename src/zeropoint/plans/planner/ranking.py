"""Which model fits, in which format, on which device: with how much context, and how fast.

A `PlanRow` is one model in one format on one device. Rows are ranked by an objective:

    loss      formats of one model by the KL that `measure` found if all of them were measured, else
              by bits per weight; different models by what `compare` or `tasks` found, else by a
              rule of thumb (`RULE_OF_THUMB`), which the notes of the plan state
    speed     tokens per second
    context   the longest context that fits
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from zeropoint.errors import RecipeError
from zeropoint.plans.formats.sizes import bits_per_weight
from zeropoint.plans.machines.device import Device
from zeropoint.plans.memory.bytes_read import StepTraffic, distinct_experts, step_traffic
from zeropoint.plans.memory.memory import (
    MemoryUse,
    PlanWorkload,
    memory_use,
    repacked_bytes,
    token_bytes,
)
from zeropoint.plans.memory.offload import HostMachine, Placement, place
from zeropoint.plans.planner.model_spec import (
    EXACT,
    TYPICAL,
    ModelSpec,
    ModelTensors,
    canonical_target,
    in_format,
)
from zeropoint.plans.speed.earlier_results import EarlierResults, MeasuredLoss, ModelScore
from zeropoint.plans.speed.speed import SpeedEstimate, generation_speed, prompt_speed

OBJECTIVES = ("loss", "speed", "context")
DEFAULT_FORMATS = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q3_K_M", "IQ3_XXS", "Q2_K",
                   "IQ2_XXS")  # fmt: skip
PROMPT_TOKENS = 512  # of the prompt whose speed is estimated
RULE_OF_THUMB = (
    "between models nothing was measured: by rule of thumb the larger model wins down to 4 bits "
    "per weight (arXiv 2212.09720); below that, and for long reasoning, measure"
)
RULE_BITS = 3.9  # bits per weight of the smallest 4-bit presets
CONTEXT_STEP = 256  # tokens; the longest context is a multiple of it
MAX_CONTEXT = 2**24  # tokens


@dataclass(frozen=True, kw_only=True)
class PlanRow:
    """One model in one format on one device."""

    spec: ModelSpec
    #: Name of a preset or format; for a file as it is, the format of most of its bytes.
    format: str
    #: Whether the format is another one than the file's own.
    changed: bool
    device: Device
    workload: PlanWorkload
    memory: MemoryUse
    #: Bytes of all experts, which are part of the weights.
    experts_bytes: int
    #: Second copy of some matrices that llama.cpp makes on a CPU, bytes; not in the total.
    repacked_bytes: int
    bits_per_weight: float
    #: Longest context of each user that fits, in tokens; 0 if none does.
    longest: int
    #: Generation, tokens per second of all users together; None if the bandwidth is unknown.
    generation: SpeedEstimate | None
    #: Prompt processing, tokens per second.
    prompt: SpeedEstimate | None
    #: Where its parts would be if it does not fit.
    placement: Placement | None
    #: KL against the model's own reference, as `measure` found it.
    loss: MeasuredLoss | None
    #: Comparison with other models, as `compare` or `tasks` found it.
    score: ModelScore | None

    @property
    def fits(self) -> bool:
        """Whether everything fits into the usable memory of the device."""
        return self.memory.total_bytes <= self.device.usable_bytes

    @property
    def model(self) -> str:
        """The model's name, and its format unless the name belongs to a quantized file."""
        named = self.spec.quantized and not self.changed
        return self.spec.label if named else f"{self.spec.label} {self.format}"

    @property
    def tokens_per_second(self) -> float | None:
        """Expected generation speed of all users together; None if it is unknown."""
        speed = self.placement or self.generation
        return speed.tokens_per_second if speed else None

    @property
    def memory_basis(self) -> str:
        """Source of the memory figures."""
        if self.spec.basis == TYPICAL:
            return "typical shape"
        return "exact" if self.spec.basis == EXACT else "exact for the config"


@dataclass(frozen=True, kw_only=True)
class PlanQuestion:
    """Workload and choices that apply to every model and device of a plan."""

    workload: PlanWorkload
    objective: str = "loss"
    #: Empty: a quantized file as it is, other models as they are and in `DEFAULT_FORMATS`.
    formats: tuple[str, ...] = ()
    host: HostMachine
    earlier: EarlierResults
    #: Tokens before the generated token whose speed is estimated.
    past: int = PROMPT_TOKENS

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise RecipeError(
                f"there is no objective {self.objective!r}; supported: {', '.join(OBJECTIVES)}"
            )


@dataclass(frozen=True, kw_only=True)
class FormattedModel:
    """One model in one format: what holds on every device."""

    spec: ModelSpec
    #: Name of a preset or format; None: as it is.
    target: str | None
    tensors: ModelTensors
    memory: MemoryUse
    #: One generated token for each user.
    step: StepTraffic
    #: The same for one user, of which a prompt is computed.
    prompt_step: StepTraffic
    format: str
    bits_per_weight: float
    repacked_bytes: int


def plan_rows(
    spec: ModelSpec, devices: Sequence[Device], question: PlanQuestion
) -> Iterator[PlanRow]:
    """Yield a model in every format on every device, unranked.

    Raises RecipeError for a format that the user named and the model cannot be in.
    """
    for target in _targets(spec, question):
        try:
            model = format_model(spec, target, question)
        except RecipeError:
            if question.formats:
                raise
            continue
        for device in devices:
            yield plan_row(model, device, question)


def _targets(spec: ModelSpec, question: PlanQuestion) -> list[str | None]:
    if question.formats:
        return list(question.formats)
    return [None] if spec.quantized else [None, *DEFAULT_FORMATS]


def format_model(spec: ModelSpec, target: str | None, question: PlanQuestion) -> FormattedModel:
    """Choose the formats of a model and count the memory and traffic of running it."""
    model = ModelTensors(spec.source.metadata, spec.source.tensors)
    if target is not None:
        target = canonical_target(target)
        model = in_format(spec, target)
    tensors, shape, workload = list(model.tensors.values()), spec.shape, question.workload
    memory = memory_use(shape, tensors, workload)
    if target is None:
        memory = replace(memory, weights_bytes=spec.weights_bytes)
    past = min(question.past, workload.context)
    stored = spec.file_bytes if target is None and spec.file_bytes else memory.weights_bytes
    return FormattedModel(
        spec=spec,
        target=target,
        tensors=model,
        memory=memory,
        step=step_traffic(shape, tensors, workload, past=past),
        prompt_step=step_traffic(shape, tensors, replace(workload, users=1), past=past),
        format=spec.format if target is None else target,
        bits_per_weight=bits_per_weight(stored, tensors),
        repacked_bytes=repacked_bytes(tensors),
    )


def plan_row(model: FormattedModel, device: Device, question: PlanQuestion) -> PlanRow:
    """Plan for one model in one format on one device."""
    spec, target, memory = model.spec, model.target, model.memory
    workload, earlier = question.workload, question.earlier
    unchanged, fits = target is None, memory.total_bytes <= device.usable_bytes
    generation = prompt = placement = None
    costs = earlier.costs(device)
    if fits and costs is not None:
        generation, prompt = earlier.timed(spec, device) if unchanged else (None, None)
        if (workload.users, workload.keys, workload.values) != (1, "F16", "F16"):
            generation = None  # `bench` times one sequence with a 16-bit cache
        generation = generation or generation_speed(costs, model.step)
        prompt = prompt or prompt_speed(costs, model.prompt_step, PROMPT_TOKENS)
    elif not fits and device.bandwidth:
        experts = distinct_experts(spec.shape.experts, spec.shape.experts_used, workload.users)
        placement = place(memory, model.step, device, question.host, experts_met=experts)
    return PlanRow(
        spec=spec,
        format=model.format,
        changed=not unchanged,
        device=device,
        workload=workload,
        memory=memory,
        bits_per_weight=model.bits_per_weight,
        experts_bytes=model.step.all_experts,
        repacked_bytes=model.repacked_bytes if device.kind == "cpu" else 0,
        longest=longest_context(spec, device, workload, memory.weights_bytes),
        generation=generation,
        prompt=prompt,
        placement=placement,
        loss=earlier.loss(spec, target),
        score=earlier.score(spec, target),
    )


def longest_context(
    spec: ModelSpec, device: Device, workload: PlanWorkload, weights_bytes: int
) -> int:
    """Return the longest context of each user that fits, a multiple of 256 tokens; 0 if none."""

    def fits(context: int) -> bool:
        memory = memory_use(spec.shape, (), replace(workload, context=context))
        return weights_bytes + memory.total_bytes <= device.usable_bytes

    if not fits(CONTEXT_STEP):
        return 0
    if token_bytes(spec.shape, workload) == 0:
        return spec.shape.context or MAX_CONTEXT
    low, high = 1, MAX_CONTEXT // CONTEXT_STEP
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle * CONTEXT_STEP) else (low, middle - 1)
    return low * CONTEXT_STEP


def rank_rows(rows: Iterable[PlanRow], objective: str) -> list[PlanRow]:
    """Return rows with the best first: those that fit, then those that would be offloaded."""
    rows = list(rows)
    unmeasured = {id(row.spec) for row in rows if row.fits and row.loss is None}

    def key(row: PlanRow) -> tuple[float, ...]:
        speed = row.generation.tokens_per_second if row.generation else 0.0
        if row.placement:
            speed = row.placement.tokens_per_second
        # Losses rank the formats of a model only if all of them were measured.
        comparable = row.loss is not None and id(row.spec) not in unmeasured
        loss = row.loss.mean if comparable and row.loss else 0.0
        enough = row.bits_per_weight >= RULE_BITS
        if not row.fits:
            return (1, -speed, row.memory.total_bytes)
        if objective == "speed":
            return (0, -speed, loss)
        if objective == "context":
            return (0, -row.longest, loss)
        if row.score:
            return (0, 0, row.score.order)
        # Between models the larger one down to 4 bits; within a model loss, else bits per weight.
        return (0, 1, not enough, -row.spec.weights if enough else 0, loss, -row.bits_per_weight)

    return sorted(rows, key=key)


def rank_by_price(rows: Iterable[PlanRow]) -> list[PlanRow]:
    """Return the rows that fit on a device with a known price, the cheapest device first."""
    priced = [row for row in rows if row.fits and row.device.price_usd]
    return sorted(priced, key=lambda row: (row.device.price_usd, -row.bits_per_weight))
