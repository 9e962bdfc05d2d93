"""The verb `tasks`: several models at the same tasks, before and after, kept as they go."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zeropoint import kernels
from zeropoint.errors import MeasurementError
from zeropoint.metrics.cross_model import size_of
from zeropoint.metrics.divergence.compatibility import ModelIdentity
from zeropoint.metrics.statistics import estimate, interval, mcnemar, paired_share, wilson
from zeropoint.metrics.tasks.evaluate import (
    Asking,
    Progressed,
    ask_by_generation,
    ask_by_likelihood,
)
from zeropoint.metrics.tasks.task_file import Task, hash_tasks
from zeropoint.models import LanguageModel
from zeropoint.results.run_store import RunFolder
from zeropoint.results.tasks import Answer, AnswerTokens, KindScore, ModelTasks, TaskFlips

TASKS_VERSION = 1  # bumped when a published number changes
BATCH = 24  # tasks after which the answers are kept


@dataclass
class Taker:
    """A model that takes the tasks, and its answers by task."""

    side: ModelIdentity
    model: LanguageModel
    asking: Asking
    answers: dict[str, Answer] = field(default_factory=dict)


def allowed_tasks(tasks: Sequence[Task], *, code: bool) -> list[Task]:
    """Return the tasks that may be asked: those with code only where it is allowed.

    Raises MeasurementError if none is left.
    """
    kept = [task for task in tasks if code or task.kind != "code"]
    if not kept:
        raise MeasurementError(
            f"all {len(tasks)} tasks run code that the model writes; add --allow-code to run it in "
            "a process without powers"
        )
    return kept


def start_run(
    path: Path,
    sides: Sequence[ModelIdentity],
    tasks: Sequence[Task],
    settings: Mapping[str, object],
) -> RunFolder:
    """Begin the run in `path`, or go on with it if it is the same."""
    inputs = {"models": [side.to_json() for side in sides], "tasks": hash_tasks(tasks)}
    identity = {
        "tasks_version": TASKS_VERSION,
        "instruction_set": kernels.variant(),
        **settings,
    }
    return RunFolder.start(path, "tasks", inputs, identity)


def take_tasks(
    taker: Taker, tasks: Sequence[Task], run: RunFolder | None = None, place: int = 0
) -> Iterator[Progressed]:
    """Let a model answer all tasks that it has not answered yet.

    Answers are in the run folder (`answers-PLACE.json`) after each batch; stopping between two
    records is safe, and the same run goes on from there.
    """
    if run:
        taker.answers |= load_answers(run, place)
    open_tasks = [task for task in tasks if task.id not in taker.answers]
    model, tokenizer = taker.model, taker.model.tokenizer
    likely = [task for task in open_tasks if task.by == "likelihood"]
    written = [task for task in open_tasks if task.by == "generation"]
    yield _progress(taker)
    for at in range(0, len(likely), BATCH):
        for answer in ask_by_likelihood(model, tokenizer, likely[at : at + BATCH]):
            taker.answers[answer.task] = answer
        _save(taker, run, place)
        yield _progress(taker)
    unsaved = 0
    for answer_or_none in ask_by_generation(model, tokenizer, written, taker.asking):
        if answer_or_none is not None:
            taker.answers[answer_or_none.task] = answer_or_none
            unsaved += 1
        elif unsaved:
            _save(taker, run, place)
            unsaved = 0
        yield _progress(taker)
    _save(taker, run, place)


def _progress(taker: Taker) -> Progressed:
    return Progressed(len(taker.answers), sum(a.right for a in taker.answers.values()))


def _save(taker: Taker, run: RunFolder | None, place: int) -> None:
    if run:
        run.save_table(f"answers-{place}", [a.to_json() for a in taker.answers.values()])


def load_answers(run: RunFolder, place: int) -> dict[str, Answer]:
    """Return the answers that a run holds of one model."""
    return {answer.task: answer for answer in run.load_records(f"answers-{place}", Answer)}


def task_figures(takers: Sequence[Taker], tasks: Sequence[Task]) -> list[ModelTasks]:
    """Sum up each model, and compare it with the first.

    Accuracies have Wilson's interval, differences a bootstrap interval over tasks.
    """
    return [_side(taker, takers[0], tasks) for taker in takers]


def _side(taker: Taker, first: Taker, tasks: Sequence[Task]) -> ModelTasks:
    right = _numbers(taker, tasks, lambda answer: answer.right)
    before = _numbers(first, tasks, lambda answer: answer.right)
    tokens = _numbers(taker, tasks, lambda answer: answer.tokens)
    ones = np.ones(len(tasks))
    kinds: dict[str, KindScore] = {}
    for kind in dict.fromkeys(task.kind for task in tasks):
        mask = np.array([task.kind == kind for task in tasks])
        count, done = int(mask.sum()), int(right[mask].sum())
        kinds[kind] = KindScore(count, done, interval(wilson(done, count)))
    lost = [task.id for task, a, b in zip(tasks, before, right, strict=True) if a > b]
    won = [task.id for task, a, b in zip(tasks, before, right, strict=True) if a < b]
    before_tokens = _numbers(first, tasks, lambda answer: answer.tokens)
    return ModelTasks(
        name=taker.side.name,
        file_bytes=taker.side.file_bytes,
        formats=taker.side.kind,
        **size_of(taker.model.architecture, taker.side),
        tasks=len(tasks),
        right=int(right.sum()),
        accuracy=interval(wilson(int(right.sum()), len(tasks))),
        by_kind=kinds,
        tokens=AnswerTokens(float(tokens.mean()), interval(estimate(tokens - before_tokens, ones))),
        cut=float(1 - _numbers(taker, tasks, lambda answer: answer.ended).mean()),
        beside_first=TaskFlips(
            lost=tuple(lost),
            won=tuple(won),
            difference=interval(paired_share(len(lost), len(won), len(tasks))),
            p=mcnemar(len(lost), len(won)),
        ),
    )


def _numbers(taker: Taker, tasks: Sequence[Task], of: Callable[[Answer], float]) -> Any:
    return np.array([float(of(taker.answers[task.id])) for task in tasks])
