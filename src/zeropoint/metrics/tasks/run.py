"""The verb `tasks`: several models answer the same tasks; the first model is the baseline."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zeropoint import kernels
from zeropoint.errors import MeasurementError
from zeropoint.metrics.cross_model import size_of
from zeropoint.metrics.statistics import estimate, interval, mcnemar, paired_share, wilson
from zeropoint.metrics.tasks.consequence import describe_consequence
from zeropoint.metrics.tasks.evaluate import (
    Prompting,
    TaskProgress,
    answer_by_generation,
    answer_by_likelihood,
)
from zeropoint.metrics.tasks.task_file import Task, hash_tasks
from zeropoint.models import LanguageModel
from zeropoint.results.model_identity import ModelIdentity
from zeropoint.results.run_store import RunFolder
from zeropoint.results.tasks import Answer, AnswerTokens, KindScore, ModelTasks, TaskFlips

TASKS_VERSION = 1  # bumped when a published number changes
SAVE_INTERVAL = 24  # tasks scored by likelihood between two writes of the answers


@dataclass
class TaskRunner:
    """One model that answers tasks, and its answers so far, by the task's id."""

    identity: ModelIdentity
    model: LanguageModel
    prompting: Prompting
    answers: dict[str, Answer] = field(default_factory=dict)

    def run(
        self, tasks: Sequence[Task], folder: RunFolder | None = None, place: int = 0
    ) -> Iterator[TaskProgress]:
        """Answer all tasks that are not answered yet.

        The answers are written to `answers-PLACE.json` of the run folder after each batch, and
        read from it first: stopping between two records is safe, and a second run continues.
        """
        if folder:
            self.answers |= load_answers(folder, place)
        unanswered = [task for task in tasks if task.id not in self.answers]
        yield self._progress()
        for answers in self._answer(unanswered):
            self.answers |= {answer.task: answer for answer in answers}
            if folder and answers:
                rows = [answer.to_json() for answer in self.answers.values()]
                folder.save_table(f"answers-{place}", rows)
            yield self._progress()

    def _answer(self, tasks: Sequence[Task]) -> Iterator[list[Answer]]:
        """Yield the new answers after every batch and every generated token, which may be none."""
        model, tokenizer = self.model, self.model.tokenizer
        scored = [task for task in tasks if task.by == "likelihood"]
        for at in range(0, len(scored), SAVE_INTERVAL):
            batch = scored[at : at + SAVE_INTERVAL]
            yield list(answer_by_likelihood(model, tokenizer, batch))
        generated = [task for task in tasks if task.by == "generation"]
        finished = []
        for answer in answer_by_generation(model, tokenizer, generated, self.prompting):
            if answer is not None:
                finished.append(answer)
            else:
                yield finished
                finished = []
        yield finished

    def _progress(self) -> TaskProgress:
        right = sum(answer.right for answer in self.answers.values())
        return TaskProgress(len(self.answers), right)


def allowed_tasks(tasks: Sequence[Task], *, allow_code: bool) -> list[Task]:
    """Return the tasks that may be answered: without `allow_code`, those that run no code.

    Raises MeasurementError if none is left.
    """
    allowed = [task for task in tasks if allow_code or task.kind != "code"]
    if not allowed:
        raise MeasurementError(
            f"all {len(tasks)} tasks run code that the model writes; --allow-code (in Python "
            "allow_code=True) runs it in a sandboxed process"
        )
    return allowed


def start_run(
    path: Path,
    models: Sequence[ModelIdentity],
    tasks: Sequence[Task],
    settings: Mapping[str, object],
) -> RunFolder:
    """Create the run folder `path`, or open it if it holds the same run.

    Raises CheckpointError if the folder holds another run.
    """
    inputs = {"models": [model.to_json() for model in models], "tasks": hash_tasks(tasks)}
    identity = {
        "tasks_version": TASKS_VERSION,
        "instruction_set": kernels.variant(),
        **settings,
    }
    return RunFolder.start(path, "tasks", inputs, identity)


def load_answers(run: RunFolder, place: int) -> dict[str, Answer]:
    """Return the answers of one model in a run folder, by the task's id."""
    return {answer.task: answer for answer in run.load_records(f"answers-{place}", Answer)}


def task_results(runners: Sequence[TaskRunner], tasks: Sequence[Task]) -> list[ModelTasks]:
    """Summarize each model's answers, and compare them with the first model's, the baseline.

    Accuracies have Wilson's interval. The difference of accuracies has an interval for paired
    shares, and McNemar's exact test; the number of tokens per answer has a bootstrap interval over
    tasks.
    """
    return [_summarize(runner, runners[0], tasks) for runner in runners]


def _summarize(runner: TaskRunner, baseline: TaskRunner, tasks: Sequence[Task]) -> ModelTasks:
    right = _values(runner, tasks, lambda answer: answer.right)
    baseline_right = _values(baseline, tasks, lambda answer: answer.right)
    tokens = _values(runner, tasks, lambda answer: answer.tokens)
    baseline_tokens = _values(baseline, tasks, lambda answer: answer.tokens)
    kinds: dict[str, KindScore] = {}
    for kind in dict.fromkeys(task.kind for task in tasks):
        mask = np.array([task.kind == kind for task in tasks])
        count, right_count = int(mask.sum()), int(right[mask].sum())
        kinds[kind] = KindScore(count, right_count, interval(wilson(right_count, count)))
    pairs = list(zip(tasks, baseline_right, right, strict=True))
    lost = [task.id for task, before, after in pairs if before > after]
    won = [task.id for task, before, after in pairs if before < after]
    answers = zip(_texts(runner, tasks), _texts(baseline, tasks), strict=True)
    changed = interval(wilson(sum(one != other for one, other in answers), len(tasks)))
    lost_share = interval(wilson(len(lost), len(tasks)))
    token_difference = estimate(tokens - baseline_tokens, np.ones(len(tasks)))
    return ModelTasks(
        name=runner.identity.name,
        file_bytes=runner.identity.file_bytes,
        formats=runner.identity.kind,
        **size_of(runner.model.architecture, runner.identity),
        tasks=len(tasks),
        right=int(right.sum()),
        accuracy=interval(wilson(int(right.sum()), len(tasks))),
        by_kind=kinds,
        tokens=AnswerTokens(float(tokens.mean()), interval(token_difference)),
        cut=float(1 - _values(runner, tasks, lambda answer: answer.ended).mean()),
        beside_first=TaskFlips(
            lost=tuple(lost),
            won=tuple(won),
            difference=interval(paired_share(len(lost), len(won), len(tasks))),
            p=mcnemar(len(lost), len(won)),
            changed=changed,
            lost_share=lost_share,
            consequence="" if runner is baseline else describe_consequence(changed, lost_share),
        ),
    )


def _texts(runner: TaskRunner, tasks: Sequence[Task]) -> list[str]:
    """Return the text of each answer, or the choice, in the order of the tasks."""
    return [runner.answers[task.id].text for task in tasks]


def _values(
    runner: TaskRunner, tasks: Sequence[Task], value_of: Callable[[Answer], float]
) -> NDArray[np.float64]:
    """Return (tasks,) float64: a value of each answer, in the order of the tasks."""
    return np.array([float(value_of(runner.answers[task.id])) for task in tasks])
