"""`run`: generate text with one model, or with two models from the same prompt."""

import sys
from typing import Annotated

import typer

from zeropoint.cli import options as shared
from zeropoint.cli.exits import NO
from zeropoint.cli.output import AsJson, Output, Quiet
from zeropoint.cli.paths import InputRole
from zeropoint.cli.views import run as view
from zeropoint.verbs.options.generate import GenerateOptions

DEFAULTS = GenerateOptions()


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Run")(run)


def run(
    model: shared.ModelArgument,
    prompt: Annotated[
        str | None,
        typer.Option(
            "-p", "--prompt", metavar="TEXT", help="Prompt to answer or continue. - reads stdin."
        ),
    ] = None,
    tokens: Annotated[
        int, typer.Option("-n", "--tokens", min=1, help="Maximum number of tokens to generate.")
    ] = DEFAULTS.tokens,
    versus: Annotated[
        str | None,
        typer.Option(
            "--vs", metavar="MODEL", help="Compare with another model on the same prompt and seed."
        ),
        InputRole.MODEL,
    ] = None,
    greedy: Annotated[
        bool, typer.Option("--greedy", help="Always choose the most likely token.")
    ] = DEFAULTS.greedy,
    temperature: Annotated[
        float, typer.Option(min=0, help="Sampling temperature. 0 is the same as --greedy.")
    ] = DEFAULTS.temperature,
    top_k: Annotated[
        int,
        typer.Option(
            min=0, help="Top-k sampling: choose among the k most likely tokens. 0 disables it."
        ),
    ] = DEFAULTS.top_k,
    top_p: Annotated[
        float,
        typer.Option(
            help="Nucleus (top-p) sampling: choose among the fewest tokens whose probabilities sum"
            " to this. 1.0 disables it.",
        ),
    ] = DEFAULTS.top_p,
    min_p: Annotated[
        float,
        typer.Option(
            help="Min-p sampling: drop tokens less likely than this fraction of the most likely"
            " token. 0 disables it.",
        ),
    ] = DEFAULTS.min_p,
    repeat_penalty: Annotated[
        float,
        typer.Option(help="Repetition penalty applied to recent tokens. 1.0 disables it."),
    ] = DEFAULTS.repeat_penalty,
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed. The same seed generates the same text.")
    ] = DEFAULTS.seed,
    chat: Annotated[
        bool | None,
        typer.Option(
            help="Format the prompt as a chat message. Default: on if the model has a chat"
            " template."
        ),
    ] = DEFAULTS.chat,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="System message of the chat.")
    ] = DEFAULTS.system,
    context: Annotated[
        int | None,
        typer.Option(
            "--ctx",
            min=1,
            help="Maximum number of positions in the KV cache. Default: the prompt and -n, or in a"
            " chat the model's context.",
        ),
    ] = DEFAULTS.context,
    kv: shared.KvCache = DEFAULTS.kv,
    kv_rotation: shared.KvRotation = DEFAULTS.kv_rotation,
    mode: shared.Mode = shared.Arithmetic(DEFAULTS.mode),
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="cpu, or a device of torch such as cuda or cuda:1, which then decodes the weights"
            " and multiplies.",
        ),
    ] = DEFAULTS.device,
    draft: shared.Draft = DEFAULTS.draft,
    prove: Annotated[
        bool,
        typer.Option(
            "--prove",
            help="Generate the text again without the guesses of --draft, and print the hashes of"
            " both. Exit status 1 if they differ.",
        ),
    ] = DEFAULTS.prove,
    threads: shared.Threads = DEFAULTS.threads,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Generate text. On a terminal, without a prompt, it starts a chat.

    [bold]Examples:[/bold]

    zeropoint run model.gguf -p "Write a haiku about rounding."

    zeropoint run small.gguf --vs large.gguf -p "def fibonacci(n):" --no-chat --greedy
    """
    from zeropoint.cli.chat import chat as start_chat
    from zeropoint.verbs.generate import sampling_of

    options = GenerateOptions(
        tokens=tokens, greedy=greedy, temperature=temperature, top_k=top_k, top_p=top_p,
        min_p=min_p, repeat_penalty=repeat_penalty, seed=seed, chat=chat, system=system,
        context=context, kv=kv, kv_rotation=kv_rotation, mode=mode.value, device=device,
        draft=draft, prove=prove,
        threads=threads,
    )  # fmt: skip
    sampling_of(options)  # a number out of range is an error before the model is loaded
    out = Output(as_json=as_json, quiet=quiet)
    if prompt is None and sys.stdin.isatty() and not as_json and versus is None:
        start_chat(model, options, out)
        return
    text = read_prompt() if prompt in (None, "-") else str(prompt)
    models = [model] if versus is None else [model, versus]
    result = view.generate_and_show(out, models, text, options)
    for _, speed in view.describe_speeds(result):
        out.note(speed)
    for line in view.describe_drafts(result):
        out.note(line)
    if remark := view.describe_loop(result):
        out.note(remark)
    out.finish("run", result.to_json())
    if result.proof and not result.proof.same:
        raise typer.Exit(NO)


def read_prompt() -> str:
    """Return the text on standard input, which may be a terminal, a file or a pipe."""
    from zeropoint.checkpoints.files.user_files import PROMPT_BYTES, decode_text
    from zeropoint.errors import MeasurementError

    data = sys.stdin.buffer.read(PROMPT_BYTES + 1)
    if len(data) > PROMPT_BYTES:
        raise MeasurementError(
            f"standard input: the prompt is larger than the limit of {PROMPT_BYTES:,} bytes"
        )
    try:
        return decode_text(data).replace("\r\n", "\n").replace("\r", "\n")
    except ValueError as error:
        raise MeasurementError(f"standard input: {error}") from None
