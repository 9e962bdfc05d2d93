"""`run`: generate text, with one model or with two side by side."""

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from zeropoint.cli.output import AsJson, Output, Quiet
from zeropoint.cli.paths import InputRole

if TYPE_CHECKING:
    from zeropoint.cli.generation import Runner
    from zeropoint.models import Sampling

TOKENS = 512  # generated unless -n says otherwise


class Arithmetic(StrEnum):
    """How activations are multiplied."""

    fast = "fast"
    exact = "exact"


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Run")(run)


def run(
    model: Annotated[
        str,
        typer.Argument(help="A GGUF file (or a shard), a Hugging Face folder, or org/name."),
        InputRole.MODEL,
    ],
    prompt: Annotated[
        str | None,
        typer.Option("-p", "--prompt", help="The text to answer or continue; - reads stdin."),
    ] = None,
    tokens: Annotated[
        int, typer.Option("-n", "--tokens", min=1, help="Stop after this many.")
    ] = TOKENS,
    versus: Annotated[
        str | None,
        typer.Option("--vs", help="Another model, side by side on the same prompt and seed."),
        InputRole.MODEL,
    ] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="Always take the best token.")] = False,
    temperature: Annotated[float, typer.Option(min=0, help="0 is --greedy.")] = 0.8,
    top_k: Annotated[int, typer.Option(min=0, help="Only the best k tokens; 0: all.")] = 40,
    top_p: Annotated[float, typer.Option(help="Only the best with this share together.")] = 0.95,
    min_p: Annotated[float, typer.Option(help="None below this share of the best's.")] = 0.05,
    repeat_penalty: Annotated[float, typer.Option(help="Above 1 avoids what was said.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same text.")] = 0,
    chat: Annotated[
        bool | None,
        typer.Option(help="Use the model's chat template. Default: if it has one."),
    ] = None,
    system: Annotated[str | None, typer.Option(help="The system's message of a chat.")] = None,
    context: Annotated[
        int | None, typer.Option("--ctx", min=1, help="Positions in memory at most.")
    ] = None,
    mode: Annotated[
        Arithmetic, typer.Option(help="Round activations to 8 bits (fast) or not (exact).")
    ] = Arithmetic.fast,
    device: Annotated[
        str, typer.Option(help="cpu, or cuda (cuda:1): torch decodes and multiplies there.")
    ] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="Default: all processors.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Generate text; without a prompt, on a terminal: chat.

    [bold]Examples:[/bold]

    zeropoint run model.gguf -p "Write a haiku about rounding."

    zeropoint run small.gguf --vs large.gguf -p "def fibonacci(n):" --no-chat --greedy
    """
    from zeropoint.cli.generation import Job, Runner, chat_with
    from zeropoint.models import Sampling

    try:
        sampling = Sampling(
            temperature=0.0 if greedy else temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repeat_penalty=repeat_penalty,
            seed=seed,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    out = Output(as_json=as_json, quiet=quiet)
    job = Job(tokens, sampling, chat, system, context, device)
    names = [model] if versus is None else [model, versus]
    if prompt is None and sys.stdin.isatty() and not as_json and versus is None:
        chat_with(Runner(model, job, mode.value, threads), out)
        return
    text = read_prompt() if prompt in (None, "-") else str(prompt)
    runners = [Runner(name, job, mode.value, threads) for name in names]
    show(out, runners, text, sampling)


def read_prompt() -> str:
    """Return the text on standard input, which may be a terminal, a file or a pipe."""
    from zeropoint.checkpoints.files.user_files import PROMPT_BYTES, decode_text
    from zeropoint.errors import MeasurementError

    data = sys.stdin.buffer.read(PROMPT_BYTES + 1)
    if len(data) > PROMPT_BYTES:
        raise MeasurementError(f"standard input: is larger than the limit of {PROMPT_BYTES} bytes")
    try:
        return decode_text(data).replace("\r\n", "\n").replace("\r", "\n")
    except ValueError as error:
        raise MeasurementError(f"standard input: {error}") from None


def show(out: Output, runners: "list[Runner]", text: str, sampling: "Sampling") -> None:
    """Generate and print: one text, or two and where they part."""
    from zeropoint.cli.generation import side_by_side, summary

    if len(runners) == 1:
        results = [runners[0].stream(text, out)]
    else:
        results = side_by_side(runners, text, out)
    for runner in runners:
        out.note(runner.speed())
    out.finish("run", summary(results, sampling.seed))
