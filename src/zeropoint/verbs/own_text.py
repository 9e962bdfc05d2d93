"""The user's own text that a search optimizes for: a folder, or tasks."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

from zeropoint.calibration.corpus import Corpus, Part
from zeropoint.calibration.text_parts import FOLDER, folder_corpora, open_parts
from zeropoint.metrics.tasks.evaluate import TaskProgress
from zeropoint.metrics.tasks.run import TaskRunner, task_results
from zeropoint.metrics.tasks.sandbox.parent import run_python
from zeropoint.metrics.tasks.task_file import Task, read_tasks
from zeropoint.metrics.tasks.task_text import TASKS, split_tasks, task_corpora
from zeropoint.models import LanguageModel
from zeropoint.results.tasks import ModelTasks
from zeropoint.verbs.arguments import as_list
from zeropoint.verbs.options.search import SearchOptions
from zeropoint.verbs.options.tasks import AnswerOptions
from zeropoint.verbs.records import Notice, StageStarted
from zeropoint.verbs.tasks import TaskSelection, open_task_runner


@dataclass(frozen=True)
class OwnText:
    """Text in three parts, of one domain, that a recipe is optimized for."""

    parts: Mapping[Part, Corpus]
    #: Tasks of the part evaluate that models may answer.
    held_out: tuple[Task, ...] = ()
    notices: tuple[Notice, ...] = ()


def own_domain(options: SearchOptions) -> str | None:
    """Return the domain that recipes are optimized for; None: all domains are."""
    if options.for_folder:
        return FOLDER
    return TASKS if options.task_file else None


def open_texts(options: SearchOptions) -> tuple[OwnText | None, dict[Part, Corpus]]:
    """Return the user's own text, and with it the three parts of all texts of a search.

    Raises what `open_own_text` and `open_parts` raise.
    """
    own = open_own_text(options)
    return own, open_parts(as_list(options.text), own.parts if own else None)


def open_own_text(options: SearchOptions) -> OwnText | None:
    """Read the folder or the tasks of the options; None if they have neither.

    Raises MeasurementError for a folder or a task file that cannot be used.
    """
    if options.for_folder:
        return OwnText(folder_corpora(options.for_folder))
    if options.task_file is None:
        return None
    tasks, bad_lines = read_tasks(options.task_file)
    parts = split_tasks(tasks)
    allowed = [one for one in parts["evaluate"] if options.allow_code or one.kind != "code"]
    left_out = [one.id for one in parts["evaluate"] if one not in allowed]
    if any(task.kind == "code" for task in allowed):
        run_python("", "")  # fails now, before a model is loaded, if there is no sandbox
    selection = TaskSelection(options.task_file, allowed, tuple(bad_lines), tuple(left_out))
    return OwnText(task_corpora(parts), tuple(allowed), tuple(selection.notices()))


@dataclass
class TaskJudge:
    """Puts held-out tasks to the reference once, and to each model that a search finds."""

    tasks: tuple[Task, ...]
    options: AnswerOptions
    _reference: TaskRunner | None = field(default=None, init=False)

    def answer(
        self, reference: LanguageModel, quant: LanguageModel
    ) -> Generator[StageStarted | TaskProgress, None, tuple[ModelTasks, ...]]:
        """Yield progress, and return the results of the reference and of the model."""
        if self._reference is None:
            self._reference = open_task_runner(reference, self.options)
            yield StageStarted("answering tasks, reference", len(self.tasks))
            yield from self._reference.run(self.tasks)
        runner = open_task_runner(quant, self.options)
        yield StageStarted("answering tasks", len(self.tasks))
        yield from runner.run(self.tasks)
        return tuple(task_results([self._reference, runner], self.tasks))
