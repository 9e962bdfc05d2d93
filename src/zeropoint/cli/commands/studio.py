"""`studio`: a local web app that shows the models and runs of a folder."""

from pathlib import Path
from typing import Annotated

import typer

from zeropoint.cli.options import MODEL_FORMS
from zeropoint.cli.output import AsJson, Output, Quiet
from zeropoint.cli.paths import InputRole
from zeropoint.errors import needs_packages


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Measure")(studio)


def studio(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]", help=f"The model to open first: {MODEL_FORMS}. Default: none."
        ),
        InputRole.MODEL,
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder with models and runs. Only files in it are read. Default: the folder of"
            " MODEL, or the current folder.",
        ),
        InputRole.MODEL,
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="N",
            help="Port to listen on. 0 chooses a free one. Default: the port of the last time for"
            " this folder, or a free one.",
            show_default=False,
        ),
    ] = None,
    new_key: Annotated[
        bool,
        typer.Option(
            "--new-key",
            help="Replace the access key of this folder. Links and browsers with the old key are"
            " then rejected.",
        ),
    ] = False,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the web browser.")
    ] = True,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make models smaller, measure, compare and chat with them in the browser.

    The server listens on localhost only. The printed link contains an access key, and requests
    without it are rejected. Port and key of a folder stay the same, so bookmarks remain valid. They
    are kept in the cache directory, readable only by you; --new-key replaces the key. Only files
    below --root are read, and none is changed. Jobs that you start in the studio write new files,
    or resume unfinished runs. Ctrl-C stops the server and its jobs; the list of jobs is kept.

    [bold]Examples:[/bold]

    zeropoint studio model-Q4_K_M.gguf

    zeropoint studio --root ~/models --port 8642 --no-open
    """
    out = Output(as_json=as_json, quiet=quiet)
    with needs_packages("the studio"):
        from zeropoint.studio.data.library import Library
        from zeropoint.studio.http.app import StudioRoutes
        from zeropoint.studio.http.job_list import JobList
        from zeropoint.studio.http.kept_keys import open_studio, record_of
        from zeropoint.studio.http.timeouts import make_server, serve
    path = "/"
    if model is not None:
        from zeropoint.checkpoints import open_model, resolve_model

        file = resolve_model(model)
        open_model(file, "quantize").close()  # raises if its weights cannot be shown
        library = Library(root or folder_of(file))
        path = f"/models/{library.id_of(file)}"
    else:
        library = Library(root or Path())
    opened, keys = open_studio(library.root, port, new_key=new_key)
    jobs = JobList(record_of(library.root, "jobs"))
    link = f"http://{keys.hosts[0]}{path}?token={keys.token}"

    def ready() -> None:
        out.say(link)
        out.note(f"{library.root}, on this machine only; Ctrl-C stops the studio")
        out.finish("studio", {"url": link, "root": str(library.root), "port": keys.port})
        if open_browser:
            import webbrowser

            webbrowser.open(link)

    serve(make_server(StudioRoutes(library, jobs).app(), keys, ready=ready), opened)


def folder_of(model: Path) -> Path:
    """Return the folder to show with a model: its own, or its repository in the hub's cache."""
    parent = model.absolute().parent
    if model.is_symlink() and not model.resolve().is_relative_to(parent):
        return parent.parent.parent if parent.parent.name == "snapshots" else model.resolve().parent
    return parent
