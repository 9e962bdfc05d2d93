"""The verb `plan`: which models fit on which devices, with how much context, and how fast."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.headers import headers_of, read_headers, read_hub_headers
from zeropoint.checkpoints.hub.download import is_hub_id
from zeropoint.errors import CheckpointError, RecipeError
from zeropoint.metrics.speed import this_machine
from zeropoint.plans.formats.names import no_target
from zeropoint.plans.machines.device import LOCAL_ID, Device
from zeropoint.plans.memory.named_models import find_named, similar_names
from zeropoint.plans.memory.typical import is_size
from zeropoint.plans.planner.model_spec import (
    ModelSpec,
    is_target,
    spec_of_headers,
    spec_of_named,
    spec_of_size,
    with_typed,
)
from zeropoint.plans.planner.planning import (
    PlanResult,
    choose_devices,
    make_plan,
    make_question,
)
from zeropoint.plans.planner.ranking import PlanQuestion
from zeropoint.plans.speed.earlier_results import EarlierResults
from zeropoint.results.bench_history import load_bench_history
from zeropoint.results.runs import Run, finished_runs
from zeropoint.verbs.options.plan import PlanOptions

DEFAULTS = PlanOptions()
DEFAULT_RUNS = Path("runs")
Model = str | Path | Checkpoint | ModelSpec


@dataclass(frozen=True)
class MachineBenchmarkStarted:
    """Progress of `plan`: this machine is being benchmarked, once, which takes some seconds."""

    processor: str


def plan(
    *models: Model,
    device: str | Device | Sequence[str | Device] | None = DEFAULTS.device,
    memory: str | int = DEFAULTS.memory,
    bandwidth: float | None = DEFAULTS.bandwidth,
    all_devices: bool = DEFAULTS.all_devices,
    cheapest: bool = DEFAULTS.cheapest,
    price: str | Sequence[str] | None = DEFAULTS.price,
    context: str | int = DEFAULTS.context,
    kv: str = DEFAULTS.kv,
    users: int = DEFAULTS.users,
    to: str | Sequence[str] | None = DEFAULTS.to,
    objective: str = DEFAULTS.objective,
    batch: int = DEFAULTS.batch,
    full_windows: bool = DEFAULTS.full_windows,
    flash: bool = DEFAULTS.flash,
    host: str = DEFAULTS.host,
    ram: str | int = DEFAULTS.ram,
    ssd: float = DEFAULTS.ssd,
    runs: Sequence[Path | str] | None = DEFAULTS.runs,
    progress: Callable[[MachineBenchmarkStarted], None] | None = None,
) -> PlanResult:
    """Return what fits on which device, with which context, how fast, and what would help.

    A model is a file, a folder, a config.json, a hub id (only its headers are read), the name of a
    well-known model such as "Qwen3.5-27B" or a size such as "27B"; all but a hub id may name a
    format too, "27B:Q4_K_M". It may also be an open Checkpoint
    or a `ModelSpec`. A device is a name such as "rtx3090"; "local", or none at all, is this
    machine, which is benchmarked the first time it is needed. `PlanOptions` explains the options.

    >>> import zeropoint as zp
    >>> result = zp.plan("27B:Q4_K_M", device="rtx3090", context="16k", kv="q8_0", runs=[])
    >>> best = result.results[0]
    >>> best.fits, round(best.memory.weights_bytes / 1e9, 1), best.memory.kv_bytes // 2**20
    (True, 16.4, 1360)

    Raises RecipeError for an option that is not valid, CheckpointError or UnsupportedModel for a
    model that cannot be read. Each is one sentence that names what would work.
    """
    options = PlanOptions(
        device=device, memory=memory, bandwidth=bandwidth, all_devices=all_devices,
        cheapest=cheapest, price=price, context=context, kv=kv, users=users, to=to,
        objective=objective, batch=batch, full_windows=full_windows, flash=flash, host=host,
        ram=ram, ssd=ssd, runs=runs,
    )  # fmt: skip
    return plan_models(models, options, progress=progress)


def plan_models(
    models: Sequence[Model],
    options: PlanOptions,
    *,
    progress: Callable[[MachineBenchmarkStarted], None] | None = None,
) -> PlanResult:
    """Return the plan for some models, as `plan` does."""
    if not models:
        raise RecipeError("name a model: a file, a hub id, Qwen3.5-27B, or a size such as 27B")
    once = {str(m) if isinstance(m, str | Path) else id(m): m for m in models}
    specs = [describe_model(model) for model in once.values()]  # before anything is measured
    local = this_machine.load_local_machine()
    runs, timings = _finished_runs(options.runs), load_bench_history()

    def question_and_devices() -> tuple[PlanQuestion, list[Device]]:
        catalog = this_machine.load_devices(local)
        question = make_question(options, EarlierResults(runs, timings, local), catalog)
        return question, choose_devices(options, catalog)

    question, devices = question_and_devices()  # refuses bad options before anything is measured
    if any(device.id == LOCAL_ID and not device.bandwidth for device in devices):
        if progress:
            progress(MachineBenchmarkStarted(local.device.name))
        local = this_machine.measure_local_machine()
        question, devices = question_and_devices()
    return make_plan(specs, devices, question, cheapest=options.cheapest)


def describe_model(model: Model) -> tuple[ModelSpec, str | None]:
    """Return a model and the preset or format that it was named with, if any.

    Raises CheckpointError, UnsupportedModel or RecipeError for what is not a model.
    """
    if isinstance(model, ModelSpec):
        return model, None
    if isinstance(model, Checkpoint):
        return spec_of_headers(headers_of(model)), None
    text = str(model)
    spec, format = _find_model(text)
    return with_typed(spec, text), format


def _find_model(text: str) -> tuple[ModelSpec, str | None]:
    if text and Path(text).exists():
        return spec_of_headers(read_headers(Path(text))), None
    name, colon, format = text.rpartition(":")
    without_network = is_size(name) or find_named(name) is not None
    if colon and name and is_target(format) and (without_network or Path(name).exists()):
        return _find_model(name)[0], format
    if colon and without_network:
        if format:
            raise RecipeError(no_target(format))
        raise RecipeError(
            f"{text!r} has no format after its colon; write for example {name}:Q4_K_M"
        )
    if is_size(text):
        return spec_of_size(text), None
    if named := find_named(text):
        return spec_of_named(named), None
    if is_hub_id(text):
        return spec_of_headers(read_hub_headers(text)), None
    similar = ", ".join(similar_names(text))
    raise CheckpointError(
        text,
        "is not a file, a folder, a size such as 27B, the name of a well-known model such as "
        "Qwen3.5-27B or that of a model on the hub (org/name)"
        + (f"; similar names: {similar}" if similar else ""),
    )


def _finished_runs(folders: Sequence[Path | str] | None) -> list[Run]:
    for folder in folders or ():
        if not Path(folder).is_dir():
            raise RecipeError(f"{folder} (--runs) is not a folder of runs")
    return finished_runs([DEFAULT_RUNS] if folders is None else [Path(f) for f in folders])
