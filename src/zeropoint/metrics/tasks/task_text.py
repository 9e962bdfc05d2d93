"""The text of tasks, to compare a model with its quantization on: questions with right answers.

The tasks are split into the parts calibrate, select and evaluate, in an order that depends on the
tasks alone, so that similar neighbours in the file are in different parts.
"""

from collections.abc import Mapping, Sequence

from zeropoint.calibration.corpus import PARTS, Corpus, Part
from zeropoint.calibration.dialogues import Dialogue, plain_text
from zeropoint.calibration.text_parts import PART_ENDS
from zeropoint.errors import MeasurementError
from zeropoint.metrics.tasks.evaluate import question
from zeropoint.metrics.tasks.task_file import LETTERS, Task, hash_tasks

TASKS = "tasks"  # the domain of their text
MIN_TASKS = 20  # so that each part has at least four


def split_tasks(tasks: Sequence[Task]) -> dict[Part, list[Task]]:
    """Return the tasks of each part: 60 %, 20 % and 20 % of them.

    Raises MeasurementError for fewer than MIN_TASKS.
    """
    if len(tasks) < MIN_TASKS:
        raise MeasurementError(
            f"the file has {len(tasks)} tasks; at least {MIN_TASKS} are needed to optimize for"
            " them, because some are kept to decide and some to measure"
        )
    ordered = sorted(tasks, key=lambda task: hash_tasks([task]))
    ends = [0] + [round(PART_ENDS[part] * len(tasks)) for part in PARTS]
    return {part: ordered[ends[at] : ends[at + 1]] for at, part in enumerate(PARTS)}


def task_corpora(parts: Mapping[Part, Sequence[Task]]) -> dict[Part, Corpus]:
    """Return the text of each part, with the one domain TASKS.

    Tasks that are answered by likelihood alone are plain text, as they are put to a model; others
    are dialogues, which the chat template of the model renders.
    """
    if all(task.by == "likelihood" for tasks in parts.values() for task in tasks):
        return {
            part: Corpus({TASKS: "\n\n".join(map(_continued, tasks))})
            for part, tasks in parts.items()
        }
    return {
        part: _as_dialogues([_dialogue(task) for task in tasks]) for part, tasks in parts.items()
    }


def _as_dialogues(dialogues: Sequence[Dialogue]) -> Corpus:
    text = "\n\n".join(map(plain_text, dialogues))
    return Corpus({TASKS: text}, dialogues={TASKS: tuple(dialogues)})


def _continued(task: Task) -> str:
    answer = _answer(task)
    return task.prompt + ("" if task.prompt[-1].isspace() else " ") + answer


def _dialogue(task: Task) -> Dialogue:
    messages = [{"role": "user", "content": question(task, chat=True)}]
    if answer := _answer(task):
        messages.append({"role": "assistant", "content": answer})
    return Dialogue(messages)


def _answer(task: Task) -> str:
    """Return a right answer; "" for a pattern, and for tests without a solution."""
    if task.kind == "choice":
        return LETTERS[task.right] if task.by == "generation" else task.choices[task.right]
    if task.kind == "code" and task.solution:
        return f"```python\n{task.solution.rstrip()}\n```"
    return task.answers[0] if task.kind == "exact" else ""
