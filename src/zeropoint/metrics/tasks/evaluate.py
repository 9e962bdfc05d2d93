"""A model at its user's own tasks: asked, answered, judged.

Choices are scored by likelihood, the rest by what the model writes, greedily. What is written is
judged as soon as it is there; code runs in a process that can do no harm (`sandbox`).
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from zeropoint.formats import F32
from zeropoint.metrics.tasks import user_regex as patterns
from zeropoint.metrics.tasks.likelihood import Likelihood, Reader, encode_pair, likelihoods
from zeropoint.metrics.tasks.sandbox.parent import run_python
from zeropoint.metrics.tasks.task_file import LETTERS, Task
from zeropoint.metrics.tasks.user_regex import NeverEnds, find_all
from zeropoint.models import (
    GREEDY,
    TOGETHER,
    Batch,
    Tokenizer,
    Written,
    at_once,
    choose,
    generate_together,
    in_batches,
)
from zeropoint.results.tasks import Answer

Encode = Callable[[Sequence[str]], list[list[int]]]


@dataclass(frozen=True)
class Progressed:
    """So many tasks are answered, `right` of them rightly."""

    done: int
    right: int


@dataclass(frozen=True)
class Asking:
    """How tasks are put to a model."""

    encode: Encode  # texts as the model is asked: messages, or beginnings
    chat: bool  # they are messages
    tokens: int = 256  # generated for an answer, at most
    together: int = TOGETHER


def ask_by_likelihood(
    model: Reader, tokenizer: Tokenizer, tasks: Sequence[Task]
) -> Iterator[Answer]:
    """Score every choice after its prompt; the likeliest per byte is the answer.

    An `exact` task by likelihood is right if its answer is what the model would write. A task that
    does not fit the model's context is wrong, and costs the others nothing.
    """
    bos = tokenizer.vocabulary.bos
    begin = [bos] if tokenizer.adds_bos and bos is not None else []
    requests, fitting = [], []
    for task in tasks:
        pairs = []
        for option in task.choices or task.answers:
            space = "" if task.prompt[-1].isspace() or option[0].isspace() else " "
            prompt, answer = encode_pair(tokenizer, task.prompt, space + option)
            pairs.append(([*begin, *prompt], answer))
        longest = max(len(context) + len(option) for context, option in pairs)
        if longest > model.context_length:
            reason = f"prompt and answer have {longest} tokens"
            room = f"the context room for {model.context_length}"
            yield Answer(task.id, False, "", f"{reason}, {room}", 0, False)
        else:
            fitting.append(task)
            requests += pairs
    found = sorted(likelihoods(model, requests), key=lambda one: one.index)
    for task in fitting:
        options = task.choices or task.answers
        mine, found = found[: len(options)], found[len(options) :]
        yield _likeliest(task, options, mine)


def _likeliest(task: Task, options: Sequence[str], found: Sequence[Likelihood]) -> Answer:
    """Judge a task by what the model says of its options."""
    costs = [one.nats / len(o.encode()) for one, o in zip(found, options, strict=True)]
    taken = costs.index(min(costs))
    if task.kind == "choice":
        right = taken == task.right
        reason = "" if right else f"the right one is {task.choices[task.right]!r}"
    else:
        right = any(one.greedy for one in found)
        reason = "" if right else "it would write something else"
    tokens = sum(one.tokens for one in found)
    return Answer(task.id, right, options[taken], reason[:300], tokens, True)


def ask_by_generation(
    model: Batch, tokenizer: Tokenizer, tasks: Sequence[Task], asking: Asking
) -> Iterator[Answer | None]:
    """Let the model write; yields each answer when it is judged, and None after every step.

    A task that does not fit the model's context is wrong, and costs the others nothing.
    """
    texts = asking.encode([question(task, chat=asking.chat) for task in tasks])
    room = model.context_length
    for task, ids in zip(tasks, texts, strict=True):
        if len(ids) > room:
            reason = f"the prompt has {len(ids)} tokens, the context room for {room}"
            yield Answer(task.id, False, "", reason, 0, False)
    fitting = [place for place, ids in enumerate(texts) if len(ids) <= room]
    prompts = [texts[place] for place in fitting]
    written = max((task.tokens or asking.tokens for task in tasks), default=0)
    longest = max(map(len, prompts), default=0) + written
    for group in in_batches(prompts, at_once(model, longest, asking.together)):
        seated = [tasks[fitting[index]] for index in group]
        limits = [task.tokens or asking.tokens for task in seated]
        writers = [
            _Writer(task, tokenizer, limit, asking.chat)
            for task, limit in zip(seated, limits, strict=True)
        ]
        for record in generate_together(
            model,
            [prompts[index] for index in group],
            lambda index, step, logits, writers=writers: writers[index].choose(step, logits),  # type: ignore[misc]
            limit=max(limits),
            stops=tokenizer.stops,
        ):
            if isinstance(record, Written):
                yield writers[record.index].answer(record)
            else:
                yield None


class _Writer:
    """Writes one answer, no further than is needed."""

    def __init__(self, task: Task, tokenizer: Tokenizer, limit: int, chat: bool) -> None:
        self.task = task
        self.chat = chat
        self._limit = limit
        self._tokenizer = tokenizer
        self._stream = tokenizer.stream()
        self._text = ""
        self._cut = False

    def choose(self, step: int, logits: F32) -> int | None:
        """Return the best token, or None where the answer is complete."""
        if step >= self._limit:
            self._cut = True
            return None
        token = choose(logits, GREEDY, step)
        self._text += self._stream.push(token)
        if self.chat:
            return token
        if self.task.kind == "code":
            return None if cut_code(self._text) != self._text else token
        complete = self.task.kind != "regex" and "\n" in self._text.lstrip()
        return None if complete else token

    def answer(self, written: Written) -> Answer:
        """Judge what was written."""
        text = self._tokenizer.decode(written.ids)
        right, reason = judge(self.task, text, chat=self.chat)
        ended = written.reason == "stop" and not self._cut
        if not right and not ended:
            reason = f"{reason}; cut at {len(written.ids)} tokens".lstrip("; ")
        return Answer(self.task.id, right, text, reason, len(written.ids), ended)


def question(task: Task, *, chat: bool) -> str:
    """Return a task as it is put to a model."""
    if task.kind == "choice":
        options = "\n".join(f"{LETTERS[i]}) {c}" for i, c in enumerate(task.choices))
        return f"{task.prompt}\n\n{options}\n\nThe letter of the right answer is" + (
            " (answer with the letter only):" if chat else ""
        )
    if task.kind == "code" and chat:
        return (
            "Complete this Python function. Answer with the whole function in one Python code "
            f"block, and nothing else.\n\n```python\n{task.prompt.rstrip()}\n```"
        )
    return task.prompt


def judge(task: Task, text: str, *, chat: bool) -> tuple[bool, str]:
    """Tell whether a text answers a task, and if not, why."""
    match task.kind:
        case "choice":
            letters = LETTERS[: len(task.choices)]
            found = re.search(rf"^\W*([{letters}{letters.lower()}])\W*$|\b([{letters}])\b", text)
            letter = LETTERS[task.right]
            right = found is not None and (found[1] or found[2]).upper() == letter
            return right, "" if right else f"the right one is {letter}"
        case "exact":
            lines = [line for line in text.split("\n") if line.strip()]
            said = {_plain(part) for part in (text, *lines[:1], *lines[-1:])}
            right = any(_plain(answer) in said for answer in task.answers)
            return right, "" if right else f"expected {task.answers[0]!r}"[:200]
        case "regex":
            return search(task.answers[0], text)
        case "code":
            done = run_python(solution(task, text, chat=chat), task.tests)
            return done.passed, done.reason


def search(pattern: str, text: str) -> tuple[bool, str]:
    """Look for a pattern; one that never ends is not found."""
    try:
        count, _ = find_all(pattern, text)
    except NeverEnds:
        return False, f"the pattern was still searching after {patterns.SECONDS:g} s"
    return count > 0, "" if count else "the pattern is not in it"


def solution(task: Task, text: str, *, chat: bool) -> str:
    """Return the program in an answer: its code block, or the prompt and what continues it.

    >>> task = Task("t", "code", "def f(x):", "generation")
    >>> solution(task, "Sure:\\n```python\\ndef f(x):\\n    return x\\n```\\nDone.", chat=True)
    'def f(x):\\n    return x\\n'
    """
    blocks = re.findall(r"```[a-zA-Z0-9]*[ \t]*\n(.*?)(?:\n```|\Z)", text, re.DOTALL)
    if chat and blocks:
        block: str = next((b for b in blocks if "def " in b or "class " in b), blocks[0])
        name = re.search(r"^(?:def|class) (\w+)", task.prompt, re.MULTILINE)
        if name is None or re.search(rf"^(?:def|class) {name[1]}\b", block, re.MULTILINE):
            return _imports(task.prompt) + block + "\n"
        return f"{task.prompt}\n{block}\n"
    if chat and re.search(r"^(?:def|class) ", text, re.MULTILINE):
        return _imports(task.prompt) + text
    return task.prompt + cut_code(text)


def cut_code(text: str) -> str:
    """Return what continues an indented block, up to the first line that leaves it.

    >>> cut_code("    return 1\\n\\n    # more\\nprint(f())\\n")
    '    return 1\\n\\n    # more\\n'
    """
    end = re.search(r"\n(?=[^\s])", text)
    return text if end is None else text[: end.end()]


def _imports(prompt: str) -> str:
    """Return the lines of a prompt that import something: answers leave them out."""
    lines = re.findall(r"^(?:import|from) .*$", prompt, re.MULTILINE)
    return "".join(f"{line}\n" for line in lines)


def _plain(text: str) -> str:
    words = " ".join(text.split()).casefold()
    return words.strip("\"'`*. !") or words
