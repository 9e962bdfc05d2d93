"""Prints the results of `tasks`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zeropoint.cli.output import Output
from zeropoint.cli.views.drift import spread
from zeropoint.formatting import format_bytes

if TYPE_CHECKING:
    from zeropoint.results.tasks import HarnessResult, ModelTasks, TaskFlips

MAX_NAMED_FLIPS = 8
SIGNIFICANCE_LEVEL = 0.05  # of McNemar's exact test


def show(out: Output, models: "Sequence[ModelTasks]") -> None:
    """Print the consequence for each model, a table, and the tasks that were lost or won."""
    out.say()
    for model in models[1:]:
        out.say(verdict_sentence(model), style=verdict_style(model.beside_first))
    if len(models) > 1:
        out.say()
    out.table(
        ("Model", ">Size", ">Right", ">95 % interval", ">Lost", ">Won", ">Difference", ">p",
         ">?Tokens per answer", ">?Cut"),
        (
            (model.name, format_bytes(model.file_bytes), f"{model.right} of {model.tasks}",
             " … ".join(f"{end:.0%}" for end in model.accuracy.ends or ()),
             *(_flips(model.beside_first) if place else ("", "", "", "")),
             f"{model.tokens.mean:.1f}", f"{model.cut:.0%}")
            for place, model in enumerate(models)
        ),
    )  # fmt: skip
    kinds = models[0].by_kind
    if len(kinds) > 1:
        out.say()
        out.table(
            ("Right by kind", *(f">{kind}" for kind in kinds)),
            (
                (model.name, *(f"{kind.right} of {kind.tasks}" for kind in model.by_kind.values()))
                for model in models
            ),
        )
    for model in models[1:]:
        flips = model.beside_first
        for direction, names in (("lost", flips.lost), ("won", flips.won)):
            if names:
                more = len(names) - MAX_NAMED_FLIPS
                rest = f" and {more} more" if more > 0 else ""
                out.say(f"{model.name} {direction}: {', '.join(names[:MAX_NAMED_FLIPS])}{rest}")
    if len(models) > 1:
        out.say(
            f"Lost: tasks that only {models[0].name} answers correctly; won: tasks that it does "
            "not. p: McNemar's exact test"
        )


def verdict_sentence(model: "ModelTasks") -> str:
    """Return whether a model lost tasks significantly, and the practical consequence."""
    flips = model.beside_first
    if flips.p > SIGNIFICANCE_LEVEL:
        word = "NO SIGNIFICANT DIFFERENCE"
    else:
        word = "WORSE" if len(flips.lost) > len(flips.won) else "BETTER"
    return f"Verdict      {model.name}: {word} (p {flips.p:.2g}). {flips.consequence}"


def verdict_style(flips: "TaskFlips") -> str:
    """Return the colour of a verdict: red if significantly more tasks are lost than won."""
    if flips.p > SIGNIFICANCE_LEVEL:
        return "bold"
    return "bold red" if len(flips.lost) > len(flips.won) else "bold green"


def _flips(flips: "TaskFlips") -> tuple[str, str, str, str]:
    return (
        str(len(flips.lost)),
        str(len(flips.won)),
        spread(flips.difference, "+.0%"),
        f"{flips.p:.2g}",
    )


def show_harness(out: Output, result: "HarnessResult") -> None:
    """Print the scores of lm-evaluation-harness: a row per task and figure, a column per model."""
    rows = []
    for task, figures in result.models[0].results.items():
        for key, value in figures.items():
            name, _, _ = key.partition(",")
            if isinstance(value, float | int) and not name.endswith("_stderr"):
                scores = [model.results[task][key] for model in result.models]
                rows.append((task, name, *(f"{score:.4f}" for score in scores)))
    out.say()
    out.table(("Task", "Figure", *(f">{model.name}" for model in result.models)), rows)
