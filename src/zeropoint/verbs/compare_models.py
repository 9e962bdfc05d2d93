"""`compare` without a reference: models of any kind by the memory that they need."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from zeropoint import kernels
from zeropoint.calibration.corpus import Corpus, open_corpus
from zeropoint.metrics.chains.run import ChainRun, ChainSettings, Participant
from zeropoint.metrics.chains.session import ChainProgress
from zeropoint.metrics.cross_model import (
    ScoringWindow,
    WindowsProgress,
    compared_model,
    cut_windows,
    score_windows,
    text_scores,
)
from zeropoint.metrics.tasks.evaluate import TaskProgress
from zeropoint.metrics.tasks.run import TaskRunner, task_results
from zeropoint.metrics.tasks.task_file import Task, hash_tasks
from zeropoint.results.chains import ChainsResult
from zeropoint.results.run_store import RunFolder
from zeropoint.results.tasks import AcrossResult, ModelTasks
from zeropoint.verbs.arguments import as_paths
from zeropoint.verbs.default_count import CountChoice, CountChosen, FirstTimed, timed
from zeropoint.verbs.loaded_model import ModelInput
from zeropoint.verbs.options.compare import CompareOptions
from zeropoint.verbs.options.tasks import AnswerOptions
from zeropoint.verbs.records import ModelStarted, Notice, StageStarted
from zeropoint.verbs.tasks import open_task_runner, select_tasks


@dataclass(frozen=True)
class WindowsPrepared:
    """The text is cut into windows."""

    windows: int
    scored_bytes: int


ModelsRecord: TypeAlias = (
    Notice
    | FirstTimed
    | CountChosen
    | WindowsPrepared
    | ModelStarted
    | StageStarted
    | WindowsProgress
    | TaskProgress
    | ChainProgress
    | AcrossResult
)


def compare_models_records(
    models: Sequence[ModelInput], options: CompareOptions
) -> Iterator[ModelsRecord]:
    """Compare models that need not use the same tokens; yield records, and the result last."""
    corpus = _read_corpus(options)
    choice = CountChoice("windows", options.chunks, options.run)
    windows = cut_windows(corpus, limit=choice.limit)
    selection = None
    if options.tasks:
        selection = select_tasks(options.tasks, allow_code=options.allow_code)
        yield from selection.notices()
    tasks = selection.tasks if selection else []
    answering = AnswerOptions(tokens=options.tokens, chat=options.chat, threads=options.threads)
    runners = [open_task_runner(model, answering) for model in models]
    available, seconds = len(windows), None
    if choice.needs_time(available):
        yield FirstTimed(choice.unit, available)
        seconds = sum(_time_window(runner, windows[0]) for runner in runners)
    chosen = choice.choose(available, seconds)
    if chosen:
        windows = windows[: chosen.chosen.count]
        yield chosen
    folder = _start_run(options, runners, corpus, windows, tasks) if options.run else None
    if chosen:
        chosen.chosen.save(folder)
    yield WindowsPrepared(len(windows), sum(window.nbytes for window in windows))
    for runner in runners:
        yield ModelStarted(runner.identity)
    nats: list[list[float]] = []
    for index, runner in enumerate(runners):
        yield StageStarted(f"scoring the text, {runner.identity.name}", len(windows), "windows")
        nats.append([])
        yield from score_windows(runner.model, windows, nats[index], folder, index)
    task_scores = yield from _answer(runners, tasks, folder)
    chains = yield from _run_chains(runners, options, folder)
    context = options.memory_context
    rows = [
        replace(
            compared_model(runner.identity, runner.model.architecture, context, text),
            tasks=task_scores[index] if task_scores else None,
            chains=chains[index] if chains else None,
        )
        for index, (runner, text) in enumerate(
            zip(runners, text_scores(windows, nats), strict=True)
        )
    ]
    result = AcrossResult(
        context=context,
        corpus=corpus.hash,
        results=tuple(sorted(rows, key=lambda row: row.memory_bytes)),
        bad_lines=selection.bad_lines if selection else None,
        left_out=selection.left_out if selection else None,
        chosen_count=chosen.chosen if chosen else None,
    )
    if folder:
        folder.save_table("tasks", [vars(task) for task in tasks])
        folder.finish(result)
    yield result


def _time_window(runner: TaskRunner, window: ScoringWindow) -> float:
    """Return the seconds that a model takes for one window."""
    return timed(lambda: list(score_windows(runner.model, [window], [])))[1]


def _read_corpus(options: CompareOptions) -> Corpus:
    return open_corpus(as_paths(options.text), "evaluate")


def _start_run(
    options: CompareOptions,
    runners: Sequence[TaskRunner],
    corpus: Corpus,
    windows: Sequence[ScoringWindow],
    tasks: Sequence[Task],
) -> RunFolder:
    assert options.run is not None
    inputs = {
        "models": [runner.identity.to_json() for runner in runners],
        "text": {"corpus": corpus.hash, "windows": len(windows)},
        "tasks": hash_tasks(tasks),
    }
    settings = {
        "chains": (options.chains, options.steps, options.level),
        "tokens": options.tokens,
        "chat": options.chat,
        "instruction_set": kernels.variant(),
    }
    return RunFolder.start(options.run, "across", inputs, settings)


def _answer(
    runners: Sequence[TaskRunner], tasks: Sequence[Task], folder: RunFolder | None
) -> Generator[StageStarted | TaskProgress, None, list[ModelTasks]]:
    """Let every model answer the tasks."""
    if not tasks:
        return []
    for index, runner in enumerate(runners):
        yield StageStarted(f"answering, {runner.identity.name}", len(tasks), "tasks")
        yield from runner.run(tasks, folder, index)
    return task_results(runners, tasks)


def _run_chains(
    runners: Sequence[TaskRunner], options: CompareOptions, folder: RunFolder | None
) -> Generator[StageStarted | ChainProgress, None, list[ChainsResult]]:
    """Let every model solve the same chains."""
    if not options.chains:
        return []
    participants = [Participant(runner.identity.name, runner.model) for runner in runners]
    settings = ChainSettings(options.chains, options.steps, level=options.level)
    chaining = ChainRun(settings, participants, folder=folder)
    yield StageStarted("chains", chaining.total, "answers")
    yield from chaining.run()
    return [chaining.results(index) for index in range(len(participants))]
