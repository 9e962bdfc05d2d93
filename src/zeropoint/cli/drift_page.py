"""What `drift` prints for people: how long the texts are the same, and whether losses compound."""

from collections.abc import Mapping
from typing import Any

from zeropoint.cli.output import Output

Figures = Mapping[str, Any]

_WAYS = {"greedy": "greedy", "sampled": "sampled, same noise"}


def show(out: Output, name: str, found: Figures) -> None:
    """Print all figures of one quant."""
    out.say()
    out.say(f"Quant        {name}", style="bold")
    ways: Mapping[str, Figures] = found.get("free_run") or {}
    if ways:
        _survival(out, ways)
        _compounding(out, ways)
        _texts(out, ways)
    if found.get("texts"):
        _characters(out, found["texts"])
    if found.get("chains"):
        _chains(out, found["chains"])


def _survival(out: Output, ways: Mapping[str, Figures]) -> None:
    steps = [point["steps"] for point in next(iter(ways.values()))["compounding"]]
    out.say()
    out.say("Texts that are still the same (95 % band), and as single-token flips predict")
    out.table(
        ("After tokens", *(f">{title}" for way in ways for title in (_WAYS[way], "predicted"))),
        (
            (step, *(cell for way in ways.values() for cell in _alike(way["survival"], step)))
            for step in steps
        ),
    )
    for name, way in ways.items():
        split = way["split"]
        by = "after these tokens" if split["median"] is None else f"by token {split['median']}"
        ends = f" ({split['low'] or '…'} … {split['high'] or 'later'})" if split["low"] else ""
        out.say(
            f"First split  {_WAYS[name]}: half of {way['prompts']} texts {by}{ends}, "
            f"{share(way['split']['never'])} never; "
            f"single tokens flip at {share(way['flips_per_token'], 2)}"
        )


def _alike(curve: Figures, step: int) -> tuple[str, str]:
    at = step - 1
    told = f"{curve['share'][at]:.0%} ({curve['low'][at]:.0%} … {curve['high'][at]:.0%})"
    return told, f"{curve['predicted'][at]:.0%}"


def _compounding(out: Output, ways: Mapping[str, Figures]) -> None:
    out.say()
    out.say("KL(reference ‖ quant) added up along the quant's own text, nats; single-token KL")
    out.say("predicts what adds up along the reference's; factor above 1: losses compound")
    out.table(
        ("After tokens", *(f">{title}" for way in ways
                           for title in (f"{_WAYS[way]}: own", "predicted", "factor"))),
        (
            (points[0]["steps"],
             *(cell for point in points for cell in
               (number(point["own"]), number(point["predicted"]), spread(point["factor"]))))
            for points in zip(*(way["compounding"] for way in ways.values()), strict=True)
        ),
    )  # fmt: skip
    factors = [point["factor"] for way in ways.values() for point in way["compounding"]]
    if any(factor["mean"] is not None and factor["low"] is None for factor in factors):
        out.say("             a factor without interval: too few texts have parted by then")


def _texts(out: Output, ways: Mapping[str, Figures]) -> None:
    out.say()
    rows = []
    for name, way in ways.items():
        recovery = way["recovery"]
        rows.append(
            (
                _WAYS[name],
                f"{recovery['parted']} of {way['prompts']}",
                share(recovery["met_again"]),
                share(recovery.get("same_answer")),
                change(way["length"], ".1f"),
                change(way["stopped"], ".0%"),
                change(way["repetition"], ".1%"),
                f"{way['loops']['reference']:.0%} → {way['loops']['quant']:.0%}",
            )
        )
    out.table(
        ("Texts", ">Parted", ">Met again", ">Same answer", ">Tokens", ">Ended", ">Repeated",
         ">Loops"),
        rows,
    )  # fmt: skip
    out.say("             reference → quant; * where the paired 95 % interval excludes no change")


def _chains(out: Output, found: Figures) -> None:
    families: Mapping[str, Figures] = found["families"]
    steps = len(next(iter(families.values()))["steps"])
    shown = sorted({*(1 << k for k in range(5) if 1 << k < steps), steps})
    rows = {figures["title"]: figures for figures in families.values()}
    if found["together"]:
        rows["all together"] = found["together"]
    out.say()
    out.say("Chains: share right after so many steps, reference → quant (each on its own answers)")
    out.table(
        ("Task", ">Level", ">Chains", *(f">{step}" for step in shown), ">Slip per step",
         ">After a slip", ">Told apart from step"),
        (
            (title, figures.get("level", ""), figures["chains"],
             *(_both(figures, step) for step in shown),
             f"{share(figures['reference']['slip'], 1)} → {share(figures['quant']['slip'], 1)}",
             f"{number(figures['reference']['after_slip'], '.0%')} → "
             f"{number(figures['quant']['after_slip'], '.0%')}",
             _told_apart(figures))
            for title, figures in rows.items()
        ),
    )  # fmt: skip


def _both(figures: Figures, step: int) -> str:
    one, other = (figures[side]["accuracy"][step - 1] for side in ("reference", "quant"))
    return f"{one['mean']:.0%} → {other['mean']:.0%}"


def _told_apart(figures: Figures) -> str:
    if figures["reference"]["at_floor"]:
        return "the reference is at floor"
    if figures["distinguishable"] is None:
        return "not in these"
    p = figures["steps"][figures["distinguishable"] - 1]["p"]
    return f"{figures['distinguishable']} (p {p:.2g})"


def _characters(out: Output, found: Figures) -> None:
    out.say()
    out.say("Texts by character (the tokenizers differ: there is no KL between these models)")
    out.table(
        ("After characters", ">The same"),
        ((point["characters"], spread(point, ".0%")) for point in found["survival_characters"]),
    )
    out.say(
        f"Same answer  {share(found['same_answer'])} of {found['prompts']} texts; bytes "
        f"{change(found['bytes'], '.0f')}"
    )


def number(figure: Figures, digits: str = ".4f") -> str:
    """Return a mean."""
    return "-" if figure["mean"] is None else f"{figure['mean']:{digits}}"


def spread(figure: Figures, digits: str = ".2f") -> str:
    """Return a mean with its interval."""
    if figure["mean"] is None:
        return "-"
    if figure["low"] is None:
        return f"{figure['mean']:{digits}}"
    return f"{figure['mean']:{digits}} ({figure['low']:{digits}} … {figure['high']:{digits}})"


def share(figure: Figures | None, digits: int = 0) -> str:
    """Return a share with its interval, in percent."""
    return "-" if figure is None else spread(figure, f".{digits}%")


def change(figure: Figures, digits: str) -> str:
    """Return both sides, and a star where they are shown to differ."""
    low, high = figure["difference"]["low"], figure["difference"]["high"]
    shown = low is not None and (low > 0 or high < 0)
    return f"{figure['reference']:{digits}} → {figure['quant']:{digits}}{'*' * shown}"
