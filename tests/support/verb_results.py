"""Every verb that leaves evidence, run on tiny models; and the structure of the JSON it wrote."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.hf_folders import make_folder
from support.tiny_models import write_model

QUIET = ["--threads", "1", "--progress", "none", "--json"]
CHUNKS = ["--ctx", "16", "--chunks", "2", "--floor-chunks", "1"]
TASKS = [
    {"id": "sum", "prompt": "2 + 2 =", "answer": "4"},
    {"id": "town", "prompt": "The capital of Norway is", "choices": ["Oslo", "Rome"], "answer": 0},
    {"prompt": 3},
]


def commands(folder: Path) -> dict[str, list[str]]:
    """Make the models and texts in a folder, and return the command of each verb by its name."""
    model = str(write_model(folder / "model.gguf", columns=128))
    quant = str(write_model(folder / "quant.gguf", columns=128, format="Q8_0"))
    other = str(make_folder("qwen2", folder / "other"))
    for name, words in (("prose", "the rain in spain 42 "), ("code", "return x [ 0 ] + 1 ; ")):
        (folder / f"{name}.txt").write_text(words * 200)
    (folder / "tasks.jsonl").write_text("\n".join(map(json.dumps, TASKS)))
    text = ["--text", str(folder / "prose.txt"), "--text", str(folder / "code.txt")]
    tasks = ["--tasks", str(folder / "tasks.jsonl"), "-n", "2"]
    chains = ["--chains", "1", "--steps", "2", "--level", "1"]
    few = ["--count", "2", "-n", "3"]
    return {
        "measure": ["measure", quant, "--ref", model, *text, *CHUNKS, "--gate", "kl.mean<9"],
        "measure-as": ["measure", model, "--as", "INT4_SYM_G32", *text, *CHUNKS],
        "compare": ["compare", quant, model, "--ref", model, *text, *CHUNKS],
        "ladder": ["ladder", model, "--levels", "16,4,Q8_0", *text, *CHUNKS],
        "across": ["compare", model, quant, *text, "--chunks", "3", *tasks, *chains],
        "drift": ["drift", quant, "--ref", model, *few, *chains],
        "drift-texts": ["drift", other, "--ref", model, *few, "--chains", "0"],
        "tasks": ["tasks", model, quant, *tasks],
        "bench": ["bench", quant, "--vs", model, "-p", "8", "-n", "4", "-r", "2"],
        "quantize": ["quantize", model, str(folder / "out.gguf"), "--to", "Q4_0"],
    }


NAMES = ("by_domain", "by_position", "by_class", "families", "free_run", "by_kind")


def structure(value: Any, path: str = "") -> list[str]:
    """Return every key path of a JSON value with its type, in the order in which they stand.

    The items of a list are one item, `[]`, with the paths of all of them; so are those of objects
    whose keys are names out of the data, as `*`.
    """
    if isinstance(value, dict) and path.endswith(NAMES):
        lines = [line for item in value.values() for line in structure(item, f"{path}.*")]
        return list(dict.fromkeys(lines)) or [f"{path}.*"]
    if isinstance(value, dict):
        return [line for key in value for line in structure(value[key], f"{path}.{key}")]
    if isinstance(value, list):
        lines = [line for item in value for line in structure(item, f"{path}[]")]
        return list(dict.fromkeys(lines)) or [f"{path}[]"]
    return [f"{path} {type(value).__name__}"]


def outputs(folder: Path, run: Callable[[list[str]], str]) -> dict[str, Any]:
    """Run every verb with --json and --run; return its JSON, and the files of its run, by name.

    `run` runs a command and returns what it printed.
    """
    found: dict[str, Any] = {}
    for name, words in commands(folder).items():
        runs = folder / "runs" / name
        found[f"{name} --json"] = json.loads(run([*words, *QUIET, "--run", str(runs)]))
        for path in sorted(runs.rglob("*.json")):
            found[f"{name}/{path.relative_to(runs)}"] = json.loads(path.read_text())
    return found
