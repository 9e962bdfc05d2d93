"""Prints text while it is generated: by one model, or by two models in columns or in turn."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeropoint.cli.output import Output, ProgressStyle, console
from zeropoint.cli.stages import follow

if TYPE_CHECKING:
    from rich.table import Table

    from zeropoint.results.generate import GenerateResult, GenerationSpeed
    from zeropoint.verbs.options.generate import GenerateOptions

DIFFERENCE_CHARACTERS = 24  # shown of each text after the first difference


def generate_and_show(
    out: Output, models: Sequence[str], prompt: str, options: "GenerateOptions"
) -> "GenerateResult":
    """Generate with one or two models, print the text as it comes, and return the result."""
    from zeropoint.results.generate import GenerateResult
    from zeropoint.verbs.generate import generate_records

    in_columns = len(models) > 1 and sys.stdout.isatty() and not out.as_json
    records = generate_records(models, prompt, options, interleaved=in_columns)
    result = show_columns(records, models) if in_columns else show_text(out, records, models)
    assert isinstance(result, GenerateResult)
    if result.comparison:
        out.say(describe_difference(result))
    return result


def show_text(out: Output, records: Iterator[Any], models: Sequence[str]) -> object:
    """Print the texts of the models one after the other; return the last record."""
    from zeropoint.verbs.generate import TextFinished, TextPiece

    record, place = None, -1
    style = ProgressStyle.none if out.quiet else ProgressStyle.auto
    try:
        for record in follow(records, out, style):
            if isinstance(record, TextPiece) and not out.as_json:
                if len(models) > 1 and record.place != place:
                    out.say(f"== {models[record.place]}")
                place = record.place
                write(record.text)
            elif isinstance(record, TextFinished) and not out.as_json:
                write("\n")
    except KeyboardInterrupt:
        if not out.as_json:
            write("\n")  # the message that follows begins a new line
        raise
    return record


def show_columns(records: Iterator[Any], models: Sequence[str]) -> object:
    """Draw two texts side by side on a terminal; return the last record."""
    from rich.live import Live

    from zeropoint.verbs.generate import TextPiece

    texts = ["" for _ in models]
    record = None
    screen = console(sys.stdout)
    with Live(console=screen, auto_refresh=False, vertical_overflow="visible") as live:
        for record in records:
            if isinstance(record, TextPiece):
                texts[record.place] += record.text
                live.update(columns(models, texts), refresh=True)
    return record


def columns(models: Sequence[str], texts: Sequence[str]) -> "Table":
    """Return a table of two texts: the common beginning plain, and the rest bold."""
    from rich.table import Table
    from rich.text import Text

    from zeropoint.models.sequences import common_prefix_length

    common = common_prefix_length(texts[0], texts[1])
    grid = Table(box=None, padding=(0, 2, 0, 0), expand=True)
    for model in models:
        grid.add_column(Text(Path(model).name), ratio=1)
    shown = [without_control_characters(text) for text in texts]
    grid.add_row(*(Text(text[:common]) + Text(text[common:], style="bold") for text in shown))
    return grid


def write(text: str) -> None:
    """Print a piece of generated text at once; a terminal gets no control characters."""
    sys.stdout.write(without_control_characters(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def without_control_characters(text: str) -> str:
    """Return a text without the control characters that could change a terminal."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")


def describe_difference(result: "GenerateResult") -> str:
    """Return where the texts of two models diverge, in one line."""
    from zeropoint.models.sequences import common_prefix_length

    assert result.comparison is not None
    step, other = result.comparison.first_difference, result.comparison.vs
    if step is None:
        return f"No difference in {len(result.tokens)} tokens."
    at = common_prefix_length(result.text, other.text)
    parts = (repr(text[at : at + DIFFERENCE_CHARACTERS]) for text in (result.text, other.text))
    return f"First difference at token {step + 1}: {' / '.join(parts)}"


def describe_loop(result: "GenerateResult") -> str:
    """Return a remark if the text ends in a repetition; an empty text otherwise."""
    from zeropoint.metrics.generation.texts import ends_in_loop

    if not ends_in_loop(result.tokens):
        return ""
    return (
        "The text ends in a repetition. Base models, which have no chat template, often do this:"
        " use an instruct model, --repeat-penalty 1.1, or a smaller -n."
    )


def describe_drafts(result: "GenerateResult") -> list[str]:
    """Return how many guesses were right, and whether the text is the same without them."""
    lines = []
    if drafts := result.drafts:
        tokens = len(result.tokens)
        lines.append(
            f"{drafts.accepted_tokens} of {drafts.guessed_tokens} guessed tokens were right; "
            f"{tokens} tokens took {drafts.passes} passes"
        )
    if (proof := result.proof) and result.speed:
        verdict = "the same tokens" if proof.same else "OTHER TOKENS"
        lines.append(
            f"without guesses: {verdict} (SHA-256 {proof.sha256_without_guesses[:16]}, with guesses"
            f" {proof.sha256_with_guesses[:16]}), {proof.tokens_per_second_without_guesses:.1f}"
            " tokens/s"
        )
    return lines


def describe_speeds(result: "GenerateResult") -> list[tuple[str, str]]:
    """Return the name of each model, and its speed in one line."""
    texts = [result, result.comparison.vs] if result.comparison else [result]
    return [(text.model, describe_speed(text.speed)) for text in texts if text.speed]


def describe_speed(speed: "GenerationSpeed") -> str:
    """Return how fast a text was generated, and why it ended."""
    reasons = {
        "stop": "",
        "length": ", stopped at the limit of -n",
        "context": ", stopped because the context is full",
    }
    return (
        f"prompt {speed.prompt_tokens} tokens, {speed.prompt_tokens_per_second:.1f} tokens/s; "
        f"generated {speed.generated_tokens} tokens, "
        f"{speed.generation_tokens_per_second:.1f} tokens/s{reasons[speed.stopped_by]}"
    )
