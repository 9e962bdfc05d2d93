"""`compare` without --ref: different models beside each other, by memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeropoint.cli.output import Output, ProgressStyle, in_bytes
from zeropoint.cli.progress import track
from zeropoint.cli.views.drift import number, share, spread

if TYPE_CHECKING:
    from zeropoint.metrics.tasks.run import Taker
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
    from zeropoint.cli.commands.tasks import ask, open_taker
    from zeropoint.kernels import variant
    from zeropoint.metrics.cross_model import as_text_inputs, cut_windows, text_figures
    from zeropoint.metrics.tasks.task_file import hash_tasks
    from zeropoint.models import TOGETHER
    from zeropoint.results.run_store import RunFolder
    from zeropoint.results.tasks import AcrossResult

    threads, progress = shown
    corpus = read_corpus(asked.text) if asked.text else builtin_corpus("evaluate")
    windows = cut_windows(corpus, limit=asked.windows)
    questions = ask(out, asked.tasks, asked.allow_code, None) if asked.tasks else None
    tasks = questions.tasks if questions else []
    takers = [open_taker(path, ("exact", threads), (asked.chat, asked.tokens, TOGETHER))
              for path in models]  # fmt: skip
    folder = None
    if run:
        inputs = {"models": [taker.side.to_json() for taker in takers],
                  "text": as_text_inputs(corpus, windows), "tasks": hash_tasks(tasks)}  # fmt: skip
        settings = {"chains": asked.chains, "tokens": asked.tokens, "chat": asked.chat,
                    "instruction_set": variant()}  # fmt: skip
        folder = RunFolder.start(run, "across", inputs, settings)
    scored = sum(window.nbytes for window in windows)
    out.say(f"Text         {len(windows)} windows; {scored} bytes of them are scored")
    for taker in takers:
        out.note(f"{taker.side.name}: {in_bytes(taker.side.file_bytes)}")
    nats = [_score(taker, windows, (folder, place), progress) for place, taker in enumerate(takers)]
    texts = text_figures(windows, nats)
    scores = _answer(takers, tasks, folder, progress)
    chains = _do_chains(takers, asked, folder, progress)
    found = [
        replace(
            _row(taker, asked.context, texts[place]),
            tasks=scores[place] if scores else None,
            chains=chains[place] if chains else None,
        )
        for place, taker in enumerate(takers)
    ]
    result = AcrossResult(
        context=asked.context,
        corpus=corpus.hash,
        results=tuple(sorted(found, key=lambda one: one.memory_bytes)),
        bad_lines=tuple(questions.bad) if questions else None,
        left_out=tuple(questions.refused) if questions else None,
    )
    if folder:
        folder.save_table("tasks", [vars(task) for task in tasks])
        folder.finish(result)
    show(out, result, takers[0].side.name)
    out.finish("compare", result.to_json())


def _score(
    taker: "Taker", windows: Any, kept: tuple["RunFolder | None", int], progress: ProgressStyle
) -> list[float]:
    from zeropoint.metrics.cross_model import score_windows

    nats: list[float] = []
    records = score_windows(taker.model, windows, nats, *kept)
    label = f"reading, {taker.side.name}"
    for _ in track(records, len(windows), label, progress,
                   lambda found: f"{found.nats_per_byte:.4f} nats per byte"):  # fmt: skip
        pass
    return nats


def _answer(
    takers: "Sequence[Taker]", tasks: Any, run: "RunFolder | None", progress: ProgressStyle
) -> "list[ModelTasks]":
    from zeropoint.metrics.tasks.run import take_tasks, task_figures

    if not tasks:
        return []
    for place, taker in enumerate(takers):
        records = take_tasks(taker, tasks, run, place)
        label = f"answering, {taker.side.name}"
        for _ in track(records, len(tasks), label, progress, lambda one: f"{one.right} right"):
            pass
    return task_figures(takers, tasks)


def _do_chains(
    takers: "Sequence[Taker]", asked: Across, run: "RunFolder | None", progress: ProgressStyle
) -> "list[ChainsResult]":
    from zeropoint.metrics.chains.run import Chaining, ChainSettings, Participant

    count, steps, level = asked.chains
    if not count:
        return []
    players: list[Participant] = [Participant(t.side.name, t.model) for t in takers]
    chaining = Chaining(ChainSettings(count, steps, level=level), players, run=run)
    for _ in track(chaining.steps(), chaining.total, "chains", progress):
        pass
    return [chaining.results(place) for place in range(len(players))]


def _row(taker: "Taker", context: int, text: "TextScore") -> "ModelCompared":
    from zeropoint.metrics.cross_model import cache_bytes, size_of
    from zeropoint.results.tasks import ModelCompared

    cache = cache_bytes(taker.model.architecture, context)
    return ModelCompared(
        name=taker.side.name,
        formats=taker.side.kind,
        file_bytes=taker.side.file_bytes,
        cache_bytes=cache,
        memory_bytes=taker.side.file_bytes + cache,
        **size_of(taker.model.architecture, taker.side),
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
