"""Data of the page about long runs: `drift`, `tasks`, and `compare` without --ref.

The texts side by side and the answers to tasks are cut to the limits of a page; a figure shows how
many were left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zeropoint.errors import printable
from zeropoint.metrics.generation.divergence_point import pair_rules
from zeropoint.results.drift import (
    DriftResult,
    FreeRun,
    TextPair,
    TextsCompared,
)
from zeropoint.results.run_store import damaged
from zeropoint.results.runs import Run, results_of_type
from zeropoint.results.tasks import (
    AcrossResult,
    Answer,
    HarnessResult,
    ModelCompared,
    ModelTasks,
    TaskAsked,
    TasksResult,
)
from zeropoint.studio.data.page_data import PageData
from zeropoint.studio.data.steps_shown import (
    MAX_ANSWER_CHARACTERS,
    AnsweredTask,
    ChainsShown,
    DecodingModeShown,
    DriftShown,
    LongRunEvidence,
    ScoresShown,
    SurvivalCurve,
    TasksShown,
)

MAX_SHOWN_TOKENS = 120_000  # of texts side by side, of all runs together
MAX_SHOWN_CHARACTERS = 1_000_000  # of answers to tasks, of all runs together

LONG_RUN_VERBS = ("drift", "tasks", "across")


def steps_of(runs: Sequence[Run]) -> LongRunEvidence:
    """Return the long-run results (drift, chains, tasks and scores) of these runs."""
    evidence = LongRunEvidence()
    followed = results_of_type(runs, DriftResult)
    for place, run in enumerate(runs):
        result = run.result
        if isinstance(result, DriftResult):
            each = MAX_SHOWN_TOKENS // len(followed)
            evidence.drifts.append(_drift(run, result, str(place), each))
            if result.chains:
                names = run.quant.name, run.reference.name
                evidence.chains.append(ChainsShown(str(place), run, *names, result.chains))
        models: Sequence[ModelTasks] = ()
        if isinstance(result, AcrossResult):
            evidence.chains.extend(_chains_across(run, result, place))
            models = [one.tasks for one in _in_order(run, result) if one.tasks]
        elif isinstance(result, TasksResult):
            models = result.models
        if models:
            evidence.tasks.append(_tasks(run, models, MAX_SHOWN_CHARACTERS // len(runs)))
        if isinstance(result, HarnessResult):
            evidence.scores.append(ScoresShown(run.path.name, result.models))
    _name(evidence.drifts)
    _name(evidence.chains)
    return evidence


def _name(shown: Sequence[DriftShown | ChainsShown]) -> None:
    """Give each quantized model a title and a short label, both unique."""
    names = [one.name for one in shown]
    runs = run_names(names, [one.run.path for one in shown])
    for one, label, of in zip(shown, short_names(names), runs, strict=True):
        one.title = f"{one.name} · {of}" if of else one.name
        one.label = of if of and len(set(names)) == 1 else f"{label} · {of}" if of else label


def short_names(names: Sequence[str]) -> list[str]:
    """Return distinct short names of files: without their common prefix and without a suffix.

    >>> short_names(["qwen-1.5b-Q4_K_M.gguf", "qwen-1.5b-Q2_K.gguf"]), short_names(["a.gguf"])
    (['Q4_K_M', 'Q2_K'], ['a'])
    """
    plain = [name.removesuffix(".gguf") for name in names]
    parts = [name.split("-") for name in plain]
    shared = 0
    while len(set(names)) > 1 and all(len(part) > shared + 1 for part in parts):
        if len({part[shared] for part in parts}) > 1:
            break
        shared += 1
    return ["-".join(part[shared:]) for part in parts]


def run_names(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Return a suffix that distinguishes runs of the same name; "" for a name that occurs once.

    >>> run_names(["a", "a", "b"], [Path("long/00-a"), Path("short/00-a"), Path("long/01-b")])
    ['long', 'short', '']
    """
    suffixes = []
    for name, path in zip(names, paths, strict=True):
        like = list(dict.fromkeys(p for n, p in zip(names, paths, strict=True) if n == name))
        depth = min(len(p.parts) for p in like)
        ends = [k for k in range(1, depth + 1) if len({p.parts[-k] for p in like}) == len(like)]
        suffixes.append(path.parts[-ends[0]] if len(like) > 1 and ends else "")
    return suffixes


def _drift(run: Run, result: DriftResult, id: str, tokens: int) -> DriftShown:
    if result.texts is None:
        unit, modes = "token", {n: way_by_token(found) for n, found in result.free_run.items()}
    else:
        unit, modes = "character", {"greedy": _by_character(result.texts)}
    return DriftShown(
        id=id,
        run=run,
        name=run.quant.name,
        reference=run.reference.name,
        unit=unit,
        prompts=result.prompts,
        modes=modes,
        texts=list(_texts(run, tokens)),
    )


def way_by_token(result: FreeRun) -> DecodingModeShown:
    """Return the curve and the figures of texts that are compared token by token."""
    curve = result.survival
    at = list(range(1, len(curve.share) + 1))
    shown = SurvivalCurve(at, [*curve.share], [*curve.low], [*curve.high], [*curve.predicted])
    return DecodingModeShown(shown, result.split, result)


def _by_character(result: TextsCompared) -> DecodingModeShown:
    """Return the figures of texts that are compared by character, without KL or flips."""
    points = result.survival_characters
    curve = SurvivalCurve(
        at=[point.characters for point in points],
        share=[point.alike.mean for point in points],
        low=[point.alike.low for point in points],
        high=[point.alike.high for point in points],
        predicted=None,
    )
    return DecodingModeShown(curve, result.split_characters, None, result.same_answer)


def _texts(run: Run, tokens: int) -> Iterator[PageData]:
    """Return the texts of a run side by side, with the KL along both, up to a token limit."""
    table = run.folder.load_records("pairs", TextPair)
    done = run.folder.chunks_done()
    left = dict.fromkeys((row.way for row in table), tokens)
    for number, row in enumerate(table):
        pieces = row.pieces
        left[row.way] -= len(left) * sum(map(len, pieces or (row.reference, row.quant)))
        if left[row.way] < 0:
            continue
        found: PageData = {
            key: getattr(row, key) for key in ("way", "prompt", "split", "met_again", "same_answer")
        }
        if pieces:
            found["pieces"] = pieces
        else:
            found["texts"] = [row.reference, row.quant]
        if pieces and number < done:
            arrays: Mapping[str, Any] = run.folder.load_chunk(number, pair_rules())
            found["kl"] = [
                arrays[f"on_{side}_kl"][:, 0].astype(np.float32) for side in ("reference", "quant")
            ]
        yield found


def _chains_across(run: Run, result: AcrossResult, place: int) -> Iterator[ChainsShown]:
    """Return the chains of every model but the first, which is the baseline."""
    for number, one in enumerate(_in_order(run, result)):
        if number and one.chains:
            first = run.inputs.models[0].name
            yield ChainsShown(f"{place}.{number}", run, one.name, first, one.chains)


def _in_order(run: Run, result: AcrossResult) -> list[ModelCompared]:
    """Return the models of `compare` as they were given: its results are ordered by memory."""
    left = list(result.results)
    found: list[ModelCompared] = []
    for side in run.inputs.models:
        like = [one for one in left if (one.name, one.file_bytes) == (side.name, side.file_bytes)]
        if not like:
            message = f"its results lack the model {printable(side.name)}"
            raise damaged(run.path / "run.json", message)
        left.remove(like[0])
        found.append(like[0])
    return found


def _tasks(run: Run, models: Sequence[ModelTasks], characters: int) -> TasksShown:
    """Return the models, and each task with all answers, up to a character limit."""
    answers = [
        {row.task: row for row in run.folder.load_records(f"answers-{place}", Answer)}
        for place in range(len(models))
    ]
    shown: list[AnsweredTask] = []
    for asked in run.folder.load_records("tasks", TaskAsked):
        for place, rows in enumerate(answers):
            if asked.id not in rows:
                message = f"it lacks the task {printable(asked.id)}"
                raise damaged(run.path / f"answers-{place}.json", message)
        given = [rows[asked.id] for rows in answers]
        characters -= len(asked.prompt) + sum(
            min(len(one.text), MAX_ANSWER_CHARACTERS) for one in given
        )
        if characters < 0:
            break
        shown.append(AnsweredTask(asked, given))
    return TasksShown(run.path.name, models, shown)
