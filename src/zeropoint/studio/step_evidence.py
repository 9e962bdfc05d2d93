"""What a page shows over many steps: runs of drift and tasks, and of compare without --ref.

The texts side by side and the answers to tasks are cut to what a page can hold; a figure says how
many were left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zeropoint.errors import CheckpointError
from zeropoint.metrics.drift import pair_rules
from zeropoint.studio.evidence import Figures, Run

SHOWN_TOKENS = 120_000  # of texts side by side, of all runs together
SHOWN_CHARACTERS = 1_000_000  # of answers to tasks, of all runs together
ANSWER = 4000  # characters of one answer

VERBS = ("drift", "tasks", "across")


def steps_of(runs: Sequence[Run]) -> Figures:
    """Return what runs tell over many steps, each part left out if there is none of it.

    `drifts` and `chains` have one entry for each quant, `tasks` and `scores` (lm-eval's) one for
    each run.
    """
    found: Figures = {"drifts": [], "chains": [], "tasks": [], "scores": []}
    followed = [run for run in runs if run.verb == "drift"]
    for place, run in enumerate(runs):
        if run.verb == "drift":
            each = SHOWN_TOKENS // len(followed)
            found["drifts"].append({"id": str(place), **_drift(run, each)})
            if run.results.get("chains"):
                found["chains"].append({"id": str(place), **_names(run), **run.results["chains"]})
        if run.verb == "across":
            found["chains"] += _chains_across(run, place)
        if run.verb in ("tasks", "across") and _models(run):
            found["tasks"].append(_tasks(run, SHOWN_CHARACTERS // len(runs)))
        if "harness" in run.results:
            found["scores"].append({"run": run.path.name, "models": run.results["models"]})
    for key in ("drifts", "chains"):
        paths = [runs[int(one["id"].partition(".")[0])].path for one in found[key]]
        names = [one["name"] for one in found[key]]
        for one, label, of in zip(
            found[key], short_names(names), run_names(names, paths), strict=True
        ):
            one["title"] = f"{one['name']} · {of}" if of else one["name"]
            one["label"] = of if of and len(set(names)) == 1 else f"{label} · {of}" if of else label
    return {key: entries for key, entries in found.items() if entries}


def short_names(names: Sequence[str]) -> list[str]:
    """Return what tells files apart: without what all their names begin with, and no ending.

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
    """Return what tells runs of the same name apart, "" for a name that is there once.

    >>> run_names(["a", "a", "b"], [Path("long/00-a"), Path("short/00-a"), Path("long/01-b")])
    ['long', 'short', '']
    """
    found = []
    for name, path in zip(names, paths, strict=True):
        like = list(dict.fromkeys(p for n, p in zip(names, paths, strict=True) if n == name))
        depth = min(len(p.parts) for p in like)
        ends = [k for k in range(1, depth + 1) if len({p.parts[-k] for p in like}) == len(like)]
        found.append(path.parts[-ends[0]] if len(like) > 1 and ends else "")
    return found


def _names(run: Run) -> Figures:
    return {
        "name": run.inputs["quant"]["name"],
        "reference": run.inputs["reference"]["name"],
        "run": run.path.name,
    }


def _drift(run: Run, tokens: int) -> Figures:
    found: Figures = {
        **_names(run),
        "unit": "token" if run.results.get("free_run") else "character",
        "prompts": run.results["prompts"],
        "temperature": run.settings["temperature"],
    }
    if found["unit"] == "token":
        found["ways"] = {
            name: {**way, "curve": _curve(way["survival"]), "flips": way["flips_per_token"]}
            for name, way in run.results["free_run"].items()
        }
    else:
        found["ways"] = {"greedy": _by_character(run.results["texts"])}
    found["limit"] = max(way["curve"]["at"][-1] for way in found["ways"].values())
    texts = list(_texts(run, tokens))
    written = len(found["ways"]) * found["prompts"]
    return {**found, "texts": texts, "left_out": written - len(texts) if texts else 0}


def _curve(survival: Mapping[str, Any]) -> Figures:
    return {"at": list(range(1, len(survival["share"]) + 1)), **survival}


def _by_character(found: Mapping[str, Any]) -> Figures:
    """Return the figures of texts whose tokens differ as those of others are: no KL, no flips."""
    points = found["survival_characters"]
    curve = {
        "at": [point["characters"] for point in points],
        "share": [point["mean"] for point in points],
        "low": [point["low"] for point in points],
        "high": [point["high"] for point in points],
        "predicted": None,
    }
    return {"curve": curve, "split": found["split_characters"], "same_answer": found["same_answer"]}


def _texts(run: Run, tokens: int) -> Iterator[Figures]:
    """The texts of a run side by side, with KL along both of them, up to so many tokens."""
    if not (run.path / "pairs.json").exists():
        return
    table = run.folder.load_table("pairs")
    if not isinstance(table, list):
        raise CheckpointError(run.path / "pairs.json", "is damaged; delete it to measure it again")
    done = run.folder.chunks_done()
    left = dict.fromkeys((row["way"] for row in table), tokens)
    for number, row in enumerate(table):
        pieces = [
            row[f"{side}_pieces"] for side in ("reference", "quant") if f"{side}_pieces" in row
        ]
        left[row["way"]] -= len(left) * sum(map(len, pieces or (row["reference"], row["quant"])))
        if left[row["way"]] < 0:
            continue
        found = {key: row[key] for key in ("way", "prompt", "split", "met_again", "same_answer")}
        if pieces:
            found["pieces"] = pieces
        else:
            found["texts"] = [row["reference"], row["quant"]]
        if pieces and number < done:
            arrays: Mapping[str, Any] = run.folder.load_chunk(number, pair_rules())
            found["kl"] = [
                arrays[f"on_{side}_kl"][:, 0].astype(np.float32) for side in ("reference", "quant")
            ]
        yield found


def _chains_across(run: Run, place: int) -> list[Figures]:
    """The chains of every model but the first, whose chains are what they are put beside."""
    first = run.inputs["models"][0]["name"]
    return [
        {"id": f"{place}.{number}", "name": one["name"], "reference": first, "run": run.path.name,
         **one["chains"]}
        for number, one in enumerate(_in_order(run))
        if number and one.get("chains")
    ]  # fmt: skip


def _in_order(run: Run) -> list[Figures]:
    """Return the models of `compare` as they were given: its results are ordered by memory."""
    results = list(run.results["results"])
    found: list[Figures] = []
    for side in run.inputs["models"]:
        key = side["name"], side["file_bytes"]
        named = [(one["name"], one["file_bytes"]) for one in results]
        found.append(results.pop(named.index(key)))
    return found


def _models(run: Run) -> list[Figures]:
    """Return the figures of each model at the tasks, the first one first; none for lm-eval's."""
    if run.verb == "across":
        return [one["tasks"] for one in _in_order(run) if one.get("tasks")]
    return [] if "harness" in run.results else list(run.results["models"])


def _tasks(run: Run, characters: int) -> Figures:
    """Return the models, and each task with all answers and what became of it beside the first."""
    models = _models(run)
    asked = run.folder.load_rows("tasks", dict)
    answers = [
        {row["task"]: row for row in run.folder.load_rows(f"answers-{place}", dict)}
        for place in range(len(models))
    ]
    shown: list[Figures] = []
    for task in asked:
        given = [_answer(rows[task["id"]]) for rows in answers]
        characters -= len(task["prompt"]) + sum(len(one["text"]) for one in given)
        if characters < 0:
            break
        shown.append(
            {
                **{key: task[key] for key in ("id", "kind", "prompt")},
                "answers": given,
                "outcome": [_OUTCOMES[given[0]["right"], one["right"]] for one in given],
            }
        )
    left_out = models[0]["tasks"] - len(shown)
    return {"run": run.path.name, "models": models, "tasks": shown, "left_out": left_out}


_OUTCOMES = {
    (True, True): "kept",
    (True, False): "lost",
    (False, True): "won",
    (False, False): "neither",
}


def _answer(row: Mapping[str, Any]) -> Figures:
    return {"right": bool(row["right"]), "text": row["text"][:ANSWER], "reason": row["reason"]}
