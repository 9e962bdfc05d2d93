"""`tasks`: models at the user's own tasks, before and after."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeropoint.cli import options as measuring
from zeropoint.cli.commands.run import Arithmetic
from zeropoint.cli.output import AsJson, AsProgress, Output, ProgressStyle, Quiet, in_bytes
from zeropoint.cli.paths import InputRole, OutputRole
from zeropoint.cli.progress import track
from zeropoint.cli.reporting import Report, run_folder, write_report
from zeropoint.cli.views.drift import spread

if TYPE_CHECKING:
    from zeropoint.metrics.tasks.run import Taker
    from zeropoint.metrics.tasks.task_file import Task
    from zeropoint.results.tasks import BadTask, ModelTasks, TaskFlips

SHOWN = 8  # bad lines, and flips, that are named

AllowCode = Annotated[
    bool,
    typer.Option("--allow-code", help="Run code that models write, in a process without powers."),
]


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Measure")(tasks)


def tasks(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL...", help="The first is what was before."),
        InputRole.MODEL,
    ],
    file: Annotated[
        str,
        typer.Option("--tasks", metavar="FILE", help="One task a line (.jsonl), or python."),
        InputRole.FILE,
    ] = "",
    harness: Annotated[
        str,
        typer.Option("--lm-eval", metavar="NAME,...", help="Tasks of lm-evaluation-harness."),
        InputRole.NAMES,
    ] = "",
    include: Annotated[
        Path | None,
        typer.Option("--include", metavar="DIR", help="More tasks for --lm-eval (YAML)."),
        InputRole.MODEL,
    ] = None,
    allow_code: AllowCode = False,
    count: Annotated[
        int | None, typer.Option(min=1, help="The first so many tasks. Default: all.")
    ] = None,
    tokens: Annotated[
        int, typer.Option("-n", "--tokens", min=1, help="Of an answer, at most.")
    ] = 256,
    chat: Annotated[
        bool | None, typer.Option(help="Tasks are messages. Default: if the model chats.")
    ] = None,
    together: Annotated[int, typer.Option(min=1, help="Answers written at once.")] = 48,
    mode: Annotated[
        Arithmetic, typer.Option(help="exact: float32; fast: activations rounded to 8 bits.")
    ] = Arithmetic.exact,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep all answers; the same run goes on from there."),
        OutputRole("folder"),
    ] = None,
    report: Report = None,
    threads: measuring.Threads = None,
    progress: AsProgress = ProgressStyle.auto,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Your own tasks, before and after: what was lost, what was won, and whether that means
    anything.

    A task is a line of JSON: "prompt" with "choices" and the place of the right one as "answer";
    with an "answer" (or several); with a "regex"; or with "tests", Python that is run after what
    the model wrote. `--tasks python` are 56 small problems that come with zeropoint. A bad line is
    reported and costs nothing else. Flips are told both ways, with McNemar's exact test.

    [bold]Examples:[/bold]

    zeropoint tasks model-BF16.gguf small.gguf --tasks mine.jsonl --run runs/mine

    zeropoint tasks model-BF16.gguf small.gguf --tasks python --allow-code

    zeropoint tasks small.gguf --lm-eval my_task --include tasks/
    """
    out = Output(as_json=as_json, quiet=quiet)
    how = out.progress(progress)
    if bool(file) == bool(harness):
        raise typer.BadParameter("give either --tasks FILE or --lm-eval NAME")
    if harness and report:
        raise typer.BadParameter("a report does not show the harness's scores; --run keeps them")
    arithmetic = mode.value, threads
    with run_folder(run, report) as kept:
        if harness:
            from zeropoint.cli.harness import run_harness

            names = [name.strip() for name in harness.split(",") if name.strip()]
            run_harness(out, models, names, include, (count, tokens), arithmetic, kept)
        else:
            asked = ask(out, file, allow_code, count)
            open_one = partial(open_taker, how=arithmetic, asked=(chat, tokens, together))
            said = {"tokens": tokens, "chat": chat, "mode": mode.value, "together": together}
            take(out, list(map(open_one, models)), asked, (said, run, kept), how)
        if report and kept:
            write_report(out, [kept], report)
    if run:
        out.note(f"wrote {run}")


@dataclass(frozen=True)
class Asked:
    """The tasks of a file that are asked, and what of it is not."""

    tasks: "list[Task]"
    bad: "list[BadTask]"
    refused: list[str]  # they run code, which is not allowed


def ask(out: Output, file: str, allow_code: bool, count: int | None) -> Asked:
    """Read a task file, and say which of its lines are left out."""
    from zeropoint.metrics.tasks.run import allowed_tasks
    from zeropoint.metrics.tasks.task_file import read_tasks

    read, bad = read_tasks(file)
    for line in bad[:SHOWN]:
        out.warn(f"{file}: line {line.line} is no task and is left out: {line.reason}")
    if len(bad) > SHOWN:
        out.warn(f"{file}: {len(bad) - SHOWN} more lines are no tasks and are left out")
    asked = allowed_tasks(read, code=allow_code)[:count]
    refused = [task.id for task in read if task.kind == "code"] if not allow_code else []
    if refused:
        some = "1 task runs" if len(refused) == 1 else f"{len(refused)} tasks run"
        out.warn(f"code is not allowed: {some} it, left out; --allow-code runs it without powers")
    if any(task.kind == "code" for task in asked):
        check_containment()
    return Asked(asked, bad, refused)


def take(
    out: Output,
    takers: "Sequence[Taker]",
    asked: Asked,
    kept: tuple[dict[str, Any], Path | None, Path | None],
    how: ProgressStyle,
) -> None:
    """Let all models answer, sum up and print; `kept`: the settings, the run wanted, the folder."""
    from zeropoint.metrics.tasks.run import start_run, task_figures
    from zeropoint.results.tasks import TasksResult

    said, run, path = kept
    folder = start_run(path, [t.side for t in takers], asked.tasks, said) if path else None
    for place, taker in enumerate(takers):
        answer(out, taker, asked.tasks, (folder, place, run), how)
    found = TasksResult(
        tasks=len(asked.tasks),
        bad_lines=tuple(asked.bad),
        left_out=tuple(asked.refused),
        models=tuple(task_figures(takers, asked.tasks)),
    )
    if folder:
        folder.save_table("tasks", [vars(task) for task in asked.tasks])
        folder.finish(found)
    show(out, found.models)
    out.finish("tasks", found.to_json())


def check_containment() -> None:
    """Refuse before any model is loaded where code cannot be contained."""
    from zeropoint.metrics.tasks.sandbox.parent import run_python

    run_python("", "")


def open_taker(
    path: Path, how: tuple[str, int | None], asked: tuple[bool | None, int, int]
) -> "Taker":
    """Load a model that is to answer tasks."""
    from zeropoint.checkpoints import open_model
    from zeropoint.cli.generation import as_mode
    from zeropoint.metrics.divergence.compatibility import describe
    from zeropoint.metrics.generation.prompts import encode_prompts
    from zeropoint.metrics.tasks.evaluate import Asking
    from zeropoint.metrics.tasks.run import Taker
    from zeropoint.models import has_template, load_model

    source = open_model(path)
    model = load_model(source, mode=as_mode(how[0]), threads=how[1])
    chat = has_template(source) if asked[0] is None else asked[0]
    encode = partial(encode_prompts, source, model, chat=chat)
    return Taker(describe(source), model, Asking(encode, chat, asked[1], asked[2]))


def answer(
    out: Output,
    taker: "Taker",
    asked: "Sequence[Task]",
    kept: tuple[Any, int, Path | None],
    how: ProgressStyle,
) -> None:
    """Let one model answer; an interrupted run says where it goes on."""
    from zeropoint.metrics.tasks.run import take_tasks

    out.note(f"{taker.side.name}: {in_bytes(taker.side.file_bytes)}")
    folder, place, run = kept
    records = take_tasks(taker, asked, folder, place)
    try:
        for _ in track(records, len(asked), "answering", how, lambda found: f"{found.right} right"):
            pass
    except KeyboardInterrupt:
        if run:
            typer.echo(
                f"{run} holds {len(taker.answers)} answers of {taker.side.name}; the same "
                "command goes on from there",
                err=True,
            )
        raise


def show(out: Output, found: "Sequence[ModelTasks]") -> None:
    """Print the table and the flips."""
    out.say()
    out.table(
        ("Model", ">Size", ">Right", ">95 % interval", ">Lost", ">Won", ">Difference", ">p",
         ">Tokens per answer", ">Cut"),
        (
            (one.name, in_bytes(one.file_bytes), f"{one.right} of {one.tasks}",
             " … ".join(f"{end:.0%}" for end in one.accuracy.ends or ()),
             *(_beside(one.beside_first) if place else ("", "", "", "")),
             f"{one.tokens.mean:.1f}", f"{one.cut:.0%}")
            for place, one in enumerate(found)
        ),
    )  # fmt: skip
    kinds = found[0].by_kind
    if len(kinds) > 1:
        out.say()
        out.table(
            ("Right by kind", *(f">{kind}" for kind in kinds)),
            (
                (one.name, *(f"{kind.right} of {kind.tasks}" for kind in one.by_kind.values()))
                for one in found
            ),
        )
    for one in found[1:]:
        for word, names in (("lost", one.beside_first.lost), ("won", one.beside_first.won)):
            if names:
                more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
                out.say(f"{one.name} {word}: {', '.join(names[:SHOWN])}{more}")
    if len(found) > 1:
        out.say("Lost and won: tasks that only the first, or only this model answers rightly; p: "
                "exact McNemar test")  # fmt: skip


def _beside(found: "TaskFlips") -> tuple[str, str, str, str]:
    return (
        str(len(found.lost)),
        str(len(found.won)),
        spread(found.difference, "+.0%"),
        f"{found.p:.2g}",
    )
