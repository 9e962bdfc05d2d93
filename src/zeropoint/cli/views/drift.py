"""What `drift` prints for people: how long the texts are the same, and whether losses compound."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from zeropoint.cli.output import Output

if TYPE_CHECKING:
    from zeropoint.results.chains import ChainFamily, ChainPair, ChainsResult
    from zeropoint.results.drift import Change, DriftResult, FreeRun, Survival, TextsCompared
    from zeropoint.results.interval import Interval

_WAYS = {"greedy": "greedy", "sampled": "sampled, same noise"}


def show(out: Output, found: "DriftResult") -> None:
    """Print all figures of one quant."""
    out.say()
    out.say(f"Quant        {found.quant.name if found.quant else ''}", style="bold")
    if found.free_run:
        _survival(out, found.free_run)
        _compounding(out, found.free_run)
        _texts(out, found.free_run)
    if found.texts:
        _characters(out, found.texts)
    if found.chains:
        _chains(out, found.chains)


def _survival(out: Output, ways: "Mapping[str, FreeRun]") -> None:
    steps = [point.steps for point in next(iter(ways.values())).compounding]
    out.say()
    out.say("Texts that are still the same (95 % band), and as single-token flips predict")
    out.table(
        ("After tokens", *(f">{title}" for way in ways for title in (_WAYS[way], "predicted"))),
        (
            (step, *(cell for way in ways.values() for cell in _alike(way.survival, step)))
            for step in steps
        ),
    )
    for name, way in ways.items():
        split = way.split
        by = "after these tokens" if split.median is None else f"by token {split.median}"
        ends = f" ({split.low or '…'} … {split.high or 'later'})" if split.low else ""
        out.say(
            f"First split  {_WAYS[name]}: half of {way.prompts} texts {by}{ends}, "
            f"{share(way.split.never)} never; "
            f"single tokens flip at {share(way.flips_per_token, 2)}"
        )


def _alike(curve: "Survival", step: int) -> tuple[str, str]:
    at = step - 1
    told = f"{curve.share[at]:.0%} ({curve.low[at]:.0%} … {curve.high[at]:.0%})"
    return told, f"{curve.predicted[at]:.0%}"


def _compounding(out: Output, ways: "Mapping[str, FreeRun]") -> None:
    out.say()
    out.say("KL(reference ‖ quant) added up along the quant's own text, nats; single-token KL")
    out.say("predicts what adds up along the reference's; factor above 1: losses compound")
    out.table(
        ("After tokens", *(f">{title}" for way in ways
                           for title in (f"{_WAYS[way]}: own", "predicted", "factor"))),
        (
            (points[0].steps,
             *(cell for point in points for cell in
               (number(point.own), number(point.predicted), spread(point.factor))))
            for points in zip(*(way.compounding for way in ways.values()), strict=True)
        ),
    )  # fmt: skip
    factors = [point.factor for way in ways.values() for point in way.compounding]
    if any(not factor.empty and not factor.known for factor in factors):
        out.say("             a factor without interval: too few texts have parted by then")


def _texts(out: Output, ways: "Mapping[str, FreeRun]") -> None:
    out.say()
    rows = []
    for name, way in ways.items():
        recovery = way.recovery
        rows.append(
            (
                _WAYS[name],
                f"{recovery.parted} of {way.prompts}",
                share(recovery.met_again),
                share(recovery.same_answer),
                change(way.length, ".1f"),
                change(way.stopped, ".0%"),
                change(way.repetition, ".1%"),
                f"{way.loops.reference:.0%} → {way.loops.quant:.0%}",
            )
        )
    out.table(
        ("Texts", ">Parted", ">Met again", ">Same answer", ">Tokens", ">Ended", ">Repeated",
         ">Loops"),
        rows,
    )  # fmt: skip
    out.say("             reference → quant; * where the paired 95 % interval excludes no change")


def _chains(out: Output, found: "ChainsResult") -> None:
    steps = len(next(iter(found.families.values())).steps)
    shown = sorted({*(1 << k for k in range(5) if 1 << k < steps), steps})
    rows: list[tuple[object, ...]] = [
        (family.title, family.level, *_chain_row(family, shown))
        for family in found.families.values()
    ]
    if found.together:
        rows.append(("all together", "", *_chain_row(found.together, shown)))
    out.say()
    out.say("Chains: share right after so many steps, reference → quant (each on its own answers)")
    out.table(
        ("Task", ">Level", ">Chains", *(f">{step}" for step in shown), ">Slip per step",
         ">After a slip", ">Told apart from step"),
        rows,
    )  # fmt: skip


def _chain_row(pair: "ChainPair | ChainFamily", shown: list[int]) -> tuple[object, ...]:
    one, other = pair.reference, pair.quant
    return (
        pair.chains,
        *(f"{one.accuracy[s - 1].mean:.0%} → {other.accuracy[s - 1].mean:.0%}" for s in shown),
        f"{share(one.slip, 1)} → {share(other.slip, 1)}",
        f"{number(one.after_slip, '.0%')} → {number(other.after_slip, '.0%')}",
        _told_apart(pair),
    )


def _told_apart(pair: "ChainPair") -> str:
    if pair.reference.at_floor:
        return "the reference is at floor"
    if pair.distinguishable is None:
        return "not in these"
    p = pair.steps[pair.distinguishable - 1].p
    return f"{pair.distinguishable} (p {p:.2g})"


def _characters(out: Output, found: "TextsCompared") -> None:
    out.say()
    out.say("Texts by character (the tokenizers differ: there is no KL between these models)")
    out.table(
        ("After characters", ">The same"),
        ((point.characters, spread(point.alike, ".0%")) for point in found.survival_characters),
    )
    out.say(
        f"Same answer  {share(found.same_answer)} of {found.prompts} texts; bytes "
        f"{change(found.bytes, '.0f')}"
    )


def number(figure: "Interval", digits: str = ".4f") -> str:
    """Return a mean."""
    return "-" if figure.empty else f"{figure.mean:{digits}}"


def spread(figure: "Interval", digits: str = ".2f") -> str:
    """Return a mean with its interval."""
    if figure.empty or figure.ends is None:
        return number(figure, digits)
    return f"{figure.mean:{digits}} ({figure.ends[0]:{digits}} … {figure.ends[1]:{digits}})"


def share(figure: "Interval | None", digits: int = 0) -> str:
    """Return a share with its interval, in percent."""
    return "-" if figure is None else spread(figure, f".{digits}%")


def change(figure: "Change", digits: str) -> str:
    """Return both sides, and a star where they are shown to differ."""
    ends = figure.difference.ends
    shown = ends is not None and (ends[0] > 0 or ends[1] < 0)
    return f"{figure.reference:{digits}} → {figure.quant:{digits}}{'*' * shown}"
