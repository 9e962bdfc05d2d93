"""`studio`: the local app: models and runs below a folder, in the browser."""

from pathlib import Path
from typing import Annotated

import typer

from zeropoint.cli.output import AsJson, Output, Quiet
from zeropoint.cli.paths import InputRole


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Measure")(studio)


def studio(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="The model to begin with: a path, or a hub id."),
        InputRole.MODEL,
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The folder that is shown, and below which files may be read. "
            "Default: MODEL's, or the current one.",
        ),
        InputRole.MODEL,
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="0: any that is free.")
    ] = 0,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in your browser.")
    ] = True,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """See it live on your files: map, weights, products, labs, walk, reports, chat, jobs.

    Serves this machine alone. The printed link has a key that changes each time; the browser that
    opens it may look, nothing else may. Files are read below --root only, and none is changed;
    jobs that you start there write new ones, or go on with runs that are not finished. Ctrl-C ends
    it, and them.

    [bold]Examples:[/bold]

    zeropoint studio model-Q4_K_M.gguf

    zeropoint studio --root ~/models --port 8642 --no-open
    """
    out = Output(as_json=as_json, quiet=quiet)
    try:
        from zeropoint.studio.data.library import Library
        from zeropoint.studio.http.app import StudioRoutes
        from zeropoint.studio.http.timeouts import listen, make_server, new_keys, serve
    except ImportError as error:
        missing = f'studio needs {error.name}: pip install "zeropoint[studio]"'
        raise typer.BadParameter(missing) from None
    path = "/"
    if model is not None:
        from zeropoint.checkpoints import open_model, resolve_model

        found = resolve_model(model)
        open_model(found, "quantize").close()  # any model whose weights can be shown
        library = Library(root or home_of(found))
        path = f"/models/{library.id_of(found)}/map"
    else:
        library = Library(root or Path())
    opened = listen(port)
    keys = new_keys(opened)
    link = f"http://{keys.hosts[0]}{path}?token={keys.token}"

    def ready() -> None:
        out.say(link)
        out.note(f"{library.root}, for this machine alone; Ctrl-C ends it")
        out.finish("studio", {"url": link, "root": str(library.root), "port": keys.port})
        if open_browser:
            import webbrowser

            webbrowser.open(link)

    serve(make_server(StudioRoutes(library).app(), keys, ready=ready), opened)


def home_of(model: Path) -> Path:
    """Return the folder to show with a model: its own; of the hub's cache all of the repository."""
    here = model.absolute().parent
    if model.is_symlink() and not model.resolve().is_relative_to(here):
        return here.parent.parent if here.parent.name == "snapshots" else model.resolve().parent
    return here
