"""Runs of search as data of the pages: the recipes that were found, and what led to them."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import CheckpointError, FormatError
from zeropoint.formats import find_format
from zeropoint.metrics.divergence.ladder import BEST_KIND
from zeropoint.plans.formats import inventory
from zeropoint.plans.formats.roles import layer_of
from zeropoint.results.allocation import Evaluated, SearchPoint, SearchResult
from zeropoint.results.divergence import LadderLevel
from zeropoint.results.interval import Interval
from zeropoint.results.runs import Run, read_head, read_run, results_of_type
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.page_data import PageData

MAX_START_CHARACTERS = 64  # of the name of a recipe to start from


def points_of(runs: Sequence[Run]) -> list[tuple[Run, SearchPoint]]:
    """Return the recipes that searches found, each with its run, the smallest file first."""
    found = [(run, point) for run, result in results_of_type(runs, SearchResult)
             for point in result.points]  # fmt: skip
    return sorted(found, key=lambda pair: pair[1].file_bytes)


def found_levels(runs: Sequence[Run]) -> list[LadderLevel]:
    """Return the recipes whose loss was measured, as marks of the frontier."""
    return [
        LadderLevel(
            level=name_of(point),
            kind=BEST_KIND,
            format=name_of(point),
            bytes=point.file_bytes,
            file_bytes=point.file_bytes,
            bits_per_weight=point.bits_per_weight,
            measured=point.measured,
        )
        for _, point in points_of(runs)
        if point.measured
    ]


def name_of(point: SearchPoint) -> str:
    """Return the name of a recipe in figures: the bits per weight of its file."""
    return f"{point.bits_per_weight:.2f} bits"


def recipes_as_page_data(runs: Sequence[Run]) -> list[PageData]:
    """Return the recipes with their tensors and every evaluation, as data of the figures."""
    return [
        {
            "run": run.path.name,
            "name": name_of(point),
            "file_bytes": point.file_bytes,
            "budget_bytes": point.budget_bytes,
            "bits_per_weight": point.bits_per_weight,
            "predicted": point.predicted,
            "measured": _interval(point.measured.kl) if point.measured else None,
            "recipe": point.recipe,
            "tensors": _tensors_in(run, point),
            "evaluations": [_evaluation(one) for one in point.evaluations],
        }
        for run, point in points_of(runs)
    ]


def _tensors_in(run: Run, point: SearchPoint) -> list[PageData]:
    try:
        return tensors_of(point.formats)
    except FormatError as error:
        raise CheckpointError(run.path / "run.json", str(error)) from None


def finished_searches(library: Library) -> list[tuple[LibraryEntry, Run]]:
    """Return the finished runs of search below the root, the latest first."""
    found = []
    for entry in library.listing().of("run"):
        with suppress(CheckpointError):  # the home page shows the reason
            if read_head(entry.path).verb == "search":
                found.append((entry, read_run(entry.path)))
    return found


def starts_for(library: Library, checkpoint: Checkpoint) -> dict[str, Mapping[str, str]]:
    """Return the recipes that searches on this model found, by the run and their name."""
    found: dict[str, Mapping[str, str]] = {}
    for entry, run in finished_searches(library):
        for _, point in points_of([run]):
            if set(point.formats) <= set(checkpoint.tensors):
                found[f"{name_of(point)} of {entry.name}"[:MAX_START_CHARACTERS]] = point.formats
    return found


def in_layer_order(names: Iterable[str]) -> list[str]:
    """Return names of tensors in the order of the layers, those without a layer last."""
    return sorted(names, key=lambda name: (layer_of(name) is None, layer_of(name) or 0))


def tensors_of(formats: Mapping[str, str]) -> list[PageData]:
    """Return the tensors of a recipe in the order of the layers, those without a layer last.

    Raises FormatError for an unknown format.
    """
    return [
        {
            "name": name,
            "kind": inventory.kind_of(name),
            "format": formats[name],
            "bits": find_format(formats[name]).bits_per_weight,
        }
        for name in in_layer_order(formats)
    ]


def _evaluation(one: Evaluated) -> PageData:
    return {
        "change": one.change,
        "predicted": one.predicted,
        "measured": _interval(one.loss),
        "accepted": one.accepted,
    }


def _interval(loss: Interval) -> PageData:
    low, high = loss.ends or (None, None)
    return {"mean": loss.mean, "low": low, "high": high}
