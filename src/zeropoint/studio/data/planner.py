"""Requests of the pages Plan and Speed: the verb `plan` on models of the library or on sizes.

Only texts that are not paths reach the planner: a size, a format's name, a device's slug, the
text of a config.json. Files are given by their id in the library. No network request is made.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from zeropoint.checkpoints.headers import config_headers, read_headers
from zeropoint.errors import CheckpointError, RecipeError, ZeropointError
from zeropoint.metrics.speed.this_machine import load_devices, load_local_machine
from zeropoint.plans.formats.names import no_target, target_format
from zeropoint.plans.machines.device import LOCAL_ID, Device
from zeropoint.plans.memory.cache_shape import ModelShape
from zeropoint.plans.memory.typical import is_size
from zeropoint.plans.planner.advice import fixes, longer_contexts
from zeropoint.plans.planner.as_json import device_record
from zeropoint.plans.planner.model_spec import (
    ModelSpec,
    canonical_target,
    dominant_format,
    in_format,
    is_target,
    spec_of_headers,
    spec_of_size,
    with_typed,
)
from zeropoint.plans.planner.options import PlanOptions
from zeropoint.plans.planner.planning import make_plan, make_question
from zeropoint.plans.planner.ranking import DEFAULT_FORMATS, OBJECTIVES, PlanQuestion
from zeropoint.plans.speed.earlier_results import EarlierResults
from zeropoint.plans.speed.multiply import multiplication
from zeropoint.plans.speed.roofline import (
    USER_COUNTS,
    device_roofline,
    measured_points,
    roofline_points,
)
from zeropoint.results.bench_history import load_bench_history
from zeropoint.results.runs import Run, finished_runs
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.page_data import PageData

MAX_CACHED_MODELS = 8  # models whose headers are remembered
DEFAULT_ROOFLINE_FORMATS = (
    "Q8_0",
    "Q4_K_M",
    "Q2_K",
)  # formats of a roofline, unless others are asked for


@dataclass(frozen=True)
class PlanRequest:
    """Request to the planner: models of the library, sizes, a pasted config, and devices."""

    models: Sequence[str]  # ids of the library
    sizes: Sequence[str]  # such as 27B or 27B:Q4_K_M
    config: str  # the text of a config.json, or ""
    devices: Sequence[str]  # slugs; none: this machine
    options: PlanOptions


class Planner:
    """Answers the requests of the two pages for one library."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._subjects: OrderedDict[tuple[Path, float, int], ModelSpec] = OrderedDict()
        self._runs: tuple[object, list[Run]] = (None, [])
        self._lock = threading.Lock()

    def offered(self) -> PageData:
        """Return the choices that the pages offer."""
        offered = load_devices().all()
        return {
            "models": [{"id": e.id, "name": e.name} for e in self.library.listing().of("model")],
            "devices": [*map(device_record, offered)],
            "measured": offered[0].measured,
            "objectives": OBJECTIVES,
            "formats": DEFAULT_FORMATS,
            "batches": USER_COUNTS,
        }

    def answer(self, request: PlanRequest) -> PageData:
        """Return a plan as `--json` prints it, with the adjustments of each result."""
        specs, question = self._asked(request)
        plan = make_plan(specs, self._devices(request), question)
        record = plan.to_json()
        record["turn"] = [
            list((longer_contexts if row.fits else fixes)(row, question)) for row in plan.results
        ]
        return record

    def speeds(self, request: PlanRequest) -> PageData:
        """Return rooflines, one model's points in several formats, and measured results."""
        specs, question = self._asked(request)
        spec, named = specs[0]
        where = [device for device in self._devices(request) if device.bandwidth]
        formats: tuple[str | None, ...] = (named,) if named else question.formats
        if not formats:
            formats = (None,) if spec.quantized else (None, *DEFAULT_ROOFLINE_FORMATS)
        points = [point for to in formats for point in roofline_points(spec, to, where, question)]
        earlier = question.earlier
        return {
            "model": spec.label,
            "basis": spec.basis,
            "roofs": [asdict(device_roofline(device, earlier)) for device in where],
            "marks": [asdict(point) for point in points],
            "timed": [asdict(point) for point in measured_points(earlier.benches)],
            "multiply": arithmetic(spec, formats, where),
            "devices": [device_record(device) for device in where],
        }

    def _asked(
        self, request: PlanRequest
    ) -> tuple[list[tuple[ModelSpec, str | None]], PlanQuestion]:
        """Return the models and the options of a request. Raises RecipeError for bad values."""
        for text in request.options.to or ():
            if not is_target(text):
                raise RecipeError(no_target(text))
        specs: list[tuple[ModelSpec, str | None]] = [
            (self._subject(id), None) for id in request.models
        ]
        specs += [sized(text) for text in request.sizes]
        if request.config:
            specs.append((from_text(request.config), None))
        if not specs:
            raise RecipeError("name a model: a model of the library, a size such as 27B, or the "
                              "text of a config.json")  # fmt: skip
        return specs, make_question(request.options, self.earlier_results(), load_devices())

    @staticmethod
    def _devices(request: PlanRequest) -> list[Device]:
        catalog = load_devices()
        return [catalog.find(name) for name in request.devices or [LOCAL_ID]]

    def _subject(self, id: str) -> ModelSpec:
        try:
            entry = self.library.find(id, "model")
        except KeyError:
            raise CheckpointError(self.library.root, f"has no model {id!r}") from None
        return self.subject(entry)

    def subject(self, entry: LibraryEntry) -> ModelSpec:
        """Return a model of the library; its header is read again only if the file has changed."""
        key = (entry.path, entry.changed, entry.bytes)
        with self._lock:
            spec = self._subjects.get(key)
            if spec is None:
                spec = with_typed(spec_of_headers(read_headers(entry.path)), entry.name)
                self._subjects[key] = spec
            self._subjects.move_to_end(key)
            while len(self._subjects) > MAX_CACHED_MODELS:
                self._subjects.popitem(last=False)
        return spec

    def shape_of(self, name: str, nbytes: int) -> ModelShape | None:
        """Return the shape of the library's file of this name and size, if there is one."""
        for entry in self.library.listing().of("model"):
            if (entry.path.name, entry.bytes) == (name, nbytes):
                try:
                    return self.subject(entry).shape
                except (ZeropointError, OSError):
                    return None
        return None

    def earlier_results(self) -> EarlierResults:
        """Return the results of the library's runs, read again only when one has changed."""
        runs = self.library.listing().of("run")
        key = [(run.path, run.changed, run.bytes) for run in runs]
        with self._lock:
            if self._runs[0] != key:
                self._runs = (key, finished_runs([run.path for run in runs]))
            finished = self._runs[1]
        return EarlierResults(finished, load_bench_history(), load_local_machine())


def arithmetic(
    subject: ModelSpec, formats: Sequence[str | None], where: Sequence[Device]
) -> PageData:
    """Return the arithmetic of matrix products, by device and format of the model."""
    found: PageData = {}
    for to in formats:
        model = in_format(subject, canonical_target(to)) if to else subject.source
        format = target_format(dominant_format(model.tensors.values()))
        for device in where:
            found[f"{device.id}/{to or subject.format}"] = asdict(multiplication(device, format))
    return found


def sized(text: str) -> tuple[ModelSpec, str | None]:
    """Return a typical model of a typed size, `27B` or `27B:Q4_K_M`, and the format.

    Raises RecipeError for anything else.
    """
    name, colon, to = text.strip().partition(":")
    if not is_size(name):
        raise RecipeError(
            f"{text!r} is not a size; write 27B, 30B-A3B or 27B:Q4_K_M. The studio sends no "
            "requests to the network; plan for a model on the hub in a terminal: zeropoint plan "
            "org/name"
        )
    if colon and not is_target(to):
        raise RecipeError(no_target(to))
    return _typical(name), to or None


@lru_cache(MAX_CACHED_MODELS)
def _typical(name: str) -> ModelSpec:
    return spec_of_size(name)


def from_text(text: str) -> ModelSpec:
    """Return the model that a pasted config.json describes."""
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError("config.json", f"is not JSON: {error}") from None
    label = str(config.get("model_type") or "config") if isinstance(config, dict) else ""
    return spec_of_headers(config_headers(config, Path("config.json"), label=label[:64]))
