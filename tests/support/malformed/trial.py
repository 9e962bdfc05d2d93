"""Runs verbs on mutated inputs in one process and reports every one that went wrong.

    python -m support.malformed.trial KIND FIRST COUNT FOLDER

Trial i is a function of KIND and i alone. What goes wrong is an exit status that is not 0, 1 or 2,
more than SECONDS of time, growth of memory beyond 64 MiB + 4 × the input (what the README promises
of a header), an input that was changed, or a part of an output that is left. Each is a line of JSON
on stdout; the last line is the count. If the process dies, trial.json in FOLDER says at what.
"""

import contextlib
import io
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import FrameType

import numpy as np

from support.malformed.mutate import mutate_bytes, mutate_gguf, mutate_json
from support.tiny_models import write_model
from zeropoint.cli import main

SECONDS = 30
MEMORY = 64 << 20
TEXT = "the rain in spain 42 return x [ 0 ] + 1 ; " * 40
QUIET = ["-q"]
CUT = ["--ctx", "16", "--chunks", "1", "--progress", "none", *QUIET]
TASKS = [
    {"id": "a", "prompt": "the rain", "choices": ["in", "on"], "answer": 0},
    {"id": "b", "prompt": "1 + 1 =", "exact": "2"},
    {"id": "c", "prompt": "x", "pattern": "[0-9]+"},
]
Words = list[str | Path]


class TooLong(BaseException):
    """A verb took more than SECONDS. Not an Exception, so that nothing of ours catches it."""


def out_of_time(_number: int, _frame: FrameType | None) -> None:
    raise TooLong


class Bench:
    """The valid inputs, made once, and a place for the mutated ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.valid = folder / "valid"
        self.place = folder / "place"
        if not self.valid.exists():
            self._make()

    def _make(self) -> None:
        self.valid.mkdir(parents=True)
        for name in ("llama", "gemma3", "qwen2"):
            write_model(self.valid / f"{name}.gguf", name, columns=64)
        write_model(self.valid / "moe.gguf", "llama", columns=64, experts=2)
        (self.valid / "text.txt").write_text(TEXT)
        (self.valid / "prompts.txt").write_text("the rain\n\nin spain\n")
        lines = "".join(json.dumps(task) + "\n" for task in TASKS)
        (self.valid / "tasks.jsonl").write_text(lines)
        (self.valid / "a.recipe").write_text("blk.*.ffn_down Q8_0\n* Q4_0\n")
        model, cut = self.valid / "llama.gguf", ["--text", self.valid / "text.txt", *CUT]
        quant, run = self.valid / "quant.gguf", self.valid / "run"
        for words in (
            ["quantize", model, quant, "--to", "Q8_0", *QUIET],
            ["quantize", model, self.valid / "folder", "--to", "F32", *QUIET],
            ["quantize", self.valid / "qwen2.gguf", self.valid / "qwen", "--to", "BF16", *QUIET],
            ["calibrate", model, "-o", self.valid / "imatrix.gguf", *cut],
            ["measure", quant, "--ref", model, "--run", run, "--floor-chunks", "0", *cut],
        ):
            assert main([str(word) for word in words]) == 0, words

    def copy(self, name: str) -> Path:
        """Put a copy of a valid input into an empty place; return it."""
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir()
        source = self.valid / name
        return Path(
            (shutil.copytree if source.is_dir() else shutil.copy)(source, self.place / name)
        )


Mutate = Callable[[Random, bytes], bytes]


def change(path: Path, random: Random, mutate: Mutate) -> int:
    """Mutate a file in place; return its size."""
    data = mutate(random, path.read_bytes())
    path.write_bytes(data)
    return len(data)


def model_verbs(bench: Bench, random: Random, model: Path) -> Iterator[Words]:
    """Yield three of the commands that take a model."""
    out, valid = bench.place / "out", bench.valid
    text: Words = ["--text", valid / "text.txt"]
    to = random.choice(["Q8_0", "Q4_K_M", "BF16", "IQ4_XS", "Q2_K", "MXFP4", "Q5_K_S"])
    steps = [
        "-n",
        "2",
        "--count",
        "1",
        "--chains",
        "0",
        "--decoding",
        "greedy",
        "--progress",
        "none",
    ]
    commands: list[Words] = [
        ["quantize", model, f"{out}.gguf", "--to", to, "--requantize", *QUIET],
        ["quantize", model, out, "--to", "F16", *QUIET],
        ["quantize", model, "--to", to, "--dry-run"],
        ["run", model, "-p", "the rain", "-n", "2", "--threads", "1", *QUIET],
        ["measure", model, "--as", "Q8_0", *text, *CUT],
        ["measure", model, "--ref", valid / "llama.gguf", *text, *CUT],
        ["calibrate", model, "-o", f"{out}.gguf", *text, *CUT],
        ["plan", model, "--memory", "1GiB"],
        ["plan", model, "--device", "rtx3090", "--json"],
        ["drift", valid / "llama.gguf", "--ref", model, *steps, *QUIET],
        ["tasks", model, "--tasks", valid / "tasks.jsonl", "-n", "2", "--progress", "none", *QUIET],
        ["compare", valid / "quant.gguf", model, "--ref", valid / "llama.gguf", *text, *CUT],
        ["ladder", model, "--levels", "8,Q4_0", *text, *CUT],
        ["report", "--walk", model, "-o", f"{out}.html", "--progress", "none", *QUIET],
    ]
    yield ["inspect", model]
    yield from random.sample(commands, 2)


def gguf(bench: Bench, random: Random) -> tuple[int, list[Words]]:
    model = bench.copy(random.choice(["llama.gguf", "gemma3.gguf", "qwen2.gguf", "moe.gguf"]))
    size = change(model, random, mutate_gguf if random.random() < 0.9 else mutate_bytes)
    return size, list(model_verbs(bench, random, model))


def folder(bench: Bench, random: Random) -> tuple[int, list[Words]]:
    model = bench.copy(random.choice(["folder", "qwen"]))
    name = random.choice(["config.json", "tokenizer.json", "tokenizer_config.json", "safetensors"])
    if name == "safetensors":
        change(model / "model.safetensors", random, mutate_safetensors)
    else:
        change(model / name, random, mutate_json)
    if random.random() < 0.2:
        odd = random.choice(["generation_config.json", "chat_template.json", "adapter_config.json"])
        (model / odd).write_bytes(mutate_json(random, b'{"eos_token_id": [1, 2], "a": "b"}'))
    size = sum(file.stat().st_size for file in model.iterdir())
    return size, list(model_verbs(bench, random, model))


def mutate_safetensors(random: Random, data: bytes) -> bytes:
    length = int.from_bytes(data[:8], "little")
    head, rest = data[8 : 8 + length], data[8 + length :]
    if random.random() < 0.3:
        return mutate_bytes(random, data)
    head = mutate_json(random, head)
    said = (
        len(head) if random.random() < 0.9 else random.choice([0, 1, 2**31, 2**63, len(head) - 1])
    )
    return said.to_bytes(8, "little") + head + rest


def beside(bench: Bench, random: Random) -> tuple[int, list[Words]]:
    """Mutate what stands beside a model: imatrix, recipe, tasks, prompts, text, configuration."""
    model, out = bench.valid / "llama.gguf", bench.place / "out.gguf"
    kind = random.choice(
        ["imatrix.gguf", "a.recipe", "tasks.jsonl", "prompts.txt", "text.txt", "c"]
    )
    if kind == "imatrix.gguf":
        path = bench.copy(kind)
        size = change(path, random, mutate_gguf)
        return size, [
            ["quantize", model, out, "--to", "Q4_0", "--imatrix", path, *QUIET], ["inspect", path],
        ]  # fmt: skip
    if kind == "c":
        path = bench.copy("folder") / "config.json"
        return change(path, random, mutate_json), [["plan", path, "--memory", "1GiB"]]
    path = bench.copy(kind)
    size = change(path, random, mutate_json if kind == "x" else mutate_bytes)
    short = ["-n", "2", "--progress", "none", *QUIET]
    commands: dict[str, list[Words]] = {
        "a.recipe": [["quantize", model, out, "--to", path, *QUIET],
                     ["measure", model, "--as", path, "--text", bench.valid / "text.txt", *CUT]],
        "tasks.jsonl": [["tasks", model, "--tasks", path, *short]],
        "prompts.txt": [["drift", bench.valid / "quant.gguf", "--ref", model, "--prompts", path,
                         "--chains", "0", *short]],
        "text.txt": [["measure", model, "--as", "Q8_0", "--text", path, *CUT],
                     ["calibrate", model, "-o", out, "--text", path, *CUT]],
    }  # fmt: skip
    return size, commands[kind]


def run(bench: Bench, random: Random) -> tuple[int, list[Words]]:
    """Mutate a file of a run folder: JSON, or the arrays of a chunk under the same names."""
    place = bench.copy("run")
    if random.random() < 0.5:  # as an older version left it, without hashes that notice any change
        (place / "sha256.txt").unlink()
        head = json.loads((place / "run.json").read_bytes())
        head.pop("journal")
        (place / "run.json").write_text(json.dumps(head))
    path = random.choice(sorted(file for file in place.rglob("*") if file.is_file()))
    mutators = {".npz": mutate_arrays, ".json": mutate_json}
    size = change(path, random, mutators.get(path.suffix, mutate_bytes))
    quant, model = bench.valid / "quant.gguf", bench.valid / "llama.gguf"
    again: Words = ["--run", place, "--floor-chunks", "0", "--text", bench.valid / "text.txt", *CUT]
    return size, [
        ["report", place, "-o", bench.place / "r.html", *QUIET],
        ["measure", quant, "--ref", model, *again],
    ]


def mutate_arrays(random: Random, data: bytes) -> bytes:
    if random.random() < 0.3:
        return mutate_bytes(random, data)
    with np.load(io.BytesIO(data)) as found:
        arrays = {name: found[name] for name in found.files}
    name = random.choice(sorted(arrays))
    array = arrays[name]
    odd = [array.reshape(-1)[:1], array.reshape(1, -1), np.empty(0), array.astype(str)]
    if array.dtype.kind in "fiu":
        odd += [array.astype(np.float16), array.astype(np.complex64), np.full_like(array, -1),
                np.full_like(array, 10**6), array.astype(np.int64)]  # fmt: skip
    arrays[name] = random.choice(odd)
    if random.random() < 0.2:
        del arrays[name]
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


KINDS = {"gguf": gguf, "folder": folder, "beside": beside, "run": run}


def peak_memory() -> int:
    """Return the largest resident size of this process since it was last reset, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10


def attempt(words: Words, size: int) -> dict[str, object] | None:
    """Run one command; return what went wrong, if anything did."""
    Path("/proc/self/clear_refs").write_text("5")
    before, told = peak_memory(), io.StringIO()
    wrong: dict[str, object] = {"command": " ".join(map(str, words))}
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(told):
            status = main([str(word) for word in words])
    except TooLong:
        return {**wrong, "hang": "".join(traceback.format_exc(limit=-3))}
    finally:
        signal.alarm(0)
    grown = peak_memory() - before
    if status not in (0, 1, 2):
        return {**wrong, "status": status, "stderr": told.getvalue()[-500:]}
    if grown > MEMORY + 4 * size:
        return {**wrong, "grown": grown, "input": size}
    lines = told.getvalue().splitlines()
    if status == 2 and (not lines or len(lines[-1]) > 300):
        return {**wrong, "message": told.getvalue()[:400]}
    return None


def main_trials(kind: str, first: int, count: int, folder: Path) -> None:
    os.environ["ZEROPOINT_DEBUG"] = "1"
    signal.signal(signal.SIGALRM, out_of_time)
    bench, calls = Bench(folder), 0
    for index in range(first, first + count):
        size, commands = KINDS[kind](bench, Random(f"{kind} {index}"))
        inputs = {path: path.read_bytes() for path in bench.place.rglob("*") if path.is_file()}
        for words in commands:
            calls += 1
            line = json.dumps({"trial": index, "command": " ".join(map(str, words))})
            (bench.folder / "trial.json").write_text(line)
            found = attempt(words, size)
            kept = kind == "run" or all(
                p.exists() and p.read_bytes() == d for p, d in inputs.items()
            )
            parts = [str(path) for path in bench.place.rglob(".*part*")]
            if found is None and (parts or not kept):
                found = {"command": line, "parts": parts, "inputs kept": kept}
            if found:
                say({"trial": index, **found})
    say({"inputs": count, "calls": calls})


def say(record: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main_trials(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
