"""`explain`: the arithmetic of quantization for a number, a block, a format or a term."""

from dataclasses import asdict
from difflib import get_close_matches
from typing import Annotated

import typer

from zeropoint.cli.completion import complete_format
from zeropoint.cli.output import AsJson, Output
from zeropoint.cli.views import explain as page
from zeropoint.cli.views.glossary import SPELLINGS, TERMS, find_term


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    # A negative number is an argument, not an option.
    settings = {"ignore_unknown_options": True}
    app.command(rich_help_panel="Look", context_settings=settings)(explain)


def explain(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WHAT",
            help="A number, a format, a preset, a term such as `scale`, or `multiply`.",
        ),
    ] = None,
    format: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="Format of the number or block, such as FP8_E4M3, float16 or INT4_SYM.",
            autocompletion=complete_format,
        ),
    ] = "",
    block: Annotated[
        str,
        typer.Option(
            metavar="NUMBERS",
            help='Weights of one block, which share a scale, such as "0.1,-0.2,0.3".',
        ),
    ] = "",
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="With `multiply`: the name of a device of `plan`, or local for this machine.",
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Explain a number bit by bit, a block of weights, a format, a preset, or a term.

    [bold]Examples:[/bold]

    zeropoint explain 0.16 --format FP8_E4M3

    zeropoint explain 0.16 --format INT4_SYM --block=-0.89,0.16,0.08,-0.13,0.16,-0.54

    zeropoint explain Q4_K_M

    zeropoint explain zero point

    zeropoint explain multiply --device rtx3090 --format Q4_K
    """
    out = Output(as_json=as_json)
    words = " ".join(what or [])
    if device or (words == "multiply" and format):
        if words != "multiply" or block:
            raise typer.BadParameter("--device is an option of `explain multiply` only")
        explain_multiply(out, device, format or "Q4_K")
        return
    number = as_number(words)
    if block:
        if words and number is None:
            raise typer.BadParameter(f"with --block, WHAT must be a number, not {words!r}")
        explain_block(out, number, format, block)
    elif number is not None:
        explain_number(out, number, format)
    elif words:
        explain_name(out, words)
    else:
        raise typer.BadParameter("give a number, a format, a preset, or a term such as 'scale'")


def as_number(words: str) -> float | None:
    """Return the number in the text, or None for other text."""
    try:
        return float(words.replace("−", "-"))
    except ValueError:
        return None


def explain_number(out: Output, number: float, name: str) -> None:
    """Print a number in one floating-point type, or in all of them."""
    from zeropoint.errors import FormatError
    from zeropoint.formats.explain import explain_value, find_float, find_for_block
    from zeropoint.formats.floats import FLOAT_TYPES

    if not name:
        values = [explain_value(number, type) for type in FLOAT_TYPES.values()]
        page.show_values(out, values)
        out.finish("explain", {"kind": "values", "values": [asdict(value) for value in values]})
        return
    type = find_float(name)
    if type is None:
        known = find_for_block(name)
        if known.block_size == 1:
            shown = ", ".join(FLOAT_TYPES)
            raise FormatError(f"{known.name} cannot be shown bit by bit; these types can: {shown}")
        raise FormatError(
            f"{known.name} stores a weight as a code and a scale that its block shares; give the"
            f" weights of the block: --block={number:g},…"
        )
    value = explain_value(number, type)
    page.show_value(out, value)
    out.finish("explain", {"kind": "value"} | asdict(value))


def explain_block(out: Output, number: float | None, name: str, text: str) -> None:
    """Print what is stored for the weights of a block, and the arithmetic of one of them."""
    from zeropoint.formats import explain as formats

    weights = formats.parse_weights(text)
    format = formats.find_for_block(name or "INT4_SYM")
    block = formats.explain_block(weights, format)
    steps = () if number is None else formats.explain_weight(block, number)
    other_name = formats.counterpart(block.format)
    other = formats.explain_block(weights, formats.find_for_block(other_name or block.format))
    page.show_block(out, block, steps, other if other_name else None)
    comparison = asdict(other) if other_name else None
    out.finish(
        "explain", {"kind": "block"} | asdict(block) | {"steps": steps, "beside": comparison}
    )


def explain_multiply(out: Output, device: str, name: str) -> None:
    """Print how the runtimes of a device multiply weights of a format."""
    from zeropoint.metrics.speed.this_machine import load_devices
    from zeropoint.plans.speed.multiply import format_of, multiplication

    if not device:
        raise typer.BadParameter(
            "name a device, such as --device rtx3090; `zeropoint plan --all-devices` lists"
        )
    found = multiplication(load_devices().find(device), format_of(name))
    page.show_multiplication(out, found)
    out.finish("explain", {"kind": "multiplication"} | asdict(found))


def explain_name(out: Output, words: str) -> None:
    """Print a format, a floating-point type, a preset, or a term."""
    from zeropoint.errors import FormatError
    from zeropoint.formats.describe import describe
    from zeropoint.formats.explain import find_float, find_format_by_name
    from zeropoint.plans.formats.explain import explain_preset

    format, type, preset = find_format_by_name(words), find_float(words), explain_preset(words)
    term = find_term(words)
    if format is None and type is None and preset is None and term is None:
        raise FormatError(f"{words!r} is not a number, format, preset or term; {suggest(words)}")
    result: dict[str, object] = {}
    if type is not None:
        page.show_type(out, type)
        result |= {"kind": "type", "type": page.type_facts(type)}
    if format is not None:
        page.show_format(out, describe(format))
        result |= {"kind": "format", "format": asdict(describe(format))}
    if preset is not None:
        page.show_preset(out, preset, words.upper(), alone=format is None)
        result |= {"kind": result.get("kind", "preset"), "preset": asdict(preset)}
    if term is not None:
        page.show_term(out, *term)
        result |= {"kind": "term", "term": term[0], "text": term[1]}
    out.finish("explain", result)


def suggest(words: str) -> str:
    """Return similar names, or all terms."""
    from zeropoint.formats import FORMATS
    from zeropoint.formats.names import plain_examples
    from zeropoint.plans import PRESETS

    names = {name.lower(): name for name in (*FORMATS, *PRESETS, *plain_examples())}
    names |= {term: term for term in (*TERMS, *SPELLINGS)}
    found = get_close_matches(words.lower(), names, n=3, cutoff=0.7)
    if found:
        return "did you mean " + " or ".join(names[name] for name in found) + "?"
    return f"terms are {', '.join(TERMS)}"
