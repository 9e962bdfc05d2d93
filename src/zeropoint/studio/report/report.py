"""The report: the results of runs as one self-contained HTML file, which needs no server.

Text and tables are written in Python, so that they need no script; figures are drawn by the same
visuals as in the studio. A section without its run is left out, and the section "method" lists it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from zeropoint.errors import MeasurementError
from zeropoint.metrics.divergence.ranking import inseparable
from zeropoint.metrics.divergence.verdict import THRESHOLDS, VERDICT_MEANINGS
from zeropoint.results.divergence import LadderLevel, MeasureResult
from zeropoint.results.interval import Interval
from zeropoint.results.quantize import QuantizeResult
from zeropoint.results.run_origin import origin_now
from zeropoint.results.runs import Run
from zeropoint.studio.data import measure_runs
from zeropoint.studio.data.drift_runs import steps_of
from zeropoint.studio.data.memory_vs_loss import scales_of
from zeropoint.studio.data.open_model import layer_order
from zeropoint.studio.data.page_data import PageData
from zeropoint.studio.data.ranked_runs import alike_of, groups
from zeropoint.studio.data.search_runs import found_levels, points_of, recipes_as_page_data
from zeropoint.studio.data.steps_shown import LongRunEvidence
from zeropoint.studio.data.training_runs import curves_as_page_data, trained_in
from zeropoint.studio.report import drift_sections
from zeropoint.studio.report.bundle import self_contained
from zeropoint.studio.report.html import (
    Html,
    element,
    figure,
    fragment,
    literal,
    names_broken,
    number,
    numbered,
    paragraph,
    percent,
    section,
    size,
    table,
    verdict_chip,
)
from zeropoint.studio.report.provenance import made_by, provenance
from zeropoint.studio.report.search_sections import said_of_search, the_search
from zeropoint.studio.report.sections import (
    bigger_or_smaller,
    format_interval,
    frontier,
    how_much,
    in_which_tensors,
    on_what_text,
    said_of_sizes,
    where_bytes,
    why,
)
from zeropoint.studio.report.training_sections import said_of_training, the_training

MAX_WORST_POSITIONS = 50  # positions in the table of the worst
KINDS = ("symmetric", "asymmetric")  # of levels by bits, which are drawn by their bits
SMALL_LOSS = "SMALL, MEASURABLE"


def render_report(runs: Sequence[Run]) -> str:
    """Return the report of these runs as one HTML file. Raises MeasurementError for none."""
    return self_contained(*report_of(runs))


def report_of(
    runs: Sequence[Run], *, hashed_bytes: int | None = None
) -> tuple[str, Html, str, dict[str, Any]]:
    """Return the report's title, body, entry and data. Raises MeasurementError for no runs.

    Files of more than `hashed_bytes` are not read for their hash.
    """
    if not runs:
        raise MeasurementError("a report needs a run: the run folder (--run) of measure, drift "
                               "or another verb")  # fmt: skip
    measures = [run for run in runs if run.verb == "measure"]
    quantize = next((run for run in runs if run.verb == "quantize"), None)
    tensors = measure_runs.tensors_of(quantize) if quantize else []
    tensors.sort(key=lambda tensor: layer_order(tensor.result.name))
    levels, steps = levels_of(runs), steps_of(runs)
    data: dict[str, Any] = {"run": runs[0].path.name, "runs": [raw(run) for run in runs]}
    data |= steps.as_page_data()
    sizes = scales_of(runs)
    others = [
        said_of_sizes(sizes),
        said_of_search(points_of(runs)),
        said_of_training(trained_in(runs)),
    ]
    parts = [verdict(measures, quantize, levels, steps, others), provenance(runs, hashed_bytes)]
    if quantize:
        data["tensors"] = [tensor.as_page_data() for tensor in tensors]
        parts += [where_bytes(tensors)]
    if measures:
        data |= measure_runs.losses_of(measures[0].result_as(MeasureResult))
        data["texts"] = measure_runs.text_of(measures[0])
        worst = measure_runs.worst_of(measures[0], MAX_WORST_POSITIONS)
        parts += [
            how_much(measures[0].result_as(MeasureResult)),
            on_what_text(data["texts"], worst),
        ]
    if quantize:
        parts += [in_which_tensors(tensors)]
        if any(tensor.spread for tensor in tensors):
            parts += [why(tensors)]
    if steps:
        parts += [drift_sections.over_many_steps(steps)]
    if levels:
        told, alike = cannot_be_told_apart(measures)
        across = "bits" if any(level.kind in KINDS for level in levels) else "bytes"
        data |= {"ladder": measure_runs.marks_of(levels, alike), "ladder_run": run_names(runs)}
        data |= {"ladder_across": across}
        parts += [frontier(levels, told)]
    if sizes:
        data["sizes"] = sizes
        parts += [bigger_or_smaller(sizes)]
    parts += made_models(runs, data)
    parts.append(method(runs))
    title = f"{subject_of({run.verb for run in runs})}: {name_of(runs)}"
    body = fragment(head(title, runs), element("main", *numbered(parts)), FOOTER)
    return title, body, "report", data


def made_models(runs: Sequence[Run], data: PageData) -> list[Html]:
    """Return the sections of recipes that were found and of models that were trained.

    Their data are added to `data`.
    """
    parts = []
    if found := points_of(runs):
        data["search"] = recipes_as_page_data(runs)
        parts += [the_search(found)]
    if trained := trained_in(runs):
        data["training"] = curves_as_page_data(runs)
        parts += [the_training(trained)]
    return parts


NEEDS_NO_SCRIPTS = literal(
    "<noscript><p>The words and tables of this report need no scripts; its figures do.</p>"
    "</noscript>"
)


def subject_of(verbs: Collection[str]) -> str:
    """Return what a report of runs of these verbs is about."""
    if verbs == {"quantize"}:
        return "How it was made"
    if verbs == {"search"}:
        return "Recipes found"
    if verbs == {"train"}:
        return "How it was trained"
    return "Side by side" if verbs == {"across"} else "What was lost"


def head(title: str, runs: Sequence[Run]) -> Html:
    """Return the header of the page: its title, and when, where and how it was made."""
    about, _, name = title.partition(": ")
    now = origin_now()
    return fragment(
        element("a", "Skip to the verdict", class_="skip", href="#verdict"),
        element(
            "header",
            element("p", "zeropoint · report", class_="kicker"),
            element("h1", f"{about}: ", element("span", names_broken(name), class_="file")),
            element(
                "p",
                f"Written {now.date} by zeropoint {now.version} on {now.machine}",
                *([", with ", element("code", now.command)] if now.command else []),
                ".",
                class_="made",
            ),
            *(made for run in runs if (made := made_by(run))),
            NEEDS_NO_SCRIPTS,
            class_="top",
        ),
    )


FOOTER = literal(
    "<footer><p>Made by zeropoint. This report is one file. It sends no request to any server, and "
    "keeps your choices in its address.</p></footer>"
)


def name_of(runs: Sequence[Run]) -> str:
    """Return the subject of the report in a few words."""
    measured = [run.subject for run in runs if run.verb != "quantize"]
    return next(filter(None, measured), runs[0].subject or runs[0].path.name)


def run_names(runs: Sequence[Run]) -> str:
    """Return the names of the runs in the frontier figure."""
    names = [run.path.name for run in runs if run.verb in ("ladder", "measure", "search")]
    return f"the run{'s' if len(names) > 1 else ''} {', '.join(names)}"


def levels_of(runs: Sequence[Run]) -> list[LadderLevel]:
    """Return the marks of the frontier: a ladder's levels, and several measured quants."""
    levels = measure_runs.ladder_of(runs) + found_levels(runs)
    measures = [run for run in runs if run.verb == "measure"]
    if levels or len(measures) > 1:
        levels += [measure_runs.level_of(run) for run in measures]
    known = [level for level in levels if level.bits_per_weight > 0]  # older runs do not have it
    return sorted(known, key=lambda level: -level.bits_per_weight)


def cannot_be_told_apart(measures: Sequence[Run]) -> tuple[str, Mapping[str, Sequence[str]]]:
    """Return a sentence on the quants that a paired test cannot separate, and those of each quant.

    The sentence is empty for fewer than two runs. Runs without records of their chunks, and of
    different texts, are not ranked.
    """
    if len(measures) < 2 or not all(run.folder.chunks_done() for run in measures):
        return "", {}
    letters, why = groups(measures)
    if why:
        return why, {}
    names = [run.quant.name for run in measures]
    found = [" and ".join(group) for group in inseparable(names, letters)]
    test = "a paired test over the chunks of the text (95 %, corrected for the number of pairs)"
    if not found:
        return f"All can be told apart by {test}.", {}
    return f"Cannot be told apart by {test}: {'; '.join(found)}.", alike_of(names, letters)


def verdict(
    measures: Sequence[Run],
    quantize: Run | None,
    levels: Sequence[LadderLevel],
    steps: LongRunEvidence,
    said: Sequence[str],
) -> Html:
    """Return the verdict: one sentence, and a few figures that link to their section.

    `said` are sentences on what else the runs show; "" is nothing.
    """
    others: list[str] = []
    word = literal("")
    if measures:
        lead, chips = verdict_of_measure(measures[0])
        word = verdict_chip(measures[0].result_as(MeasureResult).verdict.word)
    elif levels:
        lead, chips = verdict_of_ladder(levels)
    elif quantize is None:
        sentences, chips = drift_sections.said_of_steps(steps) if steps else ([], [])
        lead, *others = [sentence for sentence in (*said, *sentences) if sentence] or [""]
    else:
        quantized = quantize.result_as(QuantizeResult)
        lead = (
            f"{size(quantized.output_bytes)}, {number(quantized.bits_per_weight, 3)} bits per "
            f"weight, from {size(quantized.source_bytes)}. The loss has not been measured; "
            "zeropoint measure does that."
        )
        chips = []
    parts = [paragraph(word, lead)]
    if others:
        parts.append(element("ul", *(element("li", sentence) for sentence in others)))
    shown = [element("div", *parts, class_="verdict")]
    if chips:
        shown.append(element("ul", *map(badge, chips), class_="chips wide"))
    return section("verdict", "Verdict", *shown)


def badge(parts: tuple[str, str, str]) -> Html:
    """Return a labelled figure as a link to its section."""
    figure, note, link = parts
    return element("li", element("a", element("b", figure), element("span", note), href=link))


Badges = list[tuple[str, str, str]]  # the figure, what it is, where it leads


def verdict_of_measure(run: Run) -> tuple[str, Badges]:
    """Return the verdict of a measurement, and its figures."""
    result, quant, reference = run.result_as(MeasureResult), run.quant, run.reference
    kl, floor = result.kl, result.floor
    sentence = (
        f"{result.verdict.meaning[:1].upper()}{result.verdict.meaning[1:]}. "
        f"KL {number(kl.mean, 3)} nats per token"
        f"{bracketed_interval(kl)}, and the same most likely token at {percent(result.top1, 1)} of "
        f"{result.tokens:,} positions."
    )
    if reference.quantized:
        sentence += (
            f" The reference, {reference.name}, is itself quantized: its own loss is not included."
        )
    if result.worse:
        sentence += f" The loss is significantly larger on {', '.join(result.worse)}."
    noise = "noise floor not measured" if floor is None else f"noise floor {number(floor, 2)}"
    ratio = number(result.perplexity.ratio.mean)
    return sentence, [
        (size(quant.file_bytes), f"of {size(reference.file_bytes)}", "#what"),
        (number(kl.mean, 3), f"nats per token; {noise}", "#loss"),
        (percent(result.top1, 1), "the same most likely token", "#text"),
        (ratio, "perplexity ∕ reference", "#loss"),
    ]


def verdict_of_ladder(levels: Sequence[LadderLevel]) -> tuple[str, Badges]:
    """Return the verdicts of the levels, the most bits first."""
    words: dict[str, list[str]] = {}
    for level in levels:
        words.setdefault(level.measured.verdict.word, []).append(level.format)
    sentence = ". ".join(f"{word}: {', '.join(names)}" for word, names in words.items()) + "."
    close = [lv for lv in levels if lv.measured.verdict.word in ("INDISTINGUISHABLE", SMALL_LOSS)]
    if not close:
        return sentence, []
    best = min(close, key=lambda level: level.bytes)
    return sentence, [
        (size(best.bytes), f"the smallest with a small loss, {best.format}", "#frontier"),
        (number(best.measured.kl.mean, 3), "its KL, nats per token", "#frontier"),
        (percent(best.measured.top1, 1), "the same most likely token", "#frontier"),
    ]


def bracketed_interval(figure: Interval) -> str:
    """Return an interval in brackets; "" if it is unknown."""
    return f" (95 %: {format_interval(figure)})" if figure.known else ""


METHOD = literal("""
<p>Both models read the same tokens. Of each chunk the second half is scored, and of a long
document its end, so that every token has at least half a context before it. KL(reference ‖ quant)
is taken over the whole vocabulary in float64, in nats; products are exact (float32 activations).
Intervals are 95&nbsp;%, by a bootstrap over chunks, because the tokens of a chunk belong together.
A loss on this text says nothing certain about another text, nor about long answers, in which
errors add up.
</p>
""")


def method(runs: Sequence[Run]) -> Html:
    """Return the section of the method, with its limits and the raw results."""
    known = {
        "measure": "what was lost on text (zeropoint measure --run)",
        "quantize": "what happened to each tensor (zeropoint quantize --run)",
        "ladder": "the ladder (zeropoint ladder --run)",
        "drift": "what happens over many steps (zeropoint drift --run)",
        "tasks": "the tasks you care about (zeropoint tasks --run)",
        "search": "which tensor gets which format (zeropoint search --run)",
        "train": "how a model was trained in low bits (zeropoint train --run)",
    }
    verbs = {run.verb for run in runs}
    missing = [text for verb, text in known.items() if verb not in verbs]
    parts = [METHOD] if verbs & {"measure", "ladder", "search"} else []
    if verbs & {"drift", "tasks", "across"}:
        parts.append(drift_sections.METHOD)
    if missing:
        parts.append(paragraph(f"Not in this report: {'; '.join(missing)}."))
    words = table(("Verdict", "Means"), VERDICT_MEANINGS.items())
    limits = table(("Threshold", ">Value"), asdict(THRESHOLDS).items())
    saved = figure(
        "rawdata",
        "f-raw",
        "The results as they were written",
        "Everything that this page shows, as JSON.",
    )
    return section("method", "Method, limits, raw results", *parts, words, limits, saved)


def raw(run: Run) -> PageData:
    """Return the contents of run.json without tables of tensors."""
    return {
        "name": run.path.name,
        "verb": run.verb,
        "inputs": run.folder.identity["inputs"],
        "settings": run.folder.identity["settings"],
        "results": {k: value for k, value in run.folder.results.items() if k != "tensors"},
    }
