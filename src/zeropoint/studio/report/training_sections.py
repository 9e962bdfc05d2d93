"""The section of a report on runs of train: curves of the loss, and what each format costs."""

from collections.abc import Sequence

from zeropoint.results.runs import Run
from zeropoint.results.train import GradientHistogram, TrainResult
from zeropoint.studio.data.training_runs import curves_as_page_data
from zeropoint.studio.report.html import Html, figure, number, paragraph, section, table, wide
from zeropoint.studio.report.sections import format_interval

Trained = Sequence[tuple[Run, TrainResult]]

CURVES_FIGURE = (
    "curves",
    "f-curves",
    "Loss while training",
    "Held-out loss by the number of tokens, the same data for every format.",
)
COLUMNS = (
    "Format", ">Held-out loss", ">Gap", ">95 % over seeds", ">95 % over windows, first seed",
    ">Rounded afterwards", "Stored as",
)  # fmt: skip


def the_training(found: Trained) -> Html:
    """Return the section of the models that were trained."""
    parts = [figure(*CURVES_FIGURE)] if has_curves(found) else []
    for run, result in found:
        rows = [
            (
                one.label,
                number(one.loss.mean, 5),
                number(one.gap.mean, 3) if one.gap else "–",
                format_interval(one.gap) if one.gap else "–",
                format_interval(one.gap_of_first_seed) if one.gap_of_first_seed else "–",
                number(one.rounded_baseline, 5) if one.rounded_baseline > 0 else "–",
                one.stored_as or "–",
            )
            for one in result.formats
        ]
        caption = f"{run.path.name}: losses in nats per token after {result.tokens:,} tokens"
        parts.append(wide(table(COLUMNS, rows, caption)))
        if result.histogram:
            parts.append(paragraph(said_of_gradients(result.histogram)))
    return section("training", "The training", *parts)


def has_curves(found: Trained) -> bool:
    """Return whether there is a curve to draw."""
    return any(run["formats"] for run in curves_as_page_data([run for run, _ in found]))


def said_of_gradients(histogram: GradientHistogram) -> str:
    """Return one sentence on the gradients that nearest rounding would set to 0."""
    return (
        f"Of the gradients that {histogram.format} rounds in the last step, nearest rounding would"
        f" set {histogram.lost:.1%} to 0; stochastic rounding keeps them on average."
    )


def said_of_training(found: Trained) -> str:
    """Return one sentence for each run on what its formats cost; "" without runs."""
    sentences = []
    for _, result in found:
        gaps = [f"{one.label} {number(one.gap.mean, 3)}" for one in result.formats if one.gap]
        if gaps:
            sentences.append(
                f"After {result.tokens:,} tokens the held-out loss is above that of"
                f" {result.baseline}, in nats per token: {', '.join(gaps)}."
            )
    return " ".join(sentences)
