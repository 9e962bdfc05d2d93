"""Levels of a ladder that a search finds: for each file, the best recipe of at most its size."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from zeropoint.allocation.budget import weights_of
from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import MeasurementError
from zeropoint.metrics.divergence.ladder import BEST_KIND, LevelFormat
from zeropoint.plans import Recipe
from zeropoint.results.allocation import SearchResult
from zeropoint.verbs.options.ladder import LadderOptions
from zeropoint.verbs.options.search import SearchOptions
from zeropoint.verbs.search import SearchRecord, search_records

SEARCH_SUFFIX = "-search"  # of the run folder of the search, beside that of the ladder


@dataclass(frozen=True)
class BestLevel:
    """A recipe that was found, as a level."""

    level: LevelFormat
    recipe: Recipe


def find_best_levels(
    checkpoint: Checkpoint, sizes: Mapping[str, int], options: LadderOptions
) -> Iterator[SearchRecord | BestLevel]:
    """Find the best recipe for the size of each file; yield progress, and the levels last.

    `sizes` are the bytes of files by the names of their formats; of equal sizes the first counts.

    The search reads built-in text and not that of the ladder, has the importance of the ladder, and
    the effort "quick". Raises MeasurementError if no size or no importance is given, and
    InfeasibleBudget for a size that no recipe meets.
    """
    if not sizes:
        raise MeasurementError(
            "--with best finds recipes of the sizes of other files; add presets to it, or formats"
            " of files to --levels"
        )
    if options.imatrix is None:
        raise MeasurementError(
            "--with best encodes with importance, as the files beside it have to; give it with"
            " --imatrix FILE, which `zeropoint calibrate` writes"
        )
    weights = weights_of(checkpoint)
    first: dict[int, str] = {}
    for name, size in sizes.items():
        first.setdefault(size, name)
    ordered = sorted(first, reverse=True)  # as a search orders its budgets
    search = SearchOptions(
        bits=",".join(f"{8 * size / weights:.12f}" for size in ordered),
        imatrix=options.imatrix,
        effort="quick",
        requantize=options.requantize,
        run=options.run.with_name(options.run.name + SEARCH_SUFFIX) if options.run else None,
        threads=options.threads,
    )
    for record in search_records(checkpoint, None, search):
        if not isinstance(record, SearchResult):
            yield record
            continue
        for size, point in zip(ordered, record.points, strict=True):
            level = LevelFormat("best", BEST_KIND, f"best at {first[size]} size")
            yield BestLevel(level, Recipe.parse(point.recipe))
