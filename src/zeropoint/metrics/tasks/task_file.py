"""Task files: one task a line, in JSON; a line that is none is reported and costs nothing else.

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
By = Literal["likelihood", "generation"]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # of choices that are answered by letter

_KEYS = {"id", "prompt", "choices", "answer", "regex", "tests", "by", "tokens", "solution"}


@dataclass(frozen=True)
class Task:
    """One thing to be answered."""

    id: str
    kind: Kind
    prompt: str
    by: By
    answers: tuple[str, ...] = ()  # exact: what is right; regex: the pattern
    choices: tuple[str, ...] = ()
    right: int = 0  # of the choices
    tests: str = ""  # code: what is run after it
    tokens: int | None = None  # that may be generated; None: as the command says
    solution: str = ""  # code: one that passes, for whoever checks the file


def read_tasks(name: str) -> tuple[list[Task], list[BadTask]]:
    """Read a task file, or a built-in one (`python`: small problems written for this project).

    Returns the tasks and the lines that are none. Raises MeasurementError for a file that cannot be
    read, or has no task at all.
    """
    path, data = _read_file(name)
    at = 0  # byte of the line in the file
    tasks: dict[str, Task] = {}
    bad = []
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        start, at = at, at + len(line)
        if not line.strip():
            continue
        try:
            task = parse_task(json.loads(line.decode("utf-8-sig")), f"line {number}")
            if task.id in tasks:
                raise ValueError(f"a second task with the id {task.id!r}")
            tasks[task.id] = task
        except json.JSONDecodeError as error:
            bad.append(BadTask(number, f"{error.msg} at character {error.pos + 1}"))
        except UnicodeDecodeError as error:
            bad.append(BadTask(number, f"byte {start + error.start} of the file: not utf-8"))
        except (ValueError, RecursionError) as error:
            bad.append(BadTask(number, str(error)[:200]))
    if not tasks:
        first = f"; line {bad[0].line}: {bad[0].reason}" if bad else ""
        raise MeasurementError(f"{path}: there is no task in it{first}")
    return list(tasks.values()), bad


def _read_file(name: str) -> tuple[Path, bytes]:
    path = Path(name)
    if not os.path.lexists(path):
        if name not in BUILT_IN:
            built_in = ", ".join(BUILT_IN)
            raise MeasurementError(f"{name}: there is no such file; built in: {built_in}")
        path = BUILT_IN[name]
    data = read_user_bytes(path, LIST_BYTES, MeasurementError)
    if data.startswith(UTF16_MARKS):
        raise MeasurementError(f"{path}: byte 0: not UTF-8 text but UTF-16; save it as UTF-8")
    return path, data


def parse_task(found: Any, name: str) -> Task:
    """Return the task of a JSON object. Raises ValueError with what is wrong."""
    if not isinstance(found, dict):
        raise ValueError("expected an object, one a line")
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("half a character (a lone surrogate) in a text") from None
    strange = sorted(set(found) - _KEYS)
    if strange:
        raise ValueError(f"unknown key {strange[0]!r}; known: {', '.join(sorted(_KEYS))}")
    prompt = found.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError('expected a text "prompt"')
    tokens = found.get("tokens")
    if tokens is not None and (type(tokens) is not int or tokens < 1):
        raise ValueError('"tokens" is a whole number above 0')
    shared: dict[str, Any] = {
        "id": str(found.get("id", name)),
        "prompt": prompt,
        "tokens": tokens,
        "solution": str(found.get("solution", "")),
    }
    by = found.get("by", "likelihood" if "choices" in found else "generation")
    if by not in ("likelihood", "generation"):
        raise ValueError('"by" is "likelihood" or "generation"')
    if by == "likelihood" and ("tests" in found or "regex" in found):
        raise ValueError("code and patterns are answered by generation")
    return _kind(found, shared | {"by": by})


def _kind(found: dict[str, Any], shared: dict[str, Any]) -> Task:
    given = [key for key in ("choices", "regex", "tests") if key in found]
    if len(given) > 1:
        raise ValueError(f"a task has one of {', '.join(given)}")
    match given:
        case ["choices"]:
            return _choice(found, shared)
        case ["regex"]:
            pattern = found["regex"]
            try:
                check_pattern(pattern)
            except ValueError as error:
                raise ValueError(f'"regex" is no regular expression: {error}') from None
            return Task(kind="regex", answers=(pattern,), **shared)
        case ["tests"]:
            _check_tests(found["tests"])
            return Task(kind="code", tests=found["tests"], **shared)
        case _:
            answer = found.get("answer")
            answers = [answer] if isinstance(answer, str) else answer
            if not answers or not _texts(answers):
                raise ValueError('expected "answer" (a text or several), "choices", "regex" or '
                                 '"tests"')  # fmt: skip
            return Task(kind="exact", answers=tuple(answers), **shared)


def _check_tests(tests: object) -> None:
    """Raise ValueError for tests that are no Python, or that only define what nobody calls."""
    if not isinstance(tests, str) or not tests.strip():
        raise ValueError('"tests" is Python that raises where the code is wrong')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lines = ast.parse(tests).body
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f'"tests" are no Python: {error}') from None
    defining = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    if all(isinstance(line, defining) for line in lines):
        raise ValueError('"tests" only define; nothing in them is run (call what they define)')


def _choice(found: dict[str, Any], shared: dict[str, Any]) -> Task:
    choices, right = found["choices"], found.get("answer")
    if not _texts(choices) or len(choices) < 2:
        raise ValueError('"choices" is a list of two or more texts')
    if len(set(choices)) < len(choices):
        raise ValueError("two choices are the same")
    if shared["by"] == "generation" and len(choices) > len(LETTERS):
        raise ValueError(f"at most {len(LETTERS)} choices are answered by letter")
    if type(right) is not int or not 0 <= right < len(choices):
        raise ValueError('"answer" is the place of the right choice, from 0')
    return Task(kind="choice", choices=tuple(choices), right=right, **shared)


def hash_tasks(tasks: Sequence[Task]) -> str:
    """SHA-256 over all tasks, in order."""
    return hashlib.sha256(json.dumps([asdict(task) for task in tasks]).encode()).hexdigest()


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item.strip() for item in value)
