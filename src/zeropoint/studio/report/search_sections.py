"""The section of a report on runs of search, and the parts that the studio shares with it."""

from collections.abc import Sequence

from zeropoint.results.allocation import SearchPoint
from zeropoint.results.runs import Run
from zeropoint.studio.data.search_runs import name_of
from zeropoint.studio.report.html import (
    Html,
    element,
    figure,
    folded,
    number,
    section,
    size,
    table,
    wide,
)
from zeropoint.studio.report.sections import format_interval

Found = Sequence[tuple[Run, SearchPoint]]

RECIPE_FIGURE = (
    "recipe",
    "f-recipe",
    "Which tensor gets which format",
    "Layers across, kinds of tensor down, shaded by bits per weight. Arrow keys move.",
)
PREDICTION_FIGURE = (
    "prediction",
    "f-prediction",
    "Predicted and measured loss",
    "One mark for each recipe that was tried. Whiskers are 95 % intervals. Pick a mark.",
)
COLUMNS = (
    "Run", ">Bits per weight", ">File", ">Budget", ">Predicted KL", ">Measured KL", ">95 %",
    ">Recipes tried",
)  # fmt: skip


def the_search(found: Found) -> Html:
    """Return the section of the recipes that searches found, and how well losses were predicted."""
    return section("search", "The search", *parts_of(found))


def parts_of(found: Found) -> list[Html]:
    """Return the figures of the recipes, their table, and their texts."""
    rows = [
        (
            run.path.name,
            f"{point.bits_per_weight:.3f}",
            size(point.file_bytes),
            size(point.budget_bytes),
            number(point.predicted, 3),
            number(point.measured.kl.mean, 3) if point.measured else "–",
            format_interval(point.measured.kl) if point.measured else "–",
            len(point.evaluations),
        )
        for run, point in found
    ]
    texts = [
        folded(
            f"The recipe of {name_of(point)}, {size(point.file_bytes)}, as a text",
            element("pre", point.recipe),
        )
        for _, point in found
    ]
    return [
        figure(*RECIPE_FIGURE),
        figure(*PREDICTION_FIGURE),
        wide(table(COLUMNS, rows, "The recipes that were found")),
        *texts,
    ]


def said_of_search(found: Found) -> str:
    """Return one sentence on the recipes that were found; "" if there are none."""
    if not found:
        return ""
    names = [f"{name_of(point)} per weight ({size(point.file_bytes)}), predicted KL "
             f"{number(point.predicted, 3)} nats per token" for _, point in found]  # fmt: skip
    return f"The search found {'; '.join(names)}. The losses of these recipes were not measured."
