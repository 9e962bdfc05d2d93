"""Streams what models generate to a terminal or a pipe."""

import resource
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from zeropoint.checkpoints import open_model
from zeropoint.cli.output import Output, ProgressStyle, console
from zeropoint.cli.progress import track
from zeropoint.models import (
    Conversation,
    Finished,
    Mode,
    PromptRead,
    Sampling,
    Token,
    encode_chat,
    generate,
    has_template,
    load_model,
    room_for,
)

if TYPE_CHECKING:
    from rich.table import Table

LONG = 512  # tokens of a prompt whose reading shows progress


@dataclass(frozen=True)
class Job:
    """What to generate."""

    tokens: int
    sampling: Sampling
    chat: bool | None  # None: if there is a template
    system: str | None
    context: int | None
    device: str = "cpu"


@dataclass
class Result:
    """What one model generated."""

    model: str
    prompt_ids: list[int]
    ids: list[int] = field(default_factory=list)
    text: str = ""
    finished: Finished | None = None


class Runner:
    """One model and what it says."""

    def __init__(self, name: str, job: Job, mode: str, threads: int | None) -> None:
        self.job = job
        self.name = name
        self.checkpoint = open_model(name)
        self.model = load_model(
            self.checkpoint,
            mode=as_mode(mode),
            threads=threads,
            engine="compiled" if job.device == "cpu" else "torch",
            device=job.device,
        )
        self.result = Result(name, [])

    @property
    def chats(self) -> bool:
        """Whether the prompt is a message and not the beginning of a text."""
        return has_template(self.checkpoint) if self.job.chat is None else self.job.chat

    def records(self, prompt: str, progress: ProgressStyle = ProgressStyle.none) -> Iterator[Token]:
        """Generate; tokens are yielded and gathered in `result`."""
        tokenizer = self.model.tokenizer
        if self.chats:
            messages = [{"role": "user", "content": prompt}]
            if self.job.system:
                messages.insert(0, {"role": "system", "content": self.job.system})
            ids = encode_chat(self.checkpoint, tokenizer, messages)
        else:
            ids = tokenizer.encode(prompt, ends=True)
            if tokenizer.adds_eos:
                ids.pop()
        result = self.result = Result(self.name, ids)
        cache = room_for(self.model, len(ids), self.job.tokens, self.job.context)
        steps = generate(
            self.model, ids, limit=self.job.tokens, sampling=self.job.sampling, cache=cache
        )
        how = progress if len(ids) > LONG else ProgressStyle.none
        for _ in track(prompt_of(steps), len(ids), "Reading the prompt", how):
            pass
        for record in steps:
            if isinstance(record, Token):
                result.ids.append(record.id)
                result.text += record.text
                yield record
            elif isinstance(record, Finished):
                result.text += record.text
                result.finished = record

    def stream(self, prompt: str, out: Output) -> Result:
        """Generate and print the text as it comes."""
        try:
            for record in self.records(
                prompt, ProgressStyle.none if out.quiet else ProgressStyle.auto
            ):
                if not out.as_json:
                    write(record.text)
        except KeyboardInterrupt:
            if not out.as_json:
                write("\n")  # what follows stands on a line of its own
            raise
        if not out.as_json:
            write(self.result.finished.text + "\n" if self.result.finished else "\n")
        return self.result

    def speed(self) -> str:
        """Say how fast it went."""
        done = self.result.finished
        return "" if done is None else speed(done)


def prompt_of(steps: Iterator[PromptRead | Token | Finished]) -> Iterator[PromptRead]:
    """Yield the records of the prompt, and leave the rest in `steps`."""
    for record in steps:
        assert isinstance(record, PromptRead)
        yield record
        if record.done == record.total:
            return


def as_mode(mode: str) -> Mode:
    """Return the mode of this name."""
    return "exact" if mode == "exact" else "fast"


def speed(done: Finished) -> str:
    """Say how fast a generation was, and why it ended."""
    why = {"stop": "", "length": ", stopped by -n", "context": ", stopped: the context is full"}
    reading = done.prompt_tokens / max(done.prompt_seconds, 1e-9)
    # The first token comes out of the prompt's last logits: the others took the time.
    writing = max(done.tokens - 1, 0) / max(done.seconds, 1e-9)
    return (
        f"prompt {done.prompt_tokens} tokens, {reading:.1f} tokens/s; "
        f"generated {done.tokens} tokens, {writing:.1f} tokens/s{why[done.reason]}"
    )


def write(text: str) -> None:
    """Print a piece of generated text at once; a terminal gets no control characters."""
    if sys.stdout.isatty():
        text = "".join(c for c in text if c.isprintable() or c in "\n\t")
    sys.stdout.write(text)
    sys.stdout.flush()


def side_by_side(runners: list[Runner], prompt: str, out: Output) -> list[Result]:
    """Generate with two models: in columns on a terminal, one after the other elsewhere."""
    if sys.stdout.isatty() and not out.as_json:
        return in_columns(runners, prompt)
    return in_blocks(runners, prompt, out)


def in_blocks(runners: list[Runner], prompt: str, out: Output) -> list[Result]:
    """Generate one after the other, and say where they part."""
    results = []
    for runner in runners:
        out.say(f"== {runner.name}")
        results.append(runner.stream(prompt, out))
    out.say(difference(results[0], results[1]))
    return results


def in_columns(runners: list[Runner], prompt: str) -> list[Result]:
    """Generate side by side, token by token; what follows the first difference is bold."""
    from rich.live import Live

    streams = [runner.records(prompt) for runner in runners]
    with Live(console=console(sys.stdout), auto_refresh=False, vertical_overflow="visible") as live:
        while True:
            going = [next(stream, None) is not None for stream in streams]
            live.update(columns([runner.result for runner in runners]), refresh=True)
            if not any(going):
                break
    results = [runner.result for runner in runners]
    console(sys.stdout).print(difference(results[0], results[1]))
    return results


def columns(results: list[Result]) -> "Table":
    """Return a table of two texts, the common part plain and the rest bold."""
    from rich.table import Table
    from rich.text import Text

    same = common(results[0].text, results[1].text)
    grid = Table(box=None, padding=(0, 2, 0, 0), expand=True)
    for result in results:
        grid.add_column(Text(Path(result.model).name), ratio=1)
    cells = []
    for result in results:
        shown = "".join(c for c in result.text if c.isprintable() or c in "\n\t")
        cells.append(Text(shown[:same]) + Text(shown[same:], style="bold"))
    grid.add_row(*cells)
    return grid


def common(first: str, second: str) -> int:
    """Return how many characters two texts begin with in common.

    >>> common("abc", "abd")
    2
    """
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count


def first_difference(one: Result, other: Result) -> int | None:
    """Return the first generated token that differs, counted from 0; None if none does."""
    for step, (first, second) in enumerate(zip(one.ids, other.ids, strict=False)):
        if first != second:
            return step
    return None if len(one.ids) == len(other.ids) else min(len(one.ids), len(other.ids))


def difference(one: Result, other: Result) -> str:
    """Say where two generations part."""
    step = first_difference(one, other)
    if step is None:
        return f"No difference in {len(one.ids)} tokens."
    at = common(one.text, other.text)
    parts = " / ".join(repr(result.text[at : at + 24]) for result in (one, other))
    return f"First difference at token {step + 1}: {parts}"


def summary(results: list[Result], seed: int) -> dict[str, object]:
    """Return what `--json` prints."""
    facts = [as_facts(result) for result in results]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found: dict[str, object] = {**facts[0], "seed": seed, "peak_memory_bytes": peak}
    if len(results) == 2:
        found["vs"] = facts[1]
        found["first_difference"] = first_difference(results[0], results[1])
    return found


def as_facts(result: Result) -> Mapping[str, object]:
    """Return one model's part of `--json`."""
    done = result.finished
    facts: dict[str, object] = {"model": result.model, "text": result.text, "tokens": result.ids}
    if done is not None:
        facts |= {
            "prompt_tokens": done.prompt_tokens,
            "generated_tokens": done.tokens,
            "stopped_by": done.reason,
            "prompt_tokens_per_second": done.prompt_tokens / max(done.prompt_seconds, 1e-9),
            "generation_tokens_per_second": max(done.tokens - 1, 0) / max(done.seconds, 1e-9),
        }
    return facts


def chat_with(runner: Runner, out: Output) -> None:
    """Talk on a terminal until Ctrl-D; Ctrl-C stops an answer."""
    job = runner.job
    talk = Conversation(runner.checkpoint, runner.model, system=job.system, context=job.context)
    out.note("Type a message; Ctrl-C stops an answer, Ctrl-D ends the conversation.")
    while True:
        try:
            text = input("> ")
        except (EOFError, KeyboardInterrupt):
            out.say()
            return
        if not text.strip():
            continue
        try:
            for record in talk.say(text, limit=job.tokens, sampling=job.sampling):
                if isinstance(record, PromptRead):
                    continue
                write(record.text)
                if isinstance(record, Finished):
                    write("\n")
                    out.note(speed(record))
        except KeyboardInterrupt:
            write("\n")
