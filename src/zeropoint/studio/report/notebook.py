"""The report's figures of single results, as whole pages, for notebooks.

`register` passes them to `results.html`, which shows each in a frame. A result not stored in
a run folder has no single tokens or texts, so only the figures of its summary are drawn.
"""

from collections.abc import Sequence

from zeropoint.results.divergence import CompareResult, LadderLevel, LadderResult, MeasureResult
from zeropoint.results.drift import DriftResult
from zeropoint.results.html import register_figure
from zeropoint.studio.data.drift_runs import way_by_token
from zeropoint.studio.data.measure_runs import losses_of, marks_of
from zeropoint.studio.data.page_data import PageData
from zeropoint.studio.report.bundle import self_contained
from zeropoint.studio.report.html import Html, element, figure, fragment

SOURCE = "this result"  # named below a figure, where a report names the run


def register() -> None:
    """Let notebooks show these kinds of results with their figures."""
    register_figure(MeasureResult, measure_page)
    register_figure(LadderResult, ladder_page)
    register_figure(CompareResult, compare_page)
    register_figure(DriftResult, drift_page)


def measure_page(result: MeasureResult) -> str:
    """Return a page with the loss by text and kind of token, with 95 % intervals."""
    place = figure("intervals", "f-loss", "Loss by text and by kind of token, with 95 % intervals")
    return _page("Loss", place, losses_of(result))


def ladder_page(result: LadderResult) -> str:
    """Return a page with the loss of each level by its bits per weight; "" without levels."""
    return _frontier(result.levels)


def compare_page(result: CompareResult) -> str:
    """Return a page with the loss of each quant by its bits per weight; "" without quants."""
    levels = [
        LadderLevel(
            level=one.name,
            format=one.name,
            bytes=one.bytes,
            bits_per_weight=one.measured.quant.bits_per_weight if one.measured.quant else 0.0,
            measured=one.measured,
        )
        for one in result.results
    ]
    return _frontier(sorted(levels, key=lambda level: -level.bytes))


def drift_page(result: DriftResult) -> str:
    """Return a page with the fraction of identical texts by token; "" if the tokenizers differ.

    Models with different tokenizers have no KL divergence, so there is no figure for them.
    """
    if not result.free_run:
        return ""
    modes = {name: way_by_token(found) for name, found in result.free_run.items()}
    name = result.quant.name if result.quant else "the quant"
    drift: PageData = {
        "id": "0",
        "run": SOURCE,
        "name": name,
        "title": name,
        "label": name,
        "reference": result.reference.name if result.reference else "the reference",
        "unit": "token",
        "prompts": result.prompts,
        "temperature": result.settings.temperature,
        "ways": {name: way.as_page_data() for name, way in modes.items()},
        "limit": max(way.curve.at[-1] for way in modes.values()),
        "texts": [],
        "left_out": 0,
    }
    places = fragment(
        figure("survival", "f-survival", "Texts that are still identical"),
        figure("compounding", "f-compounding", "Whether errors compound"),
    )
    return _page("Drift", places, {"drifts": [drift]})


def _frontier(levels: Sequence[LadderLevel]) -> str:
    if not levels:
        return ""
    place = figure("ladder", "f-frontier", "Loss, by bits per weight")
    return _page("Frontier", place, {"ladder": marks_of(levels), "ladder_run": SOURCE})


def _page(title: str, body: Html, data: PageData) -> str:
    return self_contained(title, element("main", body), "notebook", data)
