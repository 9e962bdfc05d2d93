"""Prints the result of `measure` as text: the verdict, tables, and the gates."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from zeropoint.cli.output import Output
from zeropoint.formatting import format_bytes

if TYPE_CHECKING:
    from zeropoint.results.divergence import Divergence, GateResult, MeasureResult
    from zeropoint.results.interval import Interval
    from zeropoint.verbs.measure import CacheOpened, PairOpened
    from zeropoint.verbs.reference import ReferenceOpened, TextPrepared

COLUMNS = (
    ">?Tokens", ">KL mean", ">95 % interval", ">?Floor", ">?Median", ">?99 %", ">?99.9 %",
    ">?Max", ">Top-1", ">PPL ratio",
)  # fmt: skip
# Colours carry the meaning on a terminal; the word carries it everywhere.
VERDICT_STYLES = {
    "INDISTINGUISHABLE": "bold green", "SMALL, MEASURABLE": "bold green",
    "NOTICEABLE": "bold yellow", "UNDECIDED": "bold yellow", "BROKEN": "bold red",
}  # fmt: skip
UNKNOWN_CONSEQUENCE = (
    "How many answers change is unknown, because no tasks were run"
    " (`zeropoint tasks REFERENCE QUANT --tasks FILE` counts them)."
)
SHORT_COLUMNS = (">?Tokens", ">KL mean", ">95 % interval", ">?Floor", ">Top-1", ">PPL ratio")


def show_text(out: Output, prepared: "TextPrepared") -> None:
    """Print which text is measured on."""
    text = prepared.text
    source = "built in: " if text.built_in else ""
    plain = text.chunks - prepared.documents
    sizes = [f"{plain} chunks of {text.context} tokens, the second half scored"] if plain else []
    if prepared.documents:
        plural = "s" if prepared.documents > 1 else ""
        sizes.append(
            f"{prepared.documents} long document{plural} of up to {prepared.document_tokens}"
            " tokens, scored at the end"
        )
    out.say(
        f"Text         {source}{', '.join(prepared.domains)}   {'; '.join(sizes)}"
        f"   corpus {text.corpus[:12]}"
    )


def show_pair(out: Output, pair: "PairOpened") -> None:
    """Print the two models and the text of the measurement."""
    reference, quant = pair.reference, pair.quant
    proxy = " (proxy reference)" if reference.quantized else ""
    out.say(f"Reference    {reference.name}   {reference.kind}{proxy}")
    out.say(f"Quant        {quant.name}   {quant.kind}   {format_bytes(quant.file_bytes)}")
    if pair.kv_cache != "f32":
        out.say(f"KV cache     f32 in the reference, {pair.kv_cache} in the quant")
    out.say("             KL(reference ‖ quant), nats per token, teacher-forced")


def show_reference(out: Output, opened: "ReferenceOpened") -> None:
    """Print which reference several models are measured against."""
    out.say(f"Reference    {opened.reference.name}   {opened.reference.kind}")


def show_cache(out: Output, cache: "CacheOpened") -> None:
    """Print how large the cache of the reference's hidden states is."""
    out.note(
        f"the hidden states of the reference take {format_bytes(cache.nbytes)} in {cache.folder}"
    )


def show(out: Output, result: "MeasureResult") -> None:
    """Print the verdict, and all figures of a measurement."""
    floor = result.floor
    out.say()
    show_verdict(out, result)
    out.say()
    out.table(("", *COLUMNS), [row("all", result, floor)])
    tables: tuple[tuple[str, Mapping[str, Divergence]], ...] = (
        ("Domain", result.by_domain),
        ("Class of token", result.by_class),
        ("Position", result.by_position),
    )
    for title, groups in tables:
        if len(groups) > 1:
            out.say()
            out.table(
                (title, *COLUMNS), [row(name, group, floor) for name, group in groups.items()]
            )
    out.say()
    show_figures(out, result)
    if result.startup_seconds is not None:
        out.say(
            f"Speed        {result.tokens_per_second:.1f} scored tokens per second, both passes;"
            f" {result.startup_seconds:.1f} s to load"
        )


def show_figures(out: Output, result: "MeasureResult") -> None:
    """Print perplexity, flips and the noise floor."""
    ppl = result.perplexity
    out.say(
        f"Perplexity   reference {ppl.reference:.4f}   quant {ppl.quant:.4f}   "
        f"ratio {ppl.ratio.mean:.4f}{format_interval(ppl.ratio, '.4f', ' (', ')')}"
    )
    flips, change = result.flips, result.delta_p
    out.say(
        f"Flips        {flips.lost:.2%} lost, {flips.won:.2%} won   "
        f"Δp mean {change.mean:+.3%}, RMS {change.rms:.3%}"
    )
    if result.floor is None:
        out.say("Noise floor  not measured")
    else:
        out.say(
            f"Noise floor  {result.floor:.6f}: the reference against itself,"
            f" {result.floor_arithmetic} ({result.floor_chunks} chunks)"
        )


def show_short(out: Output, result: "MeasureResult") -> None:
    """Print the verdict, and only the figures of each domain."""
    show_verdict(out, result)
    out.say()
    groups: dict[str, Divergence] = {"all": result, **result.by_domain}
    columns = [COLUMNS.index(name) + 1 for name in SHORT_COLUMNS]
    rows = (row(name, group, result.floor) for name, group in groups.items())
    out.table(("Text", *SHORT_COLUMNS), ((line[0], *(line[at] for at in columns)) for line in rows))


def show_gates(out: Output, gates: "Sequence[GateResult]") -> None:
    """Print whether each gate passed."""
    for gate in gates:
        outcome = "passed" if gate.passed else "not shown to pass"
        out.say(
            f"Gate         {gate.gate}: {outcome} (the deciding end of the interval is"
            f" {gate.bound:.6g})"
        )


def row(name: str, group: "Divergence", floor: float | None) -> tuple[str, ...]:
    """Return one row of the table: the name, then COLUMNS."""
    kl = group.kl
    return (
        name,
        str(group.tokens),
        format_nats(kl.mean),
        format_interval(kl, ".5f") or "-",
        "-" if floor is None else format_nats(floor),
        format_nats(kl.median),
        format_nats(kl.p99),
        format_nats(kl.p999),
        format_nats(kl.max),
        f"{group.top1:.2%}",
        f"{group.perplexity.ratio.mean:.4f}",
    )


def format_nats(value: float) -> str:
    """Return a divergence in nats with 5 decimals; −0.00000 is written 0.00000."""
    return f"{value:.5f}".replace("-0.00000", "0.00000")


def format_interval(figure: "Interval", digits: str, before: str = "", after: str = "") -> str:
    """Return `low … high`, or an empty text if the interval is unknown."""
    if figure.ends is None:
        return ""
    low, high = figure.ends
    return f"{before}{low:{digits}} … {high:{digits}}{after}"


def show_verdict(out: Output, result: "MeasureResult") -> None:
    """Print the verdict, the rule that decided it, and its practical consequence."""
    out.say(verdict_sentence(result), style=VERDICT_STYLES.get(result.verdict.word, "bold"))
    if result.verdict.reason:
        out.say(f"             Reason: {result.verdict.reason}.")
    out.say(f"             {UNKNOWN_CONSEQUENCE}")


def verdict_sentence(result: "MeasureResult") -> str:
    """Return the verdict in one sentence."""
    verdict, kl = result.verdict, result.kl
    worse = ""
    if result.worse:
        worse = f" Significantly worse than the whole: {', '.join(result.worse)}."
    return (
        f"Verdict      {verdict.word}: {verdict.meaning}; KL {format_nats(kl.mean)} nats per token"
        f"{format_interval(kl, '.5f', ' (', ')')}, the same most likely token at {result.top1:.2%}"
        f" of {result.tokens} positions.{worse}"
    )
