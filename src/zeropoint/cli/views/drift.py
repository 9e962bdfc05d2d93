"""Prints the results of `drift`: how long texts are identical, and whether errors compound."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from zeropoint.cli.output import Output
from zeropoint.cli.views.measure import UNKNOWN_CONSEQUENCE
from zeropoint.formatting import format_bytes

if TYPE_CHECKING:
    from zeropoint.results.chains import ChainFamily, ChainPair, ChainsResult
    from zeropoint.results.drift import Change, DriftResult, FreeRun, Survival, TextsCompared
    from zeropoint.results.interval import Interval
    from zeropoint.results.model_identity import ModelIdentity
    from zeropoint.verbs.options.drift import DriftOptions

_MODES = {"greedy": "greedy", "sampled": "sampled, same noise"}


def show_record(out: Output, record: object, options: "DriftOptions") -> None:
    """Print a record of `drift`: the method, the next model, or a result."""
    from zeropoint.results.drift import DriftResult
    from zeropoint.verbs.drift import DriftStarted
    from zeropoint.verbs.records import ModelStarted

    match record:
        case DriftStarted():
            _method(out, record.reference, record.prompts, options)
        case ModelStarted():
            out.note(f"{record.model.name}: {format_bytes(record.model.file_bytes)}")
        case DriftResult():
            show(out, record)


def _method(out: Output, reference: "ModelIdentity", prompts: int, options: "DriftOptions") -> None:
    proxy = " (proxy reference)" if reference.quantized else ""
    decoding = "greedy, sampled" if options.decoding == "both" else options.decoding
    out.say(f"Reference    {reference.name}   {reference.kind}{proxy}")
    out.say(
        f"Prompts      {prompts}, each continued by up to {options.tokens} tokens: {decoding}; "
        f"temperature {options.temperature:g}, seed {options.seed}; {options.mode} arithmetic"
    )


def show(out: Output, result: "DriftResult") -> None:
    """Print all figures of one quantized model."""
    out.say()
    out.say(f"Quant        {result.quant.name if result.quant else ''}", style="bold")
    out.say(f"Verdict      {verdict_sentence(result)}", style="bold")
    out.say(f"             {UNKNOWN_CONSEQUENCE}")
    if result.free_run:
        _survival(out, result.free_run)
        _compounding(out, result.free_run)
        _texts(out, result.free_run)
    if result.texts:
        _characters(out, result.texts)
    if result.chains:
        _chains(out, result.chains)


def verdict_sentence(result: "DriftResult") -> str:
    """Return when the texts diverge, whether they reach the same answer, and what chains show."""
    sentences = []
    for mode, run in result.free_run.items():
        same = run.recovery.same_answer
        answers = (
            ""
            if same is None or not run.recovery.parted
            else (f"; {format_rate(same)} of those that diverge reach the same answer")
        )
        sentences.append(
            f"{run.recovery.parted} of {run.prompts} texts diverge ({_MODES[mode]}){answers}."
        )
    if result.texts:
        same = result.texts.same_answer
        sentences.append(
            f"{format_rate(same)} of {result.texts.prompts} texts reach the same answer."
        )
    chains = result.chains.together if result.chains else None
    if chains:
        step = chains.distinguishable
        found = "no significant difference" if step is None else f"a difference from step {step} on"
        sentences.append(f"Chains of {len(chains.steps)} steps show {found}.")
    return " ".join(sentences)


def _survival(out: Output, modes: "Mapping[str, FreeRun]") -> None:
    steps = [point.steps for point in next(iter(modes.values())).compounding]
    out.say()
    out.say("Texts that are still identical (95 % band), and as predicted from single-token flips")
    out.table(
        ("After tokens", *(f">{title}" for mode in modes for title in (_MODES[mode], "predicted"))),
        (
            (step, *(cell for run in modes.values() for cell in _identical(run.survival, step)))
            for step in steps
        ),
    )
    for name, run in modes.items():
        split = run.split
        by = "after these tokens" if split.median is None else f"by token {split.median}"
        ends = f" ({split.low or '…'} … {split.high or 'later'})" if split.low else ""
        out.say(
            f"Divergence   {_MODES[name]}: half of {run.prompts} texts diverge {by}{ends}, "
            f"{format_rate(split.never)} never; single tokens flip at "
            f"{format_rate(run.flips_per_token, 2)}"
        )


def _identical(curve: "Survival", step: int) -> tuple[str, str]:
    at = step - 1
    measured = f"{curve.share[at]:.0%} ({curve.low[at]:.0%} … {curve.high[at]:.0%})"
    return measured, f"{curve.predicted[at]:.0%}"


def _compounding(out: Output, modes: "Mapping[str, FreeRun]") -> None:
    out.say()
    out.say(
        "Accumulated KL(reference ‖ quant), nats per text: along the quantized model's own text;"
    )
    out.say(
        "predicted, along the reference's text; factor = own / predicted, above 1: errors compound"
    )
    out.table(
        ("After tokens", *(f">{title}" for mode in modes
                           for title in (f"{_MODES[mode]}: own", "predicted", "factor"))),
        (
            (points[0].steps,
             *(cell for point in points for cell in
               (format_mean(point.own), format_mean(point.predicted), spread(point.factor))))
            for points in zip(*(run.compounding for run in modes.values()), strict=True)
        ),
    )  # fmt: skip
    factors = [point.factor for run in modes.values() for point in run.compounding]
    if any(not factor.empty and not factor.known for factor in factors):
        out.say("             a factor without an interval: too few texts diverge by that token")


def _texts(out: Output, modes: "Mapping[str, FreeRun]") -> None:
    out.say()
    rows = []
    for name, run in modes.items():
        recovery = run.recovery
        rows.append(
            (
                _MODES[name],
                f"{recovery.parted} of {run.prompts}",
                format_rate(recovery.met_again),
                format_rate(recovery.same_answer),
                change(run.length, ".1f"),
                change(run.stopped, ".0%"),
                change(run.repetition, ".1%"),
                f"{run.loops.reference:.0%} → {run.loops.quant:.0%}",
            )
        )
    out.table(
        ("Texts", ">Diverged", ">Converged again", ">Same answer", ">Tokens", ">Ended", ">Repeated",
         ">Loops"),
        rows,
    )  # fmt: skip
    out.say("             reference → quant; * the paired 95 % interval excludes no change")


def _chains(out: Output, result: "ChainsResult") -> None:
    steps = len(next(iter(result.families.values())).steps)
    shown = sorted({*(1 << k for k in range(5) if 1 << k < steps), steps})
    rows: list[tuple[object, ...]] = [
        (family.title, family.level, *_chain_row(family, shown))
        for family in result.families.values()
    ]
    if result.together:
        rows.append(("all together", "", *_chain_row(result.together, shown)))
    out.say()
    out.say("Chains: accuracy after this many steps, reference → quant (each on its own answers)")
    out.table(
        ("Family", ">Level", ">Chains", *(f">{step}" for step in shown), ">Slip per step",
         ">After a slip", ">Differs from step"),
        rows,
    )  # fmt: skip


def _chain_row(pair: "ChainPair | ChainFamily", shown: list[int]) -> tuple[object, ...]:
    one, other = pair.reference, pair.quant
    return (
        pair.chains,
        *(f"{one.accuracy[s - 1].mean:.0%} → {other.accuracy[s - 1].mean:.0%}" for s in shown),
        f"{format_rate(one.slip, 1)} → {format_rate(other.slip, 1)}",
        f"{format_mean(one.after_slip, '.0%')} → {format_mean(other.after_slip, '.0%')}",
        _first_difference(pair),
    )


def _first_difference(pair: "ChainPair") -> str:
    if pair.reference.at_floor:
        return "the reference is at floor"
    if pair.distinguishable is None:
        return "no step"
    p = pair.steps[pair.distinguishable - 1].p
    return f"{pair.distinguishable} (p {p:.2g})"


def _characters(out: Output, result: "TextsCompared") -> None:
    out.say()
    out.say("Texts by character (the tokenizers differ: there is no KL between these models)")
    out.table(
        ("After characters", ">Identical"),
        ((point.characters, spread(point.alike, ".0%")) for point in result.survival_characters),
    )
    out.say(
        f"Same answer  {format_rate(result.same_answer)} of {result.prompts} texts; bytes "
        f"{change(result.bytes, '.0f')}"
    )


def format_mean(figure: "Interval", digits: str = ".4f") -> str:
    """Return a mean as text; "-" for an unknown one."""
    return "-" if figure.empty else f"{figure.mean:{digits}}"


def spread(figure: "Interval", digits: str = ".2f") -> str:
    """Return a mean and its 95 % interval as text."""
    if figure.empty or figure.ends is None:
        return format_mean(figure, digits)
    return f"{figure.mean:{digits}} ({figure.ends[0]:{digits}} … {figure.ends[1]:{digits}})"


def format_rate(figure: "Interval | None", digits: int = 0) -> str:
    """Return a share and its 95 % interval in percent."""
    return "-" if figure is None else spread(figure, f".{digits}%")


def change(figure: "Change", digits: str) -> str:
    """Return the means of both models, and a star if they differ significantly."""
    ends = figure.difference.ends
    differs = ends is not None and (ends[0] > 0 or ends[1] < 0)
    return f"{figure.reference:{digits}} → {figure.quant:{digits}}{'*' * differs}"
