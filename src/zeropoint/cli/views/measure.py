"""What `measure` prints for people: one table, the verdict, what comes next."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from zeropoint.cli.output import Output

if TYPE_CHECKING:
    from zeropoint.results.divergence import Divergence, MeasureResult
    from zeropoint.results.interval import Interval


def show(out: Output, found: "MeasureResult") -> None:
    """Print everything that was measured."""
    floor = found.floor
    out.say()
    out.table(
        ("", ">Tokens", ">KL mean", ">95 % interval", ">Floor", ">Median", ">99 %", ">99.9 %",
         ">Max", ">Top-1", ">PPL ratio"),
        [row("all", found, floor)],
    )  # fmt: skip
    tables: tuple[tuple[str, Mapping[str, Divergence]], ...] = (
        ("Domain", found.by_domain),
        ("Class of token", found.by_class),
        ("Position", found.by_position),
    )
    for title, groups in tables:
        if len(groups) > 1:
            out.say()
            out.table(
                (title, ">Tokens", ">KL mean", ">95 % interval", ">Floor", ">Median", ">99 %",
                 ">99.9 %", ">Max", ">Top-1", ">PPL ratio"),
                [row(name, figures, floor) for name, figures in groups.items()],
            )  # fmt: skip
    out.say()
    ppl = found.perplexity
    out.say(
        f"Perplexity   reference {ppl.reference:.4f}   quant {ppl.quant:.4f}   "
        f"ratio {ppl.ratio.mean:.4f}{interval(ppl.ratio, '.4f', ' (', ')')}"
    )
    flips, delta = found.flips, found.delta_p
    out.say(
        f"Flips        {flips.lost:.2%} lost, {flips.won:.2%} won   "
        f"Δp mean {delta.mean:+.3%}, RMS {delta.rms:.3%}"
    )
    if floor is not None:
        out.say(
            f"Noise floor  {floor:.6f}: the reference against itself, {found.floor_arithmetic} "
            f"({found.floor_chunks} chunks)"
        )
    else:
        out.say("Noise floor  not measured")
    out.say(sentence(found), style="bold")


def show_short(out: Output, found: "MeasureResult") -> None:
    """Print the table by domain and the verdict, and nothing else."""
    groups: dict[str, Divergence] = {"all": found, **found.by_domain}
    out.table(
        ("Text", ">Tokens", ">KL mean", ">95 % interval", ">Floor", ">Top-1", ">PPL ratio"),
        (
            (line[0], line[1], line[2], line[3], line[4], line[9], line[10])
            for line in (row(name, figures, found.floor) for name, figures in groups.items())
        ),
    )
    out.say()
    out.say(sentence(found), style="bold")


def row(name: str, found: "Divergence", floor: float | None) -> tuple[str, ...]:
    """Return one line of the table."""
    kl = found.kl
    return (
        name,
        str(found.tokens),
        number(kl.mean),
        interval(kl, ".5f") or "-",
        "-" if floor is None else number(floor),
        number(kl.median),
        number(kl.p99),
        number(kl.p999),
        number(kl.max),
        f"{found.top1:.2%}",
        f"{found.perplexity.ratio.mean:.4f}",
    )


def number(value: float) -> str:
    """Return a divergence; -0.00000 is 0.00000."""
    return f"{value:.5f}".replace("-0.00000", "0.00000")


def interval(figure: "Interval", digits: str, before: str = "", after: str = "") -> str:
    """Return `low … high`, or nothing where it is not known."""
    if figure.ends is None:
        return ""
    low, high = figure.ends
    return f"{before}{low:{digits}} … {high:{digits}}{after}"


def sentence(found: "MeasureResult") -> str:
    """Return the verdict in one sentence."""
    verdict, kl = found.verdict, found.kl
    worse = f" Shown to lose more than the whole: {', '.join(found.worse)}." * bool(found.worse)
    told = f"KL {number(kl.mean)} nats per token{interval(kl, '.5f', ' (', ')')}"
    return (
        f"Verdict      {verdict.word}: {verdict.meaning}; {told}, the same most likely token "
        f"at {found.top1:.2%} of {found.tokens} positions.{worse}"
    )
