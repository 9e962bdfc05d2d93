"""The verb `plan`: what fits on which machine, how fast, and what to turn where nothing does."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict, Unpack

from zeropoint.errors import RecipeError
from zeropoint.plans.machines import this_machine as here
from zeropoint.plans.machines.machines import HERE, Device, described, devices, find_device
from zeropoint.plans.machines.quantities import parse_count, parse_size
from zeropoint.plans.memory.memory import BATCH, Demand, parse_cache
from zeropoint.plans.memory.offload import Host
from zeropoint.plans.planner import ranking
from zeropoint.plans.planner.advice import Refusal, refusal
from zeropoint.plans.planner.model_spec import Subject, describe
from zeropoint.plans.planner.ranking import Question, Result
from zeropoint.plans.speed.calibration import Evidence

GB = 10**9
HOST = "ddr5-5600-64gb"  # the machine around a GPU, unless another is named
SSD = 7.0  # GB/s
MOST = 1000  # GB/s of an SSD


class Asking(TypedDict, total=False):
    """Options of `plan`, with the command line's names and meanings."""

    memory: str | int  # of a device that has no name: "24GiB", or bytes
    bandwidth: float  # its GB/s; without it no speed
    all_devices: bool
    cheapest: bool  # devices with a price, the cheapest first
    ctx: str | int  # tokens of each user: "16k"
    kv: str  # format of the cache: "q8_0", or "q8_0/q4_0" for keys and values
    users: int
    to: str | Sequence[str]  # presets or formats; none: a quant as it is, else a ladder of them
    objective: str  # loss, speed or context
    batch: int  # tokens of a prompt that are computed at once
    full_windows: bool  # keep all positions of sliding windows too
    flash: bool  # flash attention
    host: str  # the machine around a GPU that is too small
    ram: str | int  # its memory, if another
    ssd: float  # GB/s
    runs: Sequence[Path | str] | Evidence  # folders of runs


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The answers to one question, the best first."""

    question: Question
    subjects: tuple[Subject, ...]
    results: tuple[Result, ...]
    refusal: Refusal | None  # why nothing fits and what to turn; None where something does

    @property
    def fits(self) -> bool:
        """Whether any of the models fits on any of the devices."""
        return self.refusal is None


def plan(
    *models: str | Path | Subject | tuple[Subject, str | None],
    device: str | Device | Iterable[str | Device] = (),
    **options: Unpack[Asking],
) -> Plan:
    """Say what fits on which device, with which context, how fast, and what to turn.

    A model is a file, a folder, a config.json, a Hub id (only headers are read) or a size such as
    "27B", each also with a format ("27B:Q4_K_M"); or a `Subject` that was opened before. A device
    is a slug such as "rtx3090"; "here", or none at all, is this machine, which is measured once,
    some seconds. `Asking` has the options.

    >>> from zeropoint.plans.planner.planning import plan
    >>> found = plan("27B:Q4_K_M", device="rtx3090", ctx="16k", kv="q8_0", runs=[])
    >>> best = found.results[0]
    >>> best.fits, round(best.memory.weights_bytes / 1e9, 1), best.memory.kv_bytes // 2**20
    (True, 16.4, 1360)

    Raises RecipeError for what makes no sense, CheckpointError or UnsupportedModel for a model that
    cannot be read, each in one sentence that names what would work.
    """
    if not models:
        raise RecipeError("name a model: a file, a hub id, or a size such as 27B")
    question, cheapest = ask(options), options.get("cheapest", False)
    once = {str(m) if isinstance(m, str | Path) else id(m): m for m in models}
    asked = [opened(model) for model in once.values()]  # before anything is measured
    where = choose_devices(named(device), options)
    if any(found.id == HERE for found in where):
        question.evidence.here = question.evidence.here or here.remembered()
    results: list[Result] = []
    for subject, to in asked:
        formats = (to,) if to else question.formats
        results += ranking.plan([subject], where, replace(question, formats=formats))
    if not results:
        raise RecipeError("none of these models can be in any of these formats")
    order = ranking.cheapest(results) if cheapest else ranking.ranked(results, question.objective)
    return Plan(
        question=question, subjects=tuple(subject for subject, _ in asked), results=tuple(order),
        refusal=None if any(r.fits for r in results) else refusal(results, question),
    )  # fmt: skip


def opened(model: str | Path | Subject | tuple[Subject, str | None]) -> tuple[Subject, str | None]:
    """Return a model and the format that it was named with, if it was."""
    if isinstance(model, Subject):
        return model, None
    return model if isinstance(model, tuple) else describe(str(model))


def named(device: str | Device | Iterable[str | Device]) -> list[str | Device]:
    """Return one device or several as a list, each once; a comma in a text parts two."""
    several = [device] if isinstance(device, str | Device) else list(device)
    found: list[str | Device] = []
    for one in several:
        found += [part.strip() for part in one.split(",")] if isinstance(one, str) else [one]
    return [one for place, one in enumerate(found) if one not in found[:place]]


def ask(options: Asking) -> Question:
    """Turn options into a question. Raises RecipeError for what makes no sense."""
    keys, values = parse_cache(options.get("kv", "f16"))
    ssd = options.get("ssd", SSD)
    if not 0 < ssd < MOST:
        raise RecipeError("--ssd is GB/s above 0, such as 7")
    behind = find_device(options.get("host", HOST))
    if ram := options.get("ram"):
        behind = described(size_of(ram), None, base=behind)
    demand = Demand(
        context=count_of(options.get("ctx", 4096)), users=options.get("users", 1),
        keys=keys, values=values, batch=options.get("batch", BATCH),
        full_windows=options.get("full_windows", False), flash=options.get("flash", True),
    )  # fmt: skip
    to = options.get("to", ())
    parts = [part.strip() for text in ([to] if isinstance(to, str) else to)
             for part in text.split(",")]  # fmt: skip
    formats = tuple(dict.fromkeys(part for part in parts if part))
    return Question(
        demand=demand, objective=options.get("objective", "loss"), formats=formats,
        host=Host(ram=behind, ssd_bandwidth=ssd * GB), evidence=evidence_of(options.get("runs")),
    )  # fmt: skip


def evidence_of(runs: Sequence[Path | str] | Evidence | None) -> Evidence:
    """Return what was measured before; None: in ./runs, if there is such a folder."""
    if isinstance(runs, Evidence):
        return runs
    for folder in runs or ():
        if not Path(folder).is_dir():
            raise RecipeError(f"{folder} is no folder of runs")
    return Evidence([Path("runs")] if runs is None else [Path(folder) for folder in runs])


def choose_devices(names: Sequence[str | Device], options: Asking) -> list[Device]:
    """Return the devices that are asked about: those named, all, a described one, or this one."""
    memory, bandwidth = options.get("memory"), options.get("bandwidth")
    everything = options.get("all_devices", False) or options.get("cheapest", False)
    if not (names or memory or everything or bandwidth is not None):
        names = [HERE]
    if everything:
        return list(devices().values())
    found = [name if isinstance(name, Device) else here.named(name, this_machine) for name in names]
    if memory:
        speed = bandwidth * GB if bandwidth is not None else None
        bases: list[Device | None] = [*found] or [None]
        return [described(size_of(memory), speed, base=base) for base in bases]
    if bandwidth is not None:
        raise RecipeError("--bandwidth belongs to --memory: --memory 24GiB --bandwidth 936")
    return found


def this_machine() -> Device:
    """Return this machine, measured now, some seconds, if it was not before."""
    found = here.remembered() or here.measure_here()
    if found is None:
        raise RecipeError(
            "this machine cannot be measured without the compiled kernels; name one with"
            " --device, or --memory 24GiB --bandwidth 936"
        )
    return found.device


def size_of(size: str | int) -> int:
    """Return bytes, typed or counted."""
    return parse_size(size) if isinstance(size, str) else size


def count_of(count: str | int) -> int:
    """Return tokens, typed or counted."""
    return parse_count(count) if isinstance(count, str) else count
