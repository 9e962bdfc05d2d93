"""Pages of runs of measure: one run token by token, and several runs side by side.

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
from zeropoint.studio.data.run_summary import summarize
from zeropoint.studio.pages.layout import (
    COMPARE_TABS,
    content,
    header,
    page,
    run_chooser,
    sidebar,
    tabs,
)
from zeropoint.studio.pages.lists import outermost
from zeropoint.studio.pages.start_run import start_here
from zeropoint.studio.report.html import (
    Html,
    element,
    figure,
    fragment,
    names_broken,
    number,
    paragraph,
    percent,
    section,
    size,
    table,
    verdict_chip,
    wide,
)
from zeropoint.studio.report.sections import format_interval

OFFERED_RUNS = 100  # latest runs, of which those of measure are offered
BACK_TO_COMPARE = element("a", "Compare", href="/compare")
MAX_POSITIONS = 4000  # of the texts, token by token

FIGURES = (
    ("divergence", "f-text", "The text, shaded by KL divergence",
     "Arrow keys move from token to token; n and p move to the next worse or better token."),
    ("perplexity", "f-perplexity", "Perplexity, one token after the other",
     "Step forward and back; the marked token is the one in the text."),
    ("flips", "f-flips", "The text as an exam, before and after", ""),
    ("intervals", "f-loss", "Loss by text and by kind of token, with 95 % intervals",
     "In the band a loss cannot be distinguished from the noise of the reference itself."),
)  # fmt: skip


def measured(library: Library, entries: Sequence[LibraryEntry], shown: int) -> str:
    """Return the page of one of these runs, with links to the same token in the others."""
    pairs = measures(entries)
    entries = [entry for _, entry in pairs]
    shown = min(shown, len(pairs) - 1)
    run = pairs[shown][0]
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
    top = fragment(header(BACK_TO_COMPARE, names_broken(entries[shown].name), lead), others)
    return page(
        f"Measured: {entries[shown].name}",
        sidebar(library, "/measure"),
        content(top, *(figure(*words) for words in FIGURES)),
        data,
    )


def _words(entries: Sequence[LibraryEntry], shown: int) -> str:
    return urlencode([*(("run", entry.id) for entry in entries), ("shown", shown)])


def measures(entries: Sequence[LibraryEntry]) -> list[tuple[Run, LibraryEntry]]:
    """Open those of the runs that are of measure. Raises MeasurementError if there are none."""
    opened = measure_runs.open_runs([entry.path for entry in entries])
    found = [pair for pair in zip(opened, entries, strict=True) if pair[0].verb == "measure"]
    if not found:
        verbs = " and ".join(dict.fromkeys(run.verb for run in opened))
        raise MeasurementError(
            f"The selected runs are of {verbs}. This page shows runs of measure; the report shows "
            "runs of every kind."
        )
    return found


def choose_measured(library: Library) -> str:
    """Return the page Compare before runs are selected: the runs to select, and a form for one."""
    runs = [(entry, summarize(entry.path)) for entry in outermost(library.listing().of("run"))]
    offered = [(entry, run) for entry, run in runs[:OFFERED_RUNS] if run.kl is not None]
    start, data = start_here(library, ("measure", "ladder"), "Measure another version")
    parts = [start]
    if offered:
        first = offered[0][1].reference  # versions of one model may be compared
        same = [entry.id for entry, run in offered if run.reference == first]
        entries = [entry for entry, _ in offered]
        parts.insert(0, run_chooser(entries, same, "/compare", "Measured versions"))
    body = content(compare_header("What each quantized version of a model lost."), *parts)
    return page("Compare", sidebar(library, "/compare"), body, data)


def compare_header(lead: str) -> Html:
    """Return the header of the page Compare."""
    return header("", "Compare", lead, tabs(COMPARE_TABS, "/compare", "Compare"))


def compared(library: Library, entries: Sequence[LibraryEntry]) -> str:
    """Return the page of several quants; equal letters mark insignificant differences."""
    order = measures(entries)
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
            f"{level.bits_per_weight:.2f}",
            number(level.measured.kl.mean, 3),
            format_interval(level.measured.kl),
            letter,
            percent(level.measured.top1, 1),
            verdict_chip(level.measured.verdict.word),
        )
        for (_, entry), level, letter in zip(order, levels, letters, strict=True)
    ]
    columns = ("Run", "Quantized model", ">Size", ">Bits per weight", ">KL", ">95 %", "Group",
               ">Same token", "Verdict")  # fmt: skip
    message = why or (
        "Versions that share a letter do not differ significantly on this text (sign-flip test "
        "over its chunks, Holm-corrected for the number of pairs)."
    )
    caption = "In the order selected" if why else "Least loss first"
    shown_table = wide(table(columns, rows, caption, cards=True))
    parts = [section("compared", "Side by side", paragraph(message), shown_table)]
    if drawn:
        parts.append(
            figure("ladder", "f-frontier", "Loss, by size", "Whiskers are 95 % intervals.")
        )
    body = compare_header("What each lost, and which differences are significant.")
    report = "/report?" + urlencode([("run", entry.id) for _, entry in order])
    parts.append(element("p", element("a", "Report of these runs", href=report), class_="choices"))
    data = {
        "ladder": measure_runs.marks_of(drawn, alike_of(names, letters)),
        "ladder_across": "bytes",
        "ladder_run": ", ".join(run.path.name for run in runs),
    }
    return page("Compared", sidebar(library, "/compare"), content(body, *parts), data)
