"""Runs of train as data of the pages: the curves of each format, and its gap to the baseline."""

from collections.abc import Sequence

from zeropoint.results.interval import Interval
from zeropoint.results.runs import Run, results_of_type
from zeropoint.results.train import TrainedFormat, TrainResult
from zeropoint.studio.data.page_data import PageData


def trained_in(runs: Sequence[Run]) -> list[tuple[Run, TrainResult]]:
    """Return the runs of train, each with its result."""
    return results_of_type(runs, TrainResult)


def curves_as_page_data(runs: Sequence[Run]) -> list[PageData]:
    """Return the curves of all formats, as data of the figure; formats without curves left out."""
    return [
        {
            "run": run.path.name,
            "formats": [
                _format(one, baseline=one.format == result.baseline)
                for one in result.formats
                if any(curve.tokens for curve in one.curves)
            ],
        }
        for run, result in trained_in(runs)
    ]


def _format(one: TrainedFormat, *, baseline: bool) -> PageData:
    rounded = one.rounded_baseline
    return {
        "label": one.label,
        "baseline": baseline,
        "loss": _interval(one.loss),
        "gap": _interval(one.gap) if one.gap else None,
        "rounded": None if rounded != rounded else rounded,
        "curves": [curve.to_json() for curve in one.curves if curve.tokens],
    }


def _interval(found: Interval) -> PageData:
    low, high = found.ends or (None, None)
    return {"mean": found.mean, "low": low, "high": high}
