"""`compare` without --ref: different models beside each other, by memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeropoint.cli.output import Output, ProgressStyle, in_bytes
from zeropoint.cli.progress import track
from zeropoint.cli.views.drift import number, share, spread

if TYPE_CHECKING:
    from zeropoint.metrics.tasks.run import TaskRunner
    from zeropoint.results.chains import ChainsResult
    from zeropoint.results.interval import Interval
    from zeropoint.results.run_store import RunFolder
    from zeropoint.results.tasks import AcrossResult, ModelCompared, ModelTasks, TextScore


@dataclass(frozen=True)
class Across:
    """What is asked of the models."""

    text: Sequence[Path]
    windows: int | None
    tasks: str
    allow_code: bool
    chains: tuple[int, int, int | None]  # of each kind, steps, level
    context: int  # whose cache is in the memory
    tokens: int  # of an answer, at most
    chat: bool | None


def compare_across(
    out: Output,
    models: Sequence[Path],
    asked: Across,
    run: Path | None,
    shown: tuple[int | None, ProgressStyle],
) -> None:
    """Compare models that need not have the same tokenizer; `run`: the folder to keep it in."""
    from zeropoint.calibration.corpus import builtin_corpus, read_corpus
    from zeropoint.kernels import variant
    from zeropoint.metrics.cross_model import as_text_inputs, cut_windows, text_figures
    from zeropoint.metrics.tasks.task_file import hash_tasks
    from zeropoint.results.run_store import RunFolder
    from zeropoint.results.tasks import AcrossResult
    from zeropoint.verbs.options.tasks import AnswerOptions
    from zeropoint.verbs.tasks import open_task_runner, select_tasks

    threads, progress = shown
    corpus = read_corpus(asked.text) if asked.text else builtin_corpus("evaluate")
    windows = cut_windows(corpus, limit=asked.windows)
    selection = select_tasks(asked.tasks, allow_code=asked.allow_code) if asked.tasks else None
    for notice in selection.notices() if selection else ():
        out.warn(notice.message)
    tasks = selection.tasks if selection else []
    answering = AnswerOptions(chat=asked.chat, tokens=asked.tokens, threads=threads)
    runners = [open_task_runner(path, answering) for path in models]
    folder = None
    if run:
        inputs = {"models": [runner.identity.to_json() for runner in runners],
                  "text": as_text_inputs(corpus, windows), "tasks": hash_tasks(tasks)}  # fmt: skip
        settings = {"chains": asked.chains, "tokens": asked.tokens, "chat": asked.chat,
                    "instruction_set": variant()}  # fmt: skip
        folder = RunFolder.start(run, "across", inputs, settings)
    scored = sum(window.nbytes for window in windows)
    out.say(f"Text         {len(windows)} windows; {scored} bytes of them are scored")
    for runner in runners:
        out.note(f"{runner.identity.name}: {in_bytes(runner.identity.file_bytes)}")
    nats = [
        _score(runner, windows, (folder, place), progress) for place, runner in enumerate(runners)
    ]
    texts = text_figures(windows, nats)
    scores = _answer(runners, tasks, folder, progress)
    chains = _do_chains(runners, asked, folder, progress)
    found = [
        replace(
            _row(runner, asked.context, texts[place]),
            tasks=scores[place] if scores else None,
            chains=chains[place] if chains else None,
        )
        for place, runner in enumerate(runners)
    ]
    result = AcrossResult(
        context=asked.context,
        corpus=corpus.hash,
        results=tuple(sorted(found, key=lambda one: one.memory_bytes)),
        bad_lines=selection.bad_lines if selection else None,
        left_out=selection.left_out if selection else None,
    )
    if folder:
        folder.save_table("tasks", [vars(task) for task in tasks])
        folder.finish(result)
    show(out, result, runners[0].identity.name)
    out.finish("compare", result.to_json())


def _score(
    runner: "TaskRunner",
    windows: Any,
    kept: tuple["RunFolder | None", int],
    progress: ProgressStyle,
) -> list[float]:
    from zeropoint.metrics.cross_model import score_windows

    nats: list[float] = []
    records = score_windows(runner.model, windows, nats, *kept)
    label = f"reading, {runner.identity.name}"
    for _ in track(records, len(windows), label, progress,
                   lambda found: f"{found.nats_per_byte:.4f} nats per byte"):  # fmt: skip
        pass
    return nats


def _answer(
    runners: "Sequence[TaskRunner]", tasks: Any, run: "RunFolder | None", progress: ProgressStyle
) -> "list[ModelTasks]":
    from zeropoint.metrics.tasks.run import task_results

    if not tasks:
        return []
    for place, runner in enumerate(runners):
        records = runner.run(tasks, run, place)
        label = f"answering, {runner.identity.name}"
        for _ in track(records, len(tasks), label, progress, lambda one: f"{one.right} right"):
            pass
    return task_results(runners, tasks)


def _do_chains(
    runners: "Sequence[TaskRunner]", asked: Across, run: "RunFolder | None", progress: ProgressStyle
) -> "list[ChainsResult]":
    from zeropoint.metrics.chains.run import Chaining, ChainSettings, Participant

    count, steps, level = asked.chains
    if not count:
        return []
    players: list[Participant] = [Participant(t.identity.name, t.model) for t in runners]
    chaining = Chaining(ChainSettings(count, steps, level=level), players, run=run)
    for _ in track(chaining.steps(), chaining.total, "chains", progress):
        pass
    return [chaining.results(place) for place in range(len(players))]


def _row(runner: "TaskRunner", context: int, text: "TextScore") -> "ModelCompared":
    from zeropoint.metrics.cross_model import cache_bytes, size_of
    from zeropoint.results.tasks import ModelCompared

    cache = cache_bytes(runner.model.architecture, context)
    return ModelCompared(
        name=runner.identity.name,
        formats=runner.identity.kind,
        file_bytes=runner.identity.file_bytes,
        cache_bytes=cache,
        memory_bytes=runner.identity.file_bytes + cache,
        **size_of(runner.model.architecture, runner.identity),
        text=text,
    )


def show(out: Output, found: "AcrossResult", first: str) -> None:
    """Print the table, the smallest in memory first."""
    out.say()
    out.table(
        ("Model", ">Memory", ">Nats per byte", ">95 % interval", "Group", ">Tasks", ">Chains, last "
         "step"),
        (
            (one.name, in_bytes(one.memory_bytes), number(one.text.nats_per_byte),
             _interval(one.text.nats_per_byte), one.text.group, _tasks(one.tasks),
             _chains(one.chains))
            for one in found.results
        ),
    )  # fmt: skip
    out.say()
    for one in found.results:
        if one.name != first:
            out.say(f"{one.name} beside {first}: {_beside(one)}")
    out.say(f"Memory: the file and a 16-bit cache of {found.context} tokens. Models that share a "
            "letter cannot be told apart on this text.")  # fmt: skip


def _beside(one: "ModelCompared") -> str:
    parts = [f"nats per byte {spread(one.text.difference, '+.4f')}, p {one.text.p:.2g}"]
    if one.tasks:
        flips = one.tasks.beside_first
        parts.append(f"tasks {spread(flips.difference, '+.0%')}, {len(flips.lost)} lost and "
                     f"{len(flips.won)} won, p {flips.p:.2g}")  # fmt: skip
    if one.chains and one.chains.together:
        last = one.chains.together.steps[-1]
        parts.append(f"chains after the last step {spread(last.difference, '+.0%')}, "
                     f"p {last.p:.2g}")  # fmt: skip
    return "; ".join(parts)


def _interval(figure: "Interval") -> str:
    return "-" if figure.ends is None else f"{figure.ends[0]:.4f} … {figure.ends[1]:.4f}"


def _tasks(found: "ModelTasks | None") -> str:
    return "-" if found is None else f"{found.right} of {found.tasks}"


def _chains(found: "ChainsResult | None") -> str:
    if found is None:
        return "-"
    if not found.together:
        return "at floor"
    return share(found.together.quant.accuracy[-1])
