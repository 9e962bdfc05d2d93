"""Reads task files: one task per line, in JSON. Other lines are reported.

{"prompt": "The capital of France is", "choices": ["Rome", "Paris"], "answer": 1}
{"prompt": "What is 17 + 4? Answer with the number.", "answer": "21"}        (or a list)
{"prompt": "Name a prime between 20 and 30.", "regex": "\\\\b(23|29)\\\\b"}
{"prompt": "def double(x):\\n    ...", "tests": "assert double(2) == 4"}
"""

import ast
import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from zeropoint.checkpoints.files.user_files import LIST_BYTES, UTF16_MARKS, read_user_bytes
from zeropoint.errors import MeasurementError
from zeropoint.metrics.tasks.user_regex import check_pattern
from zeropoint.results.tasks import BadTask

BUILT_IN = {"python": Path(__file__).with_name("data") / "python.jsonl"}

Kind = Literal["choice", "exact", "regex", "code"]
Method = Literal["likelihood", "generation"]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # label the choices of a generated answer

_KEYS = {"id", "prompt", "choices", "answer", "regex", "tests", "by", "tokens", "solution"}


@dataclass(frozen=True)
class Task:
    """One task that a model answers."""

    id: str
    kind: Kind
    prompt: str
    by: Method
    answers: tuple[str, ...] = ()  # exact: the right answers; regex: the pattern
    choices: tuple[str, ...] = ()
    right: int = 0  # index of the right choice
    tests: str = ""  # code: Python that runs after the generated code
    tokens: int | None = None  # maximum for the answer; None: the default of the command
    solution: str = ""  # code: a program that passes the tests, to check the file with


def read_tasks(name: str) -> tuple[list[Task], list[BadTask]]:
    """Read a task file, or a built-in one ("python": small problems written for this project).

    Returns the tasks, and the lines that are not tasks with the reason. Raises MeasurementError for
    a file that cannot be read or has no tasks.
    """
    path, data = _read_file(name)
    at = 0  # offset of the line in the file, in bytes
    tasks: dict[str, Task] = {}
    bad = []
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        start, at = at, at + len(line)
        if not line.strip():
            continue
        try:
            task = parse_task(json.loads(line.decode("utf-8-sig")), f"line {number}")
            if task.id in tasks:
                raise ValueError(f"another task already has the id {task.id!r}")
            tasks[task.id] = task
        except json.JSONDecodeError as error:
            bad.append(BadTask(number, f"{error.msg} at character {error.pos + 1}"))
        except UnicodeDecodeError as error:
            bad.append(BadTask(number, f"byte {start + error.start} of the file is not UTF-8"))
        except (ValueError, RecursionError) as error:
            bad.append(BadTask(number, str(error)[:200]))
    if not tasks:
        first = f"; line {bad[0].line}: {bad[0].reason}" if bad else ""
        raise MeasurementError(f"{path}: the file has no tasks{first}")
    return list(tasks.values()), bad


def _read_file(name: str) -> tuple[Path, bytes]:
    path = Path(name)
    if not os.path.lexists(path):
        if name not in BUILT_IN:
            built_in = ", ".join(BUILT_IN)
            raise MeasurementError(
                f"{name}: no such file; built-in task files: {built_in}. Each line of a task file"
                ' is an object such as {"prompt": "2 + 2 =", "answer": "4"}'
            )
        path = BUILT_IN[name]
    data = read_user_bytes(path, LIST_BYTES, MeasurementError)
    if data.startswith(UTF16_MARKS):
        raise MeasurementError(f"{path}: the file is UTF-16; save it as UTF-8")
    return path, data


def parse_task(fields: Any, name: str) -> Task:
    """Return the task that a JSON object describes; `name` is its id if it has none.

    Raises ValueError with the reason if the object is not a task.
    """
    if not isinstance(fields, dict):
        raise ValueError("expected one JSON object per line")
    try:
        json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a text contains half a character (a lone surrogate)") from None
    unknown = sorted(set(fields) - _KEYS)
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}; known keys: {', '.join(sorted(_KEYS))}")
    prompt = fields.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError('"prompt" must be a text that is not empty')
    tokens = fields.get("tokens")
    if tokens is not None and (type(tokens) is not int or tokens < 1):
        raise ValueError('"tokens" must be a whole number of at least 1')
    shared: dict[str, Any] = {
        "id": str(fields.get("id", name)),
        "prompt": prompt,
        "tokens": tokens,
        "solution": str(fields.get("solution", "")),
    }
    by = fields.get("by", "likelihood" if "choices" in fields else "generation")
    if by not in ("likelihood", "generation"):
        raise ValueError('"by" must be "likelihood" or "generation"')
    if by == "likelihood" and ("tests" in fields or "regex" in fields):
        raise ValueError('tasks with "tests" or "regex" need "by": "generation"')
    return _kind(fields, shared | {"by": by})


def _kind(fields: dict[str, Any], shared: dict[str, Any]) -> Task:
    given = [key for key in ("choices", "regex", "tests") if key in fields]
    if len(given) > 1:
        raise ValueError(f"a task has only one of {', '.join(given)}")
    match given:
        case ["choices"]:
            return _choice(fields, shared)
        case ["regex"]:
            pattern = fields["regex"]
            try:
                check_pattern(pattern)
            except ValueError as error:
                raise ValueError(f'"regex" is not a regular expression: {error}') from None
            return Task(kind="regex", answers=(pattern,), **shared)
        case ["tests"]:
            _check_tests(fields["tests"])
            return Task(kind="code", tests=fields["tests"], **shared)
        case _:
            answer = fields.get("answer")
            answers = [answer] if isinstance(answer, str) else answer
            if not answers or not _texts(answers):
                raise ValueError(
                    'a task needs an "answer" (a text, or a list of texts), "choices", "regex" or '
                    '"tests"'
                )
            return Task(kind="exact", answers=tuple(answers), **shared)


def _check_tests(tests: object) -> None:
    """Raise ValueError for tests that are not Python, or that define functions and call none."""
    if not isinstance(tests, str) or not tests.strip():
        raise ValueError(
            '"tests" must be Python code that raises an exception if the answer is wrong'
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lines = ast.parse(tests).body
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f'"tests" is not valid Python: {error}') from None
    defining = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    if all(isinstance(line, defining) for line in lines):
        raise ValueError('"tests" only defines functions or classes; it must also call them')


def _choice(fields: dict[str, Any], shared: dict[str, Any]) -> Task:
    choices, right = fields["choices"], fields.get("answer")
    if not _texts(choices) or len(choices) < 2:
        raise ValueError('"choices" must be a list of two or more texts')
    if len(set(choices)) < len(choices):
        raise ValueError("two choices are identical")
    if shared["by"] == "generation" and len(choices) > len(LETTERS):
        raise ValueError(f"generated answers allow at most {len(LETTERS)} choices")
    if type(right) is not int or not 0 <= right < len(choices):
        raise ValueError('"answer" must be the index of the right choice, counted from 0')
    return Task(kind="choice", choices=tuple(choices), right=right, **shared)


def hash_tasks(tasks: Sequence[Task]) -> str:
    """Return the SHA-256 over all tasks, in order."""
    return hashlib.sha256(json.dumps([asdict(task) for task in tasks]).encode()).hexdigest()


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item.strip() for item in value)
