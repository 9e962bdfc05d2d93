"""Section 8 of a report, about long runs: text, figures and tables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from zeropoint.results.chains import ChainFamily, ChainPair, ChainSide
from zeropoint.results.drift import Compounding
from zeropoint.results.interval import Interval
from zeropoint.studio.data.steps_shown import (
    ChainsShown,
    DecodingModeShown,
    DriftShown,
    LongRunEvidence,
    ScoresShown,
    TasksShown,
)
from zeropoint.studio.report.html import (
    Html,
    element,
    figure,
    folded,
    fragment,
    literal,
    number,
    percent,
    section,
    table,
    wide,
)

MAX_TABLE_ROWS = 40  # rows of the tables of texts and of flips
MAX_TABLE_CHARACTERS = 300  # characters of a text in a table

MIN_PROMPTS_FOR_MEDIAN = 4  # prompts, for a sentence about half of their texts
_WAYS = {"greedy": "the best", "sampled": "sampled"}

FIGURES = {
    "drifts": (
        (
            "survival",
            "f-survival",
            "Texts that are still identical",
            "Both models continue the same prompts with the same randomness. Arrow keys move "
            "along.",
        ),
        (
            "compounding",
            "f-compounding",
            "Do losses add up, or compound?",
            "What the texts differ by along the quant's own path, over what single tokens predict.",
        ),
        (
            "sidebyside",
            "f-texts",
            "Side by side",
            "Pick a prompt. What the other did not write is marked, from where they part.",
        ),
    ),
    "chains": (
        (
            "chainsteps",
            "f-chains",
            "Tasks of several steps, each on the model's own answers",
            "Sums, look-ups, edits, tool calls, checked after every step. Arrow keys move along.",
        ),
    ),
    "tasks": (
        (
            "exam",
            "f-tasks",
            "Your own tasks, before and after",
            "Pick a task to read what was answered.",
        ),
    ),
}


def figures_of(steps: LongRunEvidence) -> dict[str, Html]:
    """Return the placeholders of the figures that have data, by figure name."""
    return {
        key: fragment(*(figure(*words) for words in FIGURES[key] if drawn(words[0], steps)))
        for key in FIGURES
        if getattr(steps, key)
    }


def drawn(visual: str, steps: LongRunEvidence) -> bool:
    """Return whether a figure has its data; models with different tokenizers have no KL."""
    if visual == "compounding":
        return any(way.result for one in steps.drifts for way in one.modes.values())
    return visual != "sidebyside" or any(one.texts for one in steps.drifts)


def over_many_steps(steps: LongRunEvidence) -> Html:
    """Return the section of the texts, chains and tasks of the runs."""
    places = figures_of(steps)
    parts: list[Html] = []
    if steps.drifts:
        parts += [element("h3", "Texts of the same prompts"), INTRODUCTION, places["drifts"]]
        for one in steps.drifts:
            caption = f"{one.title} beside {one.reference}: texts and losses as they grow"
            parts += [wide(table(SURVIVAL_COLUMNS, survival_rows(one), caption))]
        parts += list(text_tables(steps.drifts))
    if steps.chains:
        parts += [element("h3", "Chains"), places["chains"], *chain_tables(steps.chains)]
    if steps.tasks:
        parts += [element("h3", "Tasks"), places["tasks"], *task_tables(steps.tasks)]
    if steps.scores:
        parts += [element("h3", "Tasks of lm-evaluation-harness"), *map(score_table, steps.scores)]
    title = "Over many steps" if steps.drifts or steps.chains else "On tasks"
    return section("steps", title, *parts)


INTRODUCTION = literal("""
<p>Perplexity and KL look at one prediction at a time, after a text that the model
did not write. Here both models write, and what each says next follows from what it said before.</p>
""")

SURVIVAL_COLUMNS = (
    "Each token",
    ">After",
    ">The same",
    ">Predicted",
    ">KL on its own text",
    ">KL predicted",
    ">Factor",
    ">95 %",
)


def survival_rows(one: DriftShown) -> Iterator[tuple[object, ...]]:
    """Return the table rows of a quant after 1, 2, 4 … tokens."""
    for name, way in one.modes.items():
        curve = way.curve
        for at, (steps, point) in points_of(way).items():
            alike = Interval(curve.share[at], curve.low[at], curve.high[at])
            yield (
                _WAYS.get(name, name),
                f"{steps} {one.unit}{'s' if steps > 1 else ''}",
                format_rate(alike),
                percent(curve.predicted[at], 0) if curve.predicted else None,
                *(mean(figure) for figure in (point.own, point.predicted, point.factor)),
                format_interval(point.factor),
            )


def points_of(way: DecodingModeShown) -> dict[int, tuple[int, Compounding]]:
    """Return the rows of a decoding mode: the index in its curve, the steps, and the sums."""
    points = way.compounding or [Compounding(steps) for steps in way.curve.at]
    return {way.curve.at.index(point.steps): (point.steps, point) for point in points}


def text_tables(drifts: Sequence[DriftShown]) -> Iterator[Html]:
    """Return the tables of the texts, from shortly before they diverge."""
    for one in drifts:
        rows = [
            (
                words["prompt"],
                _WAYS.get(words["way"], words["way"]),
                split_of(words),
                *ends_of(words),
                "yes" if words["same_answer"] else "no",
            )
            for words in one.texts
            if words["split"] is not None
        ]
        if rows:
            columns = (
                "Prompt",
                "Tokens",
                ">Part at",
                "Both wrote",
                "The reference went on",
                "The quant went on",
                "Same answer",
            )
            more = f", {MAX_TABLE_ROWS} of {len(rows)}" if len(rows) > MAX_TABLE_ROWS else ""
            caption = f"Texts of {one.title} that part from the reference's{more}"
            yield folded(caption, table(columns, rows[:MAX_TABLE_ROWS], caption))


def split_of(words: Mapping[str, Any]) -> int:
    """Return the position at which two texts diverge, counted from 1."""
    return int(words["split"]) + 1


def ends_of(words: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the end of the common text, and both continuations."""
    sides = words.get("pieces") or words["texts"]
    split = words["split"]
    same = "".join(sides[0][:split])
    before = same if len(same) <= MAX_TABLE_CHARACTERS else "…" + same[-MAX_TABLE_CHARACTERS:]
    own = ["".join(side[split:]) for side in sides]
    cut = [
        part if len(part) <= MAX_TABLE_CHARACTERS else part[:MAX_TABLE_CHARACTERS] + "…"
        for part in own
    ]
    return before, cut[0] or "(it ended)", cut[1] or "(it ended)"


def chain_tables(chains: Sequence[ChainsShown]) -> Iterator[Html]:
    """Return the tables of each quant's chains: all families by step, and one row per family."""
    for one in chains:
        if one.result.together:
            caption = f"{one.title} beside {one.reference}: chains of all kinds"
            yield wide(table(CHAIN_STEP_COLUMNS, step_rows(one.result.together), caption))
        kinds = [kind_row(result) for result in one.result.families.values()]
        yield wide(table(CHAIN_KIND_COLUMNS, kinds, f"{one.title}: each kind, reference → quant"))


CHAIN_STEP_COLUMNS = (">Steps", ">Reference right", ">Quant right", ">Lost", ">Won", ">p")
CHAIN_KIND_COLUMNS = (
    "Kind",
    ">Level",
    ">Chains",
    ">Right after 1 step",
    ">After the last",
    ">Slip per step",
    ">Wrong after a slip",
    "Told apart",
)


def step_rows(result: ChainPair) -> Iterator[tuple[object, ...]]:
    """Return one table row per step."""
    for at, step in enumerate(result.steps):
        sides = [format_rate(side.accuracy[at]) for side in (result.reference, result.quant)]
        yield at + 1, *sides, step.lost, step.won, number(step.p, 2)


def kind_row(result: ChainFamily) -> tuple[object, ...]:
    """Return one family of chains as a table row."""
    first, last = (
        both(result, lambda side, at=at: side.accuracy[at].mean)  # type: ignore[misc]
        for at in (0, -1)
    )
    return (
        result.title,
        result.level,
        result.chains,
        first,
        last,
        both(result, lambda side: side.slip.mean),
        both(result, lambda side: side.after_slip.mean),
        told_apart(result),
    )


def both(result: ChainPair, of: Callable[[ChainSide], float]) -> str:
    """Return the rates of both models as text."""
    sides = [of(side) if side.accuracy else None for side in (result.reference, result.quant)]
    return f"{percent(sides[0], 0)} → {percent(sides[1], 0)}"


def told_apart(result: ChainPair) -> str:
    """Return the step from which the two models differ significantly, as text."""
    if result.reference.at_floor:
        return "the reference is at floor"
    step = result.distinguishable
    if step is None:
        return "not at these steps"
    return f"from step {step} (p {number(result.steps[step - 1].p, 2)})"


def task_tables(runs: Sequence[TasksShown]) -> Iterator[Html]:
    """Return the tables of accuracy and of flips relative to the first model."""
    for run in runs:
        rows = []
        for place, one in enumerate(run.models):
            relative = one.beside_first
            flips: tuple[object, ...] = ("", "", "", "")
            if place:
                flips = (
                    len(relative.lost),
                    len(relative.won),
                    format_rate(relative.difference),
                    number(relative.p, 2),
                )
            rows.append(
                (
                    one.name,
                    f"{one.right} of {one.tasks}",
                    format_rate(one.accuracy),
                    *flips,
                    number(one.tokens.mean, 3),
                    percent(one.cut, 0),
                )
            )
        columns = (
            "Model",
            ">Right",
            ">95 %",
            ">Lost",
            ">Won",
            ">Difference",
            ">p",
            ">Tokens per answer",
            ">Cut",
        )
        yield wide(table(columns, rows, f"Tasks of the run {run.run}; p: exact McNemar test"))
        flipped = list(_flips(run))
        if flipped:
            caption = f"The {len(flipped)} answers that flipped"
            cells = table(
                ("Task", "Model", "Flip", "The first wrote", "It wrote"), flipped[:MAX_TABLE_ROWS]
            )
            yield folded(caption, cells)


def _flips(run: TasksShown) -> Iterator[tuple[str, ...]]:
    words = {"lost": "right → wrong", "won": "wrong → right"}
    for task in run.tasks:
        for place, outcome in enumerate(task.outcomes):
            if outcome in words:
                texts = [task.answers[k].text[:MAX_TABLE_CHARACTERS] for k in (0, place)]
                yield task.asked.id, run.models[place].name, words[outcome], *texts


def score_table(result: ScoresShown) -> Html:
    """Return the scores of lm-evaluation-harness, a column for each model."""
    rows = []
    for task, values in result.models[0].results.items():
        for key, value in values.items():
            figure_name = key.partition(",")[0]
            if isinstance(value, float | int) and not figure_name.endswith("_stderr"):
                scores = [one.results[task][key] for one in result.models]
                rows.append((task, figure_name, *scores))
    columns = ("Task", "Figure", *(f">{one.name}" for one in result.models))
    return wide(table(columns, rows, f"The run {result.run}"))


def mean(result: Interval) -> str | None:
    """Return a mean as text of a table cell."""
    return None if result.empty else number(result.mean, 3)


def format_interval(result: Interval) -> str | None:
    """Return an interval as text of a table cell."""
    if result.empty or result.ends is None:
        return None
    return f"{number(result.ends[0], 3)} … {number(result.ends[1], 3)}"


def format_rate(result: Interval) -> str:
    """Return a percentage with its interval as text of a table cell."""
    if result.empty or result.ends is None:
        return percent(result.mean, 0)
    low, high = (percent(end, 0) for end in result.ends)
    return f"{percent(result.mean, 0)} ({low} … {high})"


def said_of_steps(steps: LongRunEvidence) -> tuple[list[str], list[tuple[str, str, str]]]:
    """Return the verdict of runs without a measurement: sentences and linked figures."""
    sentences: list[str] = []
    chips: list[tuple[str, str, str]] = []
    for one in steps.drifts:
        name, way = next(iter(one.modes.items()))
        if one.prompts < MIN_PROMPTS_FOR_MEDIAN:
            continue
        split = way.split.median
        when = f"by {one.unit} {split}" if split else f"later than {one.limit} {one.unit}s"
        sentences.append(f"{one.title}: half of the {name} texts have diverged {when}.")
        if len(steps.drifts) == 1:
            chips.append(
                (when.removeprefix("by "), "half of the texts have diverged", "#f-survival")
            )
            if way.compounding:
                factor = way.compounding[-1].factor
                label = f"compounding factor after {one.limit} tokens"
                chips.append((mean(factor) or "–", label, "#f-compounding"))
    for chain in steps.chains:
        if chain.result.together:
            step = chain.result.together.distinguishable
            verdict = "not told apart" if step is None else f"told apart from step {step} on"
            sentences.append(f"{chain.title}: chains are {verdict}.")
    for run in steps.tasks:
        first = run.models[0]
        for other in run.models[1:]:
            flips = other.beside_first
            sentences.append(
                f"{other.name}: {other.right} of {other.tasks} tasks right, "
                f"{len(flips.lost)} lost and {len(flips.won)} won beside "
                f"{first.name} (p {number(flips.p, 2)})."
            )
        if len(run.models) == 1:
            sentences.append(f"{first.name}: {first.right} of {first.tasks} tasks right.")
    return sentences or ["What was found is below."], chips


METHOD = literal("""
<p>Texts: both models continue the same prompts, greedily and by sampling with the same (Gumbel)
noise, in exact arithmetic; a model beside itself never differs. The band is Wilson's, at each
token; predicted is (1 − f)<sup>t</sup>, f the share of all tokens of the reference's text at which
the quant, from the same beginning, chooses another. The factor is Σ KL(reference ‖ quant) along the
quant's own text over the same along the reference's; its interval draws the prompts again. Chains
are checked after every step; told apart means McNemar's exact test, all steps together at 5 %
(Holm). Tasks: flips are told both ways, with McNemar's exact test.</p>
""")
