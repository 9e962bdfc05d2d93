"""Pages of runs of measure: one run token by token, or several runs, ranked only outside the noise.

Runs are ranked where a paired test over the same chunks is significant;
runs with different texts, references or settings are not ranked, and the page shows the reason.
"""

from collections.abc import Sequence
from urllib.parse import urlencode

from zeropoint.errors import MeasurementError
from zeropoint.results.divergence import MeasureResult
from zeropoint.results.runs import Run
from zeropoint.studio.data import measure_runs
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.ranked_runs import alike_of, groups, why_not
from zeropoint.studio.pages.layout import content, header, page, sidebar
from zeropoint.studio.report.html import (
    element,
    figure,
    fragment,
    number,
    paragraph,
    percent,
    section,
    size,
    table,
    wide,
)
from zeropoint.studio.report.sections import format_interval

MAX_POSITIONS = 4000  # of the texts, token by token

FIGURES = (
    ("divergence", "f-text", "Token drift: the text, shaded by what was lost",
     "Arrow keys move from token to token, n and p from bad to less bad."),
    ("perplexity", "f-perplexity", "Perplexity, one token after the other",
     "Step forward and back; the marked token is what really came."),
    ("flips", "f-flips", "The text as an exam, before and after", ""),
    ("intervals", "f-loss", "Loss by text and by kind of token, with 95 % intervals",
     "In the band nothing can be told apart from the noise of the reference itself."),
)  # fmt: skip


def measured(library: Library, entries: Sequence[LibraryEntry], shown: int) -> str:
    """Return the page of one of these runs, with links to the same token in the others."""
    run = measures(entries)[shown]
    data = {
        **measure_runs.losses_of(run.result_as(MeasureResult)),
        "run": run.path.name,
        "texts": measure_runs.text_of(run, MAX_POSITIONS),
    }
    switch = [
        element(
            "li",
            element(
                "a",
                entry.name,
                data_keep=True,
                href=f"/measure?{_words(entries, i)}",
                aria_current="page" if i == shown else None,
            ),
        )
        for i, entry in enumerate(entries)
    ]
    others = element("nav", element("ul", *switch), class_="switch", aria_label="Runs")
    result = run.result_as(MeasureResult)
    lead = (
        f"{run.quant.name} beside {run.reference.name}: KL {number(result.kl.mean, 3)} nats per "
        f"token, the same most likely token at {percent(result.top1, 1)} of {result.tokens} "
        "positions."
    )
    top = fragment(header("measure", entries[shown].name, lead), others)
    return page(
        f"Measured: {entries[shown].name}",
        sidebar(library, "/measure"),
        content(top, *(figure(*words) for words in FIGURES)),
        data,
    )


def _words(entries: Sequence[LibraryEntry], shown: int) -> str:
    return urlencode([*(("run", entry.id) for entry in entries), ("shown", shown)])


def measures(entries: Sequence[LibraryEntry]) -> list[Run]:
    """Open runs of measure. Raises MeasurementError for a run of another verb, or for no runs."""
    runs = measure_runs.open_runs([entry.path for entry in entries])
    for run in runs:
        if run.verb != "measure":
            message = f"{run.path.name} is a run of {run.verb}; this page shows runs of measure"
            raise MeasurementError(message)
    if not runs:
        raise MeasurementError("choose runs of measure on the first page")
    return runs


def compared(library: Library, entries: Sequence[LibraryEntry]) -> str:
    """Return the page of several quants; equal letters mark insignificant differences."""
    order = list(zip(measures(entries), entries, strict=True))
    if not why_not([run for run, _ in order]):
        order.sort(key=lambda pair: pair[0].result_as(MeasureResult).kl.mean)
    runs = [run for run, _ in order]
    letters, why = groups(runs)
    levels = [measure_runs.level_of(run) for run in runs]
    names = [level.format for level in levels]
    drawn = [level for level in levels if level.bits_per_weight > 0]
    rows = [
        (
            element("a", entry.name, href=f"/measure?run={entry.id}"),
            level.format,
            size(level.bytes),
            level.bits_per_weight,
            number(level.measured.kl.mean, 3),
            format_interval(level.measured.kl),
            letter,
            percent(level.measured.top1, 1),
            level.measured.verdict.word,
        )
        for (_, entry), level, letter in zip(order, levels, letters, strict=True)
    ]
    columns = ("Run", "Quant", ">Size", ">Bits per weight", ">KL", ">95 %", "Group",
               ">Same token", "Verdict")  # fmt: skip
    message = why or (
        "Two that share a letter cannot be told apart on this text: a sign-flip test over its "
        "chunks, corrected for the number of pairs (Holm)."
    )
    caption = "The runs, as they were chosen" if why else "The runs, the least loss first"
    shown_table = wide(table(columns, rows, caption))
    parts = [section("compared", "", "Side by side", paragraph(message), shown_table)]
    if drawn:
        parts.append(
            figure("ladder", "f-frontier", "Loss, by size", "Whiskers are 95 % intervals.")
        )
    body = header(
        "compare", f"{len(runs)} quants", "What each lost, and which cannot be told apart."
    )
    data = {
        "ladder": measure_runs.marks_of(drawn, alike_of(names, letters)),
        "ladder_across": "bytes",
        "ladder_run": ", ".join(run.path.name for run in runs),
    }
    return page("Compared", sidebar(library, "/compare"), content(body, *parts), data)
