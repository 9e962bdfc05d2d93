"""Tasks: files with anything in them, answers that are judged, code that is contained."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from support.tiny_models import write_model
from zeropoint.checkpoints import open_checkpoint
from zeropoint.errors import MeasurementError
from zeropoint.metrics.tasks.evaluate import (
    Prompting,
    answer_by_generation,
    answer_by_likelihood,
    cut_code,
    judge,
    question,
    search,
    solution,
)
from zeropoint.metrics.tasks.likelihood import encode_pair, score_continuations
from zeropoint.metrics.tasks.sandbox.parent import run_python
from zeropoint.metrics.tasks.task_file import Task, parse_task, read_tasks
from zeropoint.models import load_model


def write(path: Path, *lines: object) -> str:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n")
    return str(path)


def test_bad_lines_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    good = {"prompt": "2 + 2 =", "answer": "4"}
    bad = [
        ("{no json", "Expecting property"),
        ([1], "expected one JSON object"),
        ({"answer": "4"}, '"prompt" must be a text'),
        ({"prompt": " ", "answer": "4"}, '"prompt" must be a text'),
        ({"prompt": "x"}, 'needs an "answer"'),
        ({"prompt": "x", "answer": []}, 'needs an "answer"'),
        ({"prompt": "x", "choices": ["a", "b"], "answer": 2}, "index of the right choice"),
        ({"prompt": "x", "choices": ["a"], "answer": 0}, "two or more"),
        ({"prompt": "x", "regex": "("}, "not a regular expression"),
        ({"prompt": "x", "tests": ""}, "Python code that raises"),
        ({"prompt": "x", "tests": "a", "regex": "b"}, "one of regex, tests"),
        ({"prompt": "x", "answr": "4"}, "unknown key 'answr'"),
        ({"prompt": "x", "answer": "4", "tokens": 0}, "at least 1"),
        ({"prompt": "x", "answer": "4", "by": "magic"}, '"by" must be'),
        ({"prompt": "x", "tests": "a", "by": "likelihood"}, 'need "by": "generation"'),
        ({"id": "line 1", "prompt": "x", "answer": "4"}, "already has the id"),
        ({"prompt": "x", "choices": ["\ud800", "b"], "answer": 0}, "half a character"),
        (
            {
                "prompt": "x",
                "choices": [*"abcdefghijklmnopqrstuvwxyz0"],
                "answer": 0,
                "by": "generation",
            },
            "at most 26",
        ),
        ({"prompt": "x", "choices": ["a", "a"], "answer": 1}, "identical"),
        ({"prompt": "x", "answer": ["a", " "]}, 'needs an "answer"'),
        ({"prompt": "x", "regex": ""}, "matches every text"),
        ({"prompt": "x", "regex": "a{99999999999}"}, "too large"),
        ({"prompt": "x", "regex": "(" * 3000 + ")" * 3000}, "nested too deeply"),
        ({"prompt": "x", "tests": "assert ("}, "not valid Python"),
        ({"prompt": "x", "tests": "def test_f():\n    assert f(1)"}, "only defines"),
    ]
    tasks, found = read_tasks(write(tmp_path / "t.jsonl", good, "", *(line for line, _ in bad)))
    assert [task.id for task in tasks] == ["line 1"]
    assert [line.line for line in found] == list(range(3, 3 + len(bad)))
    for line, (_, why) in zip(found, bad, strict=True):
        assert why in line.reason
    (tmp_path / "bytes.jsonl").write_bytes(b'{"prompt": "x", "answer": "y"}\n\xff\xfe\n')
    tasks, found = read_tasks(str(tmp_path / "bytes.jsonl"))
    assert len(tasks) == 1 and "UTF-8" in found[0].reason
    (tmp_path / "mac.jsonl").write_bytes(b'{"prompt": "x", "answer": "y"}\r' * 2)
    assert len(read_tasks(str(tmp_path / "mac.jsonl"))[0]) == 2
    (tmp_path / "wide.jsonl").write_bytes('{"prompt": "x", "answer": "y"}'.encode("utf-16"))
    with pytest.raises(MeasurementError, match="UTF-16"):
        read_tasks(str(tmp_path / "wide.jsonl"))
    with pytest.raises(MeasurementError, match="the file has no tasks; line 1: Expecting"):
        read_tasks(write(tmp_path / "none.jsonl", "nothing"))
    with pytest.raises(MeasurementError, match="built-in task files: python"):
        read_tasks(str(tmp_path / "missing.jsonl"))


def test_every_problem_that_comes_along_has_a_solution_and_tests_that_can_fail() -> None:
    tasks, bad = read_tasks("python")
    assert len(tasks) >= 50 and not bad
    assert len({task.prompt for task in tasks}) == len(tasks)
    for task in tasks:
        space: dict[str, object] = {}
        exec(task.solution + "\n" + task.tests, space)
        with pytest.raises((AssertionError, TypeError, ValueError)):
            exec(task.prompt + "    return None\n" + task.tests, {})
        assert task.solution.startswith(task.prompt)


def test_the_example_has_a_task_of_every_kind() -> None:
    tasks, bad = read_tasks(str(Path(__file__).parents[2] / "examples" / "tasks.jsonl"))
    assert not bad
    assert {(task.kind, task.by) for task in tasks} == {
        ("choice", "likelihood"),
        ("choice", "generation"),
        ("exact", "likelihood"),
        ("exact", "generation"),
        ("regex", "generation"),
        ("code", "generation"),
    }


def test_a_solution_passes_in_the_process_without_powers() -> None:
    task = next(task for task in read_tasks("python")[0] if task.id == "days_between")
    try:
        assert run_python(task.solution, task.tests).passed
    except MeasurementError as error:
        pytest.skip(str(error))
    right, _ = judge(task, task.solution[len(task.prompt) :] + "\nprint(1)", chat=False)
    assert right
    wrong, reason = judge(task, "    return 0\n", chat=False)
    assert not wrong and reason.startswith("AssertionError")


CODE = Task("t", "code", "import re\n\ndef f(x):\n    'doc'\n", "generation", tests="f(1)")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("```python\ndef f(x):\n    return 1\n```", "import re\ndef f(x):\n    return 1\n"),
        ("First:\n```\nx = 1\n```\n```py\ndef f(x): pass\n```", "import re\ndef f(x): pass\n"),
        ("```python\ndef f(x):\n    return 1", "import re\ndef f(x):\n    return 1\n"),
        ("def f(x):\n    return 2\n", "import re\ndef f(x):\n    return 2\n"),
        ("    return 3\n", "import re\n\ndef f(x):\n    'doc'\n    return 3\n"),
        ("```python\n    return 3\n```", "import re\n\ndef f(x):\n    'doc'\n\n    return 3\n"),
    ],
)
def test_the_program_of_an_answer_is_found(text: str, wanted: str) -> None:
    assert solution(CODE, text, chat=True) == wanted
    compile(wanted, "s", "exec")


def test_what_continues_a_function_ends_where_it_is_left() -> None:
    assert cut_code("    a\n\n    b\n") == "    a\n\n    b\n"
    assert cut_code("    a\ndef g(): pass") == "    a\n"
    assert cut_code("    a\n```\nSo") == "    a\n"


def test_answers_are_judged() -> None:
    exact = parse_task({"prompt": "x", "answer": ["Paris", "The city of Paris"]}, "t")
    for text in ("Paris", " paris.\n", "**Paris**", "It is clear:\n\nParis", "the city of  Paris!"):
        assert judge(exact, text, chat=True)[0], text
    assert judge(exact, "London", chat=True) == (False, "expected 'Paris'")
    assert not judge(exact, "", chat=True)[0]
    mark = parse_task({"prompt": "x", "answer": "!"}, "t")
    assert judge(mark, " !", chat=True)[0] and not judge(mark, "", chat=True)[0]
    assert not judge(mark, "?", chat=True)[0]
    letters = parse_task({"prompt": "x", "choices": ["u", "v", "w"], "answer": 1}, "t")
    assert judge(letters, " B", chat=True)[0] and judge(letters, "B) v", chat=True)[0]
    assert judge(letters, "b.", chat=True)[0] and judge(letters, "I think B", chat=True)[0]
    assert not judge(letters, "C", chat=True)[0] and not judge(letters, "", chat=True)[0]
    assert "B) v" in question(letters, chat=True)
    pattern = parse_task({"prompt": "x", "regex": r"\b(23|29)\b"}, "t")
    assert judge(pattern, "say 29.", chat=True)[0] and not judge(pattern, "290", chat=True)[0]


def test_a_task_that_does_not_fit_the_context_costs_the_others_nothing(tmp_path: Path) -> None:
    model = load_model(open_checkpoint(write_model(tmp_path / "m.gguf", columns=128)), threads=1)
    tasks = [
        parse_task({"prompt": text, "regex": ".*", "tokens": 2}, name)
        for name, text in (("long", "the rain " * 600), ("short", "the rain"))
    ]
    prompting = Prompting(
        lambda texts: [model.tokenizer.encode(text) for text in texts], chat=False
    )
    found = {a.task: a for a in answer_by_generation(model, model.tokenizer, tasks, prompting) if a}
    assert found["short"].right and found["short"].tokens == 2
    assert not found["long"].right and "the context of the model has 512" in found["long"].reason


def test_a_choice_that_does_not_fit_the_context_costs_the_others_nothing(tmp_path: Path) -> None:
    model = load_model(open_checkpoint(write_model(tmp_path / "m.gguf", columns=128)), threads=1)
    long, texts = "the rain " * 600, ["the", "rain"]
    tasks = [
        parse_task({"prompt": prompt, "choices": choices, "answer": 0}, name)
        for name, prompt, choices in (
            ("first", "the", texts), ("choice", "the", [long, "rain"]), ("prompt", long, texts),
            ("last", "rain", texts),
        )
    ]  # fmt: skip
    found = {answer.task: answer for answer in answer_by_likelihood(model, model.tokenizer, tasks)}
    for name in ("choice", "prompt"):
        assert not found[name].right and "the context of the model has 512" in found[name].reason
    for task in (tasks[0], tasks[3]):
        assert found[task.id] == next(answer_by_likelihood(model, model.tokenizer, [task]))


def test_a_text_that_follows_another_gets_no_space_of_its_own() -> None:
    class Prefixing:
        """Puts a space before what it reads; "ab" is one token."""

        def encode(self, text: str) -> list[int]:
            return [ord(letter) for letter in f" {text}".replace("ab", "\N{LATIN SMALL LETTER AE}")]

    first, second = encode_pair(Prefixing(), "x:", " y")
    assert bytes(first) == b" x:" and bytes(second) == b" y"
    assert encode_pair(Prefixing(), "xa", "by") == ([32, *b"xa"], [32, *b"by"])


def test_a_pattern_may_have_any_character() -> None:
    assert search("a\0b", "xa\0b")[0] and not search("a\0b", "ab")[0]
    assert search("ü", "grün")[0]


def test_a_pattern_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zeropoint.metrics.tasks.user_regex.TIMEOUT_SECONDS", 1.0)
    started = time.monotonic()
    right, reason = search("(a+)+$", "a" * 60 + "b")
    assert not right and "still searching" in reason
    assert time.monotonic() - started < 5


def test_likelihoods_are_those_of_reading_one_by_one(tmp_path: Path) -> None:
    model = load_model(open_checkpoint(write_model(tmp_path / "m.gguf", columns=128)), threads=1)
    random = np.random.default_rng(2)
    requests = [
        (random.integers(3, 250, 1 + 5 * n).tolist(), random.integers(3, 250, 1 + n % 3).tolist())
        for n in range(6)
    ]
    found = sorted(score_continuations(model, requests), key=lambda one: one.index)
    for one, (context, continuation) in zip(found, requests, strict=True):
        logits = model.logits([*context, *continuation])[len(context) - 1 : -1].astype(np.float64)
        logp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        wanted = -logp[np.arange(len(continuation)), continuation].sum()
        assert one.nats == pytest.approx(wanted, abs=1e-9 * len(continuation))
        assert one.greedy == (logits.argmax(1) == continuation).all()
    best = int(model.logits([5, 6])[-1].argmax())
    (one,) = score_continuations(model, [([5, 6], [best])])
    assert one.greedy
    (long,) = score_continuations(model, [([7] * 600, [8])])
    (cut,) = score_continuations(model, [([7] * 512, [8])])
    assert long.nats == cut.nats
    with pytest.raises(MeasurementError, match="nothing before"):
        list(score_continuations(model, [([], [8])]))
