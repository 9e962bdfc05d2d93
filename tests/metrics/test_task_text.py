"""The text of tasks: which questions are in which part, and how they become text."""

import pytest

from zeropoint.calibration.corpus import PARTS
from zeropoint.errors import MeasurementError
from zeropoint.metrics.tasks.task_file import Task, parse_task, read_tasks
from zeropoint.metrics.tasks.task_text import TASKS, split_tasks, task_corpora


def choices(count: int) -> list[Task]:
    return [
        parse_task(
            {"prompt": f"{n} + 1 =", "choices": [f"{n + 1}", f"{n + 3}"], "answer": 0}, f"{n}"
        )
        for n in range(count)
    ]


def test_each_task_is_in_one_part_whatever_the_order_of_the_file() -> None:
    tasks = choices(50)
    parts = split_tasks(tasks)
    assert [len(parts[part]) for part in PARTS] == [30, 10, 10]
    assert sorted(task.id for part in PARTS for task in parts[part]) == sorted(t.id for t in tasks)
    assert split_tasks(tasks[::-1]) == parts


def test_fewer_than_20_tasks_are_refused() -> None:
    assert len(split_tasks(choices(20))["evaluate"]) == 4
    with pytest.raises(MeasurementError, match="has 19 tasks; at least 20"):
        split_tasks(choices(19))


def test_choices_by_likelihood_are_the_prompt_with_the_right_choice() -> None:
    corpora = task_corpora({part: choices(2) for part in PARTS})
    assert corpora["select"].domains == {TASKS: "0 + 1 = 1\n\n1 + 1 = 2"}
    assert not corpora["select"].dialogues


def test_generated_answers_are_dialogues_with_the_answer_if_there_is_one() -> None:
    rows = [
        {"prompt": "What is 17 + 4?", "answer": ["21", "twenty-one"]},
        {"prompt": "Name a prime.", "regex": "2|3|5"},
        {"prompt": "Which?", "choices": ["a", "b"], "answer": 1, "by": "generation"},
    ]
    tasks = [parse_task(row, str(at)) for at, row in enumerate(rows)]
    (dialogues,) = task_corpora({"calibrate": tasks})["calibrate"].dialogues.values()
    said = [[message["content"] for message in one.messages] for one in dialogues]
    assert said[0] == ["What is 17 + 4?", "21"]
    assert said[1] == ["Name a prime."]
    assert said[2][1] == "B" and "B) b" in said[2][0]


def test_the_solution_of_a_code_task_is_its_answer() -> None:
    tasks, _ = read_tasks("python")
    (dialogues,) = task_corpora({"calibrate": tasks[:1]})["calibrate"].dialogues.values()
    answer = dialogues[0].messages[1]["content"]
    assert answer == f"```python\n{tasks[0].solution.rstrip()}\n```"
