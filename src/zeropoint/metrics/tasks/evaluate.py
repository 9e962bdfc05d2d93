"""Puts tasks to a model, and judges its answers.

Choices are scored by their likelihood; other answers are generated greedily. A generated answer is
judged as soon as it is complete. Code that a model writes runs in a sandboxed process (`sandbox`).
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from zeropoint.formats import F32
from zeropoint.metrics.statistics import wilson
from zeropoint.metrics.tasks import user_regex
from zeropoint.metrics.tasks.likelihood import (
    ContinuationScore,
    ScoringModel,
    encode_pair,
    score_continuations,
)
from zeropoint.metrics.tasks.sandbox.parent import run_python
from zeropoint.metrics.tasks.task_file import LETTERS, Task
from zeropoint.metrics.tasks.user_regex import RegexTimeout, find_all
from zeropoint.models import (
    GREEDY,
    MAX_BATCH_SEQUENCES,
    Batch,
    CompletedText,
    Tokenizer,
    choose,
    fitting_batch_size,
    generate_batch,
    in_batches,
)
from zeropoint.results.tasks import Answer

MAX_REASON_CHARACTERS = 300


@dataclass(frozen=True)
class TaskProgress:
    """How many tasks are answered, and how many of those answers are right."""

    done: int
    right: int

    @property
    def detail(self) -> str:
        """The running score, as progress shows it."""
        return f"{self.right} right"

    @property
    def summary(self) -> str:
        """The score so far with its interval, for tasks that are interrupted."""
        rate = wilson(self.right, self.done)
        return f"{self.detail}, {rate.low:.0%} … {rate.high:.0%} (95 % interval)"


@dataclass(frozen=True)
class Prompting:
    """How tasks become prompts of one model, and how long its answers may be."""

    encode: Callable[[Sequence[str]], list[list[int]]]  # texts → token ids
    chat: bool  # whether `encode` makes chat messages of the texts
    max_tokens: int = 256  # generated for an answer, unless the task sets its own limit
    batch_size: int = MAX_BATCH_SEQUENCES  # answers that are generated at once, if their caches fit


def answer_by_likelihood(
    model: ScoringModel, tokenizer: Tokenizer, tasks: Sequence[Task]
) -> Iterator[Answer]:
    """Score every choice after its prompt; the answer is the one most likely per byte.

    An `exact` task is right if one of its answers is what greedy decoding would generate. A task
    that does not fit the model's context is wrong, and does not affect the others.
    """
    bos = tokenizer.vocabulary.bos
    prefix = [bos] if tokenizer.adds_bos and bos is not None else []
    requests, fitting = [], []
    for task in tasks:
        pairs = []
        for option in task.choices or task.answers:
            space = "" if task.prompt[-1].isspace() or option[0].isspace() else " "
            prompt, answer = encode_pair(tokenizer, task.prompt, space + option)
            pairs.append(([*prefix, *prompt], answer))
        longest = max(len(context) + len(option) for context, option in pairs)
        if longest > model.context_length:
            yield _too_long(task, "prompt and answer have", longest, model.context_length)
        else:
            fitting.append(task)
            requests += pairs
    scores = sorted(score_continuations(model, requests), key=lambda score: score.index)
    for task in fitting:
        options = task.choices or task.answers
        option_scores, scores = scores[: len(options)], scores[len(options) :]
        yield _most_likely(task, options, option_scores)


def _too_long(task: Task, subject: str, tokens: int, context: int) -> Answer:
    reason = f"{subject} {tokens} tokens; the context of the model has {context}"
    return Answer(task.id, False, "", reason, 0, False)


def _most_likely(task: Task, options: Sequence[str], scores: Sequence[ContinuationScore]) -> Answer:
    """Judge a task by the likelihoods of its options."""
    nats_per_byte = [
        score.nats / len(option.encode()) for score, option in zip(scores, options, strict=True)
    ]
    best = nats_per_byte.index(min(nats_per_byte))
    if task.kind == "choice":
        right = best == task.right
        reason = "" if right else f"the right choice is {task.choices[task.right]!r}"
    else:
        right = any(score.greedy for score in scores)
        reason = "" if right else "greedy decoding generates something else"
    tokens = sum(score.tokens for score in scores)
    return Answer(task.id, right, options[best], reason[:MAX_REASON_CHARACTERS], tokens, True)


def answer_by_generation(
    model: Batch, tokenizer: Tokenizer, tasks: Sequence[Task], prompting: Prompting
) -> Iterator[Answer | None]:
    """Generate the answers in batches; yield each one when it is judged, and None at every step.

    A task that does not fit the model's context is wrong, and does not affect the others.
    """
    texts = prompting.encode([question(task, chat=prompting.chat) for task in tasks])
    for task, ids in zip(tasks, texts, strict=True):
        if len(ids) > model.context_length:
            yield _too_long(task, "the prompt has", len(ids), model.context_length)
    fitting = [place for place, ids in enumerate(texts) if len(ids) <= model.context_length]
    prompts = [texts[place] for place in fitting]
    max_tokens = max((task.tokens or prompting.max_tokens for task in tasks), default=0)
    longest = max(map(len, prompts), default=0) + max_tokens
    for group in in_batches(prompts, fitting_batch_size(model, longest, prompting.batch_size)):
        batch = [tasks[fitting[index]] for index in group]
        limits = [task.tokens or prompting.max_tokens for task in batch]
        writers = [
            _AnswerWriter(task, tokenizer, limit, prompting.chat)
            for task, limit in zip(batch, limits, strict=True)
        ]
        for record in generate_batch(
            model,
            [prompts[index] for index in group],
            lambda index, step, logits, writers=writers: writers[index].choose(step, logits),  # type: ignore[misc]
            limit=max(limits),
            stops=tokenizer.stops,
        ):
            if isinstance(record, CompletedText):
                yield writers[record.index].answer(record)
            else:
                yield None


class _AnswerWriter:
    """Generates one answer, and stops when it is complete."""

    def __init__(self, task: Task, tokenizer: Tokenizer, limit: int, chat: bool) -> None:
        self.task = task
        self.chat = chat
        self._limit = limit
        self._tokenizer = tokenizer
        self._stream = tokenizer.stream()
        self._text = ""
        self._cut = False

    def choose(self, step: int, logits: F32) -> int | None:
        """Return the most likely token, or None if the answer is complete."""
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

    def answer(self, written: CompletedText) -> Answer:
        """Judge the generated text."""
        text = self._tokenizer.decode(written.ids)
        right, reason = judge(self.task, text, chat=self.chat)
        ended = written.reason == "stop" and not self._cut
        if not right and not ended:
            reason = f"{reason}; cut at {len(written.ids)} tokens".lstrip("; ")
        return Answer(self.task.id, right, text, reason, len(written.ids), ended)


def question(task: Task, *, chat: bool) -> str:
    """Return the prompt of a task; with `chat`, the text of a chat message."""
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
    """Return whether a generated text answers a task rightly, and if not, why."""
    match task.kind:
        case "choice":
            letters = LETTERS[: len(task.choices)]
            match = re.search(rf"^\W*([{letters}{letters.lower()}])\W*$|\b([{letters}])\b", text)
            letter = LETTERS[task.right]
            right = match is not None and (match[1] or match[2]).upper() == letter
            return right, "" if right else f"the right choice is {letter}"
        case "exact":
            lines = [line for line in text.split("\n") if line.strip()]
            candidates = {_plain(part) for part in (text, *lines[:1], *lines[-1:])}
            right = any(_plain(answer) in candidates for answer in task.answers)
            return right, "" if right else f"expected {task.answers[0]!r}"[:200]
        case "regex":
            return search(task.answers[0], text)
        case "code":
            outcome = run_python(solution(task, text, chat=chat), task.tests)
            return outcome.passed, outcome.reason


def search(pattern: str, text: str) -> tuple[bool, str]:
    """Return whether the text matches a pattern, and if not, why. A search that times out fails."""
    try:
        count, _ = find_all(pattern, text)
    except RegexTimeout:
        return False, f"the pattern was still searching after {user_regex.TIMEOUT_SECONDS:g} s"
    return count > 0, "" if count else "the text does not match the pattern"


def solution(task: Task, text: str, *, chat: bool) -> str:
    """Return the program in an answer: its code block, or the prompt with its continuation.

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
    """Return the part of a text that continues an indented block, up to the first line outside.

    >>> cut_code("    return 1\\n\\n    # more\\nprint(f())\\n")
    '    return 1\\n\\n    # more\\n'
    """
    end = re.search(r"\n(?=[^\s])", text)
    return text if end is None else text[: end.end()]


def _imports(prompt: str) -> str:
    """Return the import statements of a prompt, which answers often leave out."""
    lines = re.findall(r"^(?:import|from) .*$", prompt, re.MULTILINE)
    return "".join(f"{line}\n" for line in lines)


def _plain(text: str) -> str:
    """Return a text without case, quotes, final punctuation and repeated spaces."""
    words = " ".join(text.split()).casefold()
    return words.strip("\"'`*. !") or words
