"""`serve`: an HTTP server with the APIs that editors and agents use."""

import os
from pathlib import Path
from typing import Annotated

import typer

from zeropoint.cli import options as shared
from zeropoint.cli.output import AsJson, Output, Quiet
from zeropoint.cli.paths import InputRole
from zeropoint.errors import MeasurementError, needs_packages

KEY_VARIABLE = "ZEROPOINT_API_KEY"
KEY_BYTES = 1 << 20  # maximum of a file of keys
MIB = 1 << 20


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Run")(serve)


def serve(
    model: shared.ModelArgument,
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, metavar="N", help="Port to listen on. 0 chooses a free one."
        ),
    ] = 8080,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen on. Any other than a loopback address needs an API key.",
        ),
    ] = "127.0.0.1",
    parallel: Annotated[
        int,
        typer.Option(
            min=1, max=64, metavar="N", help="Slots: texts that are generated at the same time."
        ),
    ] = 4,
    context: Annotated[
        int | None,
        typer.Option(
            "--ctx",
            min=16,
            metavar="N",
            help="Tokens of context of each slot. Default: the model's context, at most 32768, or"
            " less if the memory does not suffice.",
        ),
    ] = None,
    queue: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Texts that may wait for a slot; further requests get status 503.",
        ),
    ] = 32,
    cache: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="MIB",
            help="Memory for the caches of finished texts, in MiB, so that a prompt that begins"
            " like an earlier one is processed faster. 0 keeps none. Default: a tenth of the"
            " machine's memory, at most 2048.",
        ),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help=f"Key that requests must have. Other users can see it in the list of processes;"
            f" prefer --api-key-file or the variable {KEY_VARIABLE}. Default: none.",
        ),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File with API keys, one in a line."),
        InputRole.FILE,
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Further host name that requests may use, e.g. of a reverse proxy. Repeatable.",
        ),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="Web page that may send requests, e.g. http://localhost:3000. Repeatable."
            " Default: none.",
        ),
    ] = None,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Offer /metrics in Prometheus's format.")
    ] = False,
    slots: Annotated[
        bool, typer.Option("--slots", help="Offer /slots: what each slot is doing.")
    ] = False,
    lsp: Annotated[
        bool,
        typer.Option(
            "--lsp",
            help="Be a language server instead: an editor starts this command and gets inline"
            " completions on stdin and stdout (LSP 3.18). The options of HTTP have no effect.",
        ),
    ] = False,
    draft: shared.Draft = "off",
    drain: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Time for running requests after Ctrl-C or SIGTERM; then they are cancelled.",
        ),
    ] = 10,
    kv: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            help=f"{shared.KV_HELP} Default: f16, or f32 with --mode exact.",
        ),
    ] = None,
    kv_rotation: shared.KvRotation = True,
    mode: shared.Mode = shared.Arithmetic("fast"),
    threads: shared.Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Serve a model to editors and agents, with the APIs of OpenAI and llama.cpp.

    Clients need the base URL that is printed, http://127.0.0.1:8080/v1 by default, and any API key.
    Several requests are generated together. Only programs on this machine can connect, unless
    --host and a key are given. In [bold]--mode exact[/bold] the same seed gives the same text,
    whatever other requests run at the same time. Ctrl-C finishes running requests and stops the
    server.

    [bold]Examples:[/bold]

    zeropoint serve qwen2.5-coder-1.5b-Q4_K_M.gguf

    zeropoint serve model.gguf --port 9000 --parallel 8 --ctx 16384 --metrics

    zeropoint serve qwen2.5-coder-0.5b-Q4_K_M.gguf --lsp --ctx 4096

    curl http://127.0.0.1:8080/v1/chat/completions -H "Content-Type: application/json" -d
    '{"messages": [{"role": "user", "content": "Hello"}]}'
    """
    engine = {
        "model": model,
        "mode": mode.value,
        "kv": kv or ("f32" if mode is shared.Arithmetic.exact else "f16"),
        "kv_rotation": kv_rotation,
        "threads": threads,
        "parallel": parallel,
        "context": context,
        "draft": draft,
        "cache_bytes": default_cache_mib() * MIB if cache is None else cache * MIB,
    }
    if lsp:
        with needs_packages("the language server", "lsp"):
            from zeropoint.server.lsp.process import serve_editor
        serve_editor(engine)
        return
    out = Output(as_json=as_json, quiet=quiet)
    with needs_packages("the server", "serve"):
        from zeropoint.server.http.api_guard import AccessRules
        from zeropoint.server.http.app import RouteOptions
        from zeropoint.server.http.engine_client import EngineClient
        from zeropoint.server.http.process import (
            ServeOptions,
            host_names,
            is_loopback,
            listen_on,
        )
        from zeropoint.server.http.process import serve as run_server
    keys = read_keys(api_key, api_key_file)
    if not is_loopback(host) and not keys:
        raise MeasurementError(
            f"other machines can reach {host}, so the server needs --api-key-file or {KEY_VARIABLE}"
        )
    opened = listen_on(host, port)
    port = int(opened.getsockname()[1])
    rules = AccessRules(
        hosts=host_names(host, port, allow_host or ()),
        origins=frozenset(allow_origin or ()),
        keys=keys,
    )
    client = EngineClient(engine, queue_limit=queue)
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}/v1"

    def ready() -> None:
        facts = client.facts
        out.say(url)
        out.note(
            f"{facts['name']}: {facts['slots']} slots with {facts['n_ctx']} tokens of context;"
            " Ctrl-C stops the server"
        )
        out.finish(
            "serve", {"url": url, "model": facts["name"], "slots": facts["slots"],
                      "context": facts["n_ctx"], "port": port},
        )  # fmt: skip

    options = ServeOptions(
        rules=rules, routes=RouteOptions(metrics=metrics, slots=slots), drain_seconds=drain
    )
    run_server(client, opened, options, connections=parallel + queue, ready=ready)


def read_keys(key: str | None, file: Path | None) -> tuple[str, ...]:
    """Return the API keys of an option, a file and the environment.

    Raises MeasurementError for a file that cannot be read or has no key.
    """
    from zeropoint.checkpoints.files.user_files import read_user_text

    keys = [key or "", os.environ.get(KEY_VARIABLE, "")]
    if file is not None:
        lines = read_user_text(file, KEY_BYTES, MeasurementError).splitlines()
        found = [line.strip() for line in lines if line.strip()]
        if not found:
            raise MeasurementError(f"{file}: has no API key; write one key in each line")
        keys += found
    return tuple(key for key in keys if key)


def default_cache_mib() -> int:
    """Return a tenth of the machine's memory in MiB, at most 2048."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(2048, total // 10 // MIB)
