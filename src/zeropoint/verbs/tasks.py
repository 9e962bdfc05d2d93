"""`tasks`: several models answer the same tasks; the first model is the baseline."""

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from zeropoint.errors import MeasurementError
from zeropoint.metrics.generation.prompts import encode_prompts
from zeropoint.metrics.tasks.evaluate import Prompting, TaskProgress
from zeropoint.metrics.tasks.run import TaskRunner, allowed_tasks, start_run, task_results
from zeropoint.metrics.tasks.sandbox.parent import run_python
from zeropoint.metrics.tasks.task_file import Task, read_tasks
from zeropoint.models import has_template
from zeropoint.results.tasks import BadTask, TasksResult
from zeropoint.verbs.arguments import as_path
from zeropoint.verbs.default_count import MIN_COUNT, CountChoice, CountChosen, FirstTimed
from zeropoint.verbs.loaded_model import LoadedModel, ModelInput
from zeropoint.verbs.options.checks import Count
from zeropoint.verbs.options.tasks import AnswerOptions, TasksOptions
from zeropoint.verbs.records import ModelStarted, Notice, OnRecord, StageStarted, drain

MAX_NAMED_LINES = 8  # lines of a task file that get a warning of their own

TasksRecord = (
    Notice | FirstTimed | CountChosen | ModelStarted | StageStarted | TaskProgress | TasksResult
)


def tasks(
    models: ModelInput | Sequence[ModelInput],
    file: str | Path,
    *,
    allow_code: bool = False,
    count: Count = None,
    tokens: int = 256,
    chat: bool | None = None,
    batch_size: int = 48,
    mode: Literal["exact", "fast"] = "exact",
    threads: int | None = None,
    run: str | Path | None = None,
    progress: OnRecord | None = None,
) -> TasksResult:
    """Let models answer the tasks of a file, and compare each model with the first one.

    `file` is a path, or the name of a built-in file: "python". `TasksOptions` explains the options.
    Raises MeasurementError for a file without tasks, CheckpointError or UnsupportedModel for a
    model that cannot be run, and CheckpointError if `run` holds another run.
    """
    options = TasksOptions(
        allow_code=allow_code,
        count=count,
        tokens=tokens,
        chat=chat,
        batch_size=batch_size,
        mode=mode,
        threads=threads,
        run=as_path(run),
    )
    several = [models] if not isinstance(models, Sequence) or isinstance(models, str) else models
    return drain(tasks_records(several, file, options), TasksResult, progress)


def tasks_records(
    models: Sequence[ModelInput], file: str | Path, options: TasksOptions
) -> Iterator[TasksRecord]:
    """Run `tasks`; yield progress records, and the result last.

    Stopping between two records is safe: the same run continues after the last batch of answers.
    """
    if not models:
        raise MeasurementError("there is no model to evaluate; name at least one")
    choice = CountChoice("tasks", options.count, options.run)
    selection = select_tasks(file, allow_code=options.allow_code, count=choice.limit)
    yield from selection.notices()
    runners = [open_task_runner(model, options) for model in models]
    available, seconds = len(selection.tasks), None
    if choice.needs_time(available):
        yield FirstTimed(choice.unit, available)
        seconds = len(runners) * (yield from _time_tasks(runners[0], selection.tasks))
    chosen = choice.choose(available, seconds)
    if chosen:
        selection = replace(selection, tasks=selection.tasks[: chosen.chosen.count])
        yield chosen
    folder = None
    if options.run:
        identities = [runner.identity for runner in runners]
        folder = start_run(options.run, identities, selection.tasks, _settings(options))
        if chosen:
            chosen.chosen.save(folder)
    for place, runner in enumerate(runners):
        yield ModelStarted(runner.identity)
        yield StageStarted("answering", len(selection.tasks), "tasks")
        yield from runner.run(selection.tasks, folder, place)
    result = TasksResult(
        tasks=len(selection.tasks),
        bad_lines=selection.bad_lines,
        left_out=selection.left_out,
        models=tuple(task_results(runners, selection.tasks)),
        chosen_count=chosen.chosen if chosen else None,
    )
    if folder:
        folder.save_table("tasks", [vars(task) for task in selection.tasks])
        folder.finish(result)
    yield result


def _time_tasks(
    runner: TaskRunner, tasks: Sequence[Task]
) -> Generator[StageStarted | TaskProgress, None, float]:
    """Let a model answer the first tasks, and return the seconds that one of them took.

    The answers are kept: in exact arithmetic they do not depend on the batch.
    """
    first = tasks[:MIN_COUNT]
    started = time.perf_counter()
    yield StageStarted("answering the first tasks", len(first), "tasks")
    yield from runner.run(first)
    if runner.model.mode != "exact":
        runner.answers.clear()
    return (time.perf_counter() - started) / len(first)


@dataclass(frozen=True)
class TaskSelection:
    """The tasks of a file that are put to the models, and what of the file is left out."""

    file: str
    tasks: list[Task]
    bad_lines: tuple[BadTask, ...]
    left_out: tuple[str, ...]  # ids of tasks that run code, which is not allowed

    def notices(self) -> Iterator[Notice]:
        """Yield a warning for everything that is left out."""
        for line in self.bad_lines[:MAX_NAMED_LINES]:
            yield Notice(f"{self.file}: line {line.line} is left out: {line.reason}")
        more = len(self.bad_lines) - MAX_NAMED_LINES
        if more > 0:
            yield Notice(f"{self.file}: {more} more lines are not tasks and are left out")
        if self.left_out:
            count = len(self.left_out)
            subject = "1 task runs" if count == 1 else f"{count} tasks run"
            yield Notice(
                f"{subject} code that the model writes, and is left out; --allow-code (in Python "
                "allow_code=True) runs it in a sandboxed process"
            )


def select_tasks(
    file: str | Path, *, allow_code: bool = False, count: int | None = None
) -> TaskSelection:
    """Read a task file, and choose the tasks that may be answered.

    Raises MeasurementError for a file without tasks, and where `allow_code` is set but the machine
    cannot run code in a sandbox.
    """
    all_tasks, bad_lines = read_tasks(str(file))
    tasks = allowed_tasks(all_tasks, allow_code=allow_code)[:count]
    left_out = [task.id for task in all_tasks if task.kind == "code" and not allow_code]
    if any(task.kind == "code" for task in tasks):
        run_python("", "")  # fails now, before a model is loaded, if there is no sandbox
    return TaskSelection(str(file), tasks, tuple(bad_lines), tuple(left_out))


def open_task_runner(model: ModelInput, options: AnswerOptions) -> TaskRunner:
    """Load a model that is to answer tasks."""
    loaded = LoadedModel.open(model, mode=options.mode, threads=options.threads)
    chat = has_template(loaded.checkpoint) if options.chat is None else options.chat
    encode = partial(encode_prompts, loaded.checkpoint, loaded.model, chat=chat)
    prompting = Prompting(encode, chat, options.tokens, options.batch_size)
    return TaskRunner(loaded.identity, loaded.model, prompting)


def _settings(options: TasksOptions) -> dict[str, Any]:
    """Return the settings that distinguish runs, by their names in run.json."""
    return {
        "tokens": options.tokens,
        "chat": options.chat,
        "mode": options.mode,
        "together": options.batch_size,
    }
