"""`tasks`: evaluate models on the user's own tasks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeropoint.cli import options as shared
from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet
from zeropoint.cli.paths import InputRole, OutputRole
from zeropoint.cli.run_outputs import Report, keeping, run_folder, write_report
from zeropoint.cli.stages import follow, show
from zeropoint.cli.views import tasks as view
from zeropoint.cli.views.default_count import count_views
from zeropoint.formatting import format_bytes
from zeropoint.verbs.options.tasks import TasksOptions

if TYPE_CHECKING:
    from zeropoint.results.tasks import TasksResult

DEFAULTS = TasksOptions()


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Measure")(tasks)


def tasks(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help=f"The models to evaluate, each of them {shared.MODEL_FORMS}. The first one is the"
            " baseline.",
        ),
        InputRole.MODEL,
    ],
    file: Annotated[
        str,
        typer.Option(
            "--tasks",
            metavar="FILE",
            help="File with one task per line (.jsonl), or python for the built-in problems.",
        ),
        InputRole.FILE,
    ] = "",
    harness: Annotated[
        str,
        typer.Option(
            "--lm-eval",
            metavar="NAME,...",
            help="Run these tasks of lm-evaluation-harness instead of a file. Without --count, all"
            " of their questions are asked.",
        ),
        InputRole.NAMES,
    ] = "",
    include: Annotated[
        Path | None,
        typer.Option(
            "--include", metavar="DIR", help="Folder with more tasks (YAML) for --lm-eval."
        ),
        InputRole.MODEL,
    ] = None,
    allow_code: shared.AllowCode = DEFAULTS.allow_code,
    count: shared.TaskCount = DEFAULTS.count,
    tokens: Annotated[
        int, typer.Option("-n", "--tokens", min=1, help="Maximum number of tokens per answer.")
    ] = DEFAULTS.tokens,
    chat: Annotated[
        bool | None,
        typer.Option(
            help="Format tasks as chat messages. Default: on if the model has a chat template."
        ),
    ] = DEFAULTS.chat,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Maximum number of answers generated at once.")
    ] = DEFAULTS.batch_size,
    mode: shared.Mode = shared.Arithmetic(DEFAULTS.mode),
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Store all answers in this run folder. An interrupted run resumes from it.",
        ),
        OutputRole("folder"),
    ] = DEFAULTS.run,
    report: Report = None,
    threads: shared.Threads = DEFAULTS.threads,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Evaluate models on your own tasks: which tasks are lost, which are won, and whether the
    difference is significant.

    A task is one line of JSON. It has a "prompt", and one of these: "choices" with the index of the
    right choice as "answer" (from 0); an "answer", or a list of them; a "regex"; or "tests", Python
    code that runs after the code that the model wrote. `--tasks python` are 56 small problems that
    come with zeropoint. Lines that are not tasks are reported and left out. Flips are counted in
    both directions, with McNemar's exact test.

    [bold]Examples:[/bold]

    zeropoint tasks model-BF16.gguf small.gguf --tasks mine.jsonl --run runs/mine

    zeropoint tasks model-BF16.gguf small.gguf --tasks python --allow-code

    zeropoint tasks small.gguf --lm-eval my_task --include tasks/
    """
    if bool(file) == bool(harness):
        raise typer.BadParameter("give either --tasks FILE or --lm-eval NAME")
    if harness and report:
        raise typer.BadParameter(
            "a report does not show scores of lm-evaluation-harness; --run stores them"
        )
    out = Output(as_json=as_json, quiet=quiet)
    with run_folder(run, report) as folder, keeping(run):
        options = TasksOptions(
            allow_code=allow_code, count=count, tokens=tokens, chat=chat, batch_size=batch_size,
            mode=mode.value, threads=threads, run=folder,
        )  # fmt: skip
        if harness:
            from zeropoint.verbs.lm_eval import lm_eval

            names = [name.strip() for name in harness.split(",") if name.strip()]
            scores = lm_eval(models, names, options, include=include)
            view.show_harness(out, scores)
            out.finish("tasks", scores.to_json())
        else:
            result = evaluate(out, models, file, options, progress)
            view.show(out, result.models)
            out.finish("tasks", result.to_json())
        if report and folder:
            write_report(out, [folder], report)
    if run:
        out.note(f"wrote {run}")


def evaluate(
    out: Output, models: list[str], file: str, options: TasksOptions, progress: ProgressStyle
) -> "TasksResult":
    """Evaluate all models, and show the progress."""
    from zeropoint.results.tasks import TasksResult
    from zeropoint.verbs.records import ModelStarted
    from zeropoint.verbs.tasks import tasks_records

    record: object = None
    views = count_views()
    for record in follow(tasks_records(models, file, options), out, out.progress(progress)):
        show(out, record, views)
        if isinstance(record, ModelStarted):
            out.note(f"{record.model.name}: {format_bytes(record.model.file_bytes)}")
    assert isinstance(record, TasksResult)
    return record
