"""Answers the verb `plan`: every model in every format on every device, ranked.

Nothing is read or measured here: models, devices and earlier results are passed in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from zeropoint.errors import RecipeError
from zeropoint.plans.machines.catalog import DeviceCatalog
from zeropoint.plans.machines.device import GIB, LOCAL_NAME, Device, custom_device
from zeropoint.plans.machines.quantities import parse_count, parse_size
from zeropoint.plans.memory.memory import PlanWorkload, parse_cache
from zeropoint.plans.memory.offload import HostMachine
from zeropoint.plans.planner.advice import Refusal, refusal
from zeropoint.plans.planner.as_json import plan_record
from zeropoint.plans.planner.model_spec import ModelSpec
from zeropoint.plans.planner.options import PlanOptions
from zeropoint.plans.planner.ranking import (
    PlanQuestion,
    PlanRow,
    plan_rows,
    rank_by_price,
    rank_rows,
)
from zeropoint.plans.planner.text import plan_notes, quality
from zeropoint.plans.speed.earlier_results import EarlierResults
from zeropoint.results.html import as_html
from zeropoint.results.schema import data_frame

GB = 10**9
MAX_PRICE_USD = 10**9
MAX_SSD_GBS = 1000  # GB/s; more is a typing error


@dataclass(frozen=True, kw_only=True, repr=False)
class PlanResult:
    """Result of `plan`: the ranked plans, the best first."""

    question: PlanQuestion
    #: The models, in the order in which they were named.
    models: tuple[ModelSpec, ...]
    #: One entry for each model in each format on each device, ranked.
    results: tuple[PlanRow, ...]
    #: Why nothing fits and which options would help; None if something fits.
    refusal: Refusal | None

    @property
    def fits(self) -> bool:
        """Whether any of the models fits on any of the devices."""
        return self.refusal is None

    @property
    def notes(self) -> list[str]:
        """Notes on the figures for their reader, one sentence each."""
        return plan_notes(self.question, self.models, self.results)

    def to_json(self) -> dict[str, Any]:
        """Return the object that `zeropoint plan --json` prints."""
        return plan_record(self.question, self.models, self.results, self.refusal)

    def rows(self) -> list[dict[str, object]]:
        """Return one row per model, format and device: what the command line shows."""
        return [
            {
                "model": row.model,
                "device": row.device.label,
                "fits": row.fits,
                "bits_per_weight": row.bits_per_weight,
                "total_gib": row.memory.total_bytes / GIB,
                "longest_context": row.longest,
                "prompt_tokens_per_second": row.prompt and row.prompt.tokens_per_second,
                "generation_tokens_per_second": row.tokens_per_second,
                "quality": quality(row),
            }
            for row in self.results
        ]

    def to_pandas(self) -> Any:
        """Return `rows` as a data frame. Raises ImportError if pandas is not installed."""
        return data_frame(self.rows())

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows."""
        return as_html(self, self.rows())

    def __repr__(self) -> str:
        if not self.results:
            return "<PlanResult: no results>"
        best = self.results[0]
        verdict = "fits" if best.fits else "does not fit"
        return f"<PlanResult of {len(self.results)}: {best.model} {verdict} on {best.device.name}>"


def make_plan(
    models: Sequence[tuple[ModelSpec, str | None]],
    devices: Sequence[Device],
    question: PlanQuestion,
    *,
    cheapest: bool = False,
) -> PlanResult:
    """Plan for each model, in the format that it was named with if there is one, on each device.

    `cheapest` ranks what fits by the price of the device. Raises RecipeError for a format that a
    model cannot be in.
    """
    rows: list[PlanRow] = []
    for spec, format in models:
        formats = (format,) if format else question.formats
        rows += plan_rows(spec, devices, replace(question, formats=formats))
    if not rows:
        raise RecipeError("none of these models can be in any of these formats")
    ranked = rank_by_price(rows) if cheapest else rank_rows(rows, question.objective)
    return PlanResult(
        question=question,
        models=tuple(spec for spec, _ in models),
        results=tuple(ranked),
        refusal=None if any(row.fits for row in rows) else refusal(rows, question),
    )


def make_question(
    options: PlanOptions, earlier: EarlierResults, catalog: DeviceCatalog
) -> PlanQuestion:
    """Turn options into a question. Raises RecipeError for a value that is not valid."""
    keys, values = parse_cache(options.kv)
    if not 0 < options.ssd < MAX_SSD_GBS:
        raise RecipeError(
            f"the SSD's bandwidth (--ssd) must be above 0 and below {MAX_SSD_GBS} GB/s, such as 7"
        )
    host = catalog.find(options.host)
    if options.ram:
        host = custom_device(_bytes(options.ram), None, host)
    workload = PlanWorkload(
        context=options.context
        if isinstance(options.context, int)
        else parse_count(options.context),
        users=options.users,
        keys=keys,
        values=values,
        batch=options.batch,
        full_windows=options.full_windows,
        flash=options.flash,
    )
    return PlanQuestion(
        workload=workload,
        objective=options.objective.lower(),
        formats=tuple(
            split_names([options.to] if isinstance(options.to, str) else options.to or ())
        ),
        host=HostMachine(ram=host, ssd_bandwidth=options.ssd * GB),
        earlier=earlier,
    )


def choose_devices(options: PlanOptions, catalog: DeviceCatalog) -> list[Device]:
    """Return the devices to plan for. Raises RecipeError for unknown names or bad values."""
    prices = parse_prices(options.price, catalog)
    devices = _choose(options, catalog)
    return [
        replace(device, price_usd=prices[device.id], price_date=None)
        if device.id in prices
        else device
        for device in devices
    ]


def parse_prices(price: str | Sequence[str] | None, catalog: DeviceCatalog) -> dict[str, int]:
    """Return the price of each device that "NAME=DOLLARS" gives, by its id.

    Raises RecipeError for an unknown device or a price that is not a whole number of dollars.
    """
    prices = {}
    for text in split_names([price] if isinstance(price, str) else price or ()):
        name, _, dollars = text.partition("=")
        if not dollars.isdecimal() or not 0 < int(dollars) <= MAX_PRICE_USD:
            raise RecipeError(
                f"the price {text!r} (--price) must be NAME=DOLLARS, such as rtx3090=900"
            )
        prices[catalog.find(name).id] = int(dollars)
    return prices


def _choose(options: PlanOptions, catalog: DeviceCatalog) -> list[Device]:
    if options.all_devices or options.cheapest:
        return list(catalog.devices.values())
    devices = [
        device if isinstance(device, Device) else catalog.find(device)
        for device in device_names(options)
    ]
    if options.memory:
        speed = options.bandwidth * GB if options.bandwidth is not None else None
        bases: list[Device | None] = [*devices] or [None]
        return [custom_device(_bytes(options.memory), speed, base) for base in bases]
    if options.bandwidth is not None:
        raise RecipeError(
            "a bandwidth (--bandwidth) needs a memory size: --memory 24GiB --bandwidth 936"
        )
    return devices


def device_names(options: PlanOptions) -> list[str | Device]:
    """Return the devices that options name, each once; this machine if they name none."""
    names: list[str | Device] = []
    several = options.device or ()
    for device in [several] if isinstance(several, str | Device) else several:
        names += split_names([device]) if isinstance(device, str) else [device]
    described = options.memory or options.bandwidth is not None
    if not (names or described or options.all_devices or options.cheapest):
        names = [LOCAL_NAME]
    return [name for index, name in enumerate(names) if name not in names[:index]]


def split_names(texts: Sequence[str]) -> list[str]:
    """Split texts at commas; each name once.

    >>> split_names(["Q8_0,Q4_K", "Q8_0"])
    ['Q8_0', 'Q4_K']
    """
    names = (name.strip() for text in texts for name in text.split(","))
    return list(dict.fromkeys(name for name in names if name))


def _bytes(size: str | int) -> int:
    return parse_size(size) if isinstance(size, str) else size
