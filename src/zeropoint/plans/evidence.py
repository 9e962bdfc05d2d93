"""What was measured before, read from run folders: losses of quants, and timings of this machine.

`measure` and `ladder` leave losses, `bench` leaves timings. A loss counts for the file (or source
and format) that it was measured on, a timing for this processor and number of threads. Timings are
also taken from the cache directory, where `bench` notes each.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from zeropoint.checkpoints.demo_model import cache_directory
from zeropoint.checkpoints.source import RUN_FILE_BYTES, read_file
from zeropoint.errors import CheckpointError
from zeropoint.plans.here import Here
from zeropoint.plans.machines import HERE, Device
from zeropoint.plans.memory import Demand
from zeropoint.plans.speed import (
    Costs,
    Estimate,
    Timing,
    calibrated,
    costs_of,
    generation_features,
    prompt_features,
)
from zeropoint.plans.subjects import Subject, describe
from zeropoint.plans.traffic import traffic

NOTES = "benches.jsonl"
NOTES_KEPT = 400  # the newest
NATS, TASKS = "nats per byte", "tasks right"
DEPTH = 4  # folders in folders that are looked into for runs


@dataclass(frozen=True)
class Loss:
    """What a quant lost, as `measure` found it."""

    mean: float  # KL(reference ‖ quant), nats per token
    low: float | None
    high: float | None
    reference: str
    run: str

    @property
    def label(self) -> str:
        """Say it in a few signs."""
        return f"KL {self.mean:.3g}"


@dataclass(frozen=True)
class Score:
    """What a model reached on the same text or tasks as others: comparable between models."""

    kind: str  # nats per byte (less is better), or tasks right (more is)
    value: float
    low: float | None
    high: float | None
    group: str  # models that share a letter cannot be told apart; empty: not tested
    run: str

    @property
    def label(self) -> str:
        """Say it in a few signs."""
        if self.kind == NATS:
            return f"{self.value:.4f} nats/byte {self.group}".rstrip()
        return f"{self.value:.0%} of tasks"

    @property
    def order(self) -> float:
        """The smaller, the better."""
        return self.value if self.kind == NATS else -self.value


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What `bench` found for one model on this machine."""

    model: str  # the file's name
    file_bytes: int
    threads: int
    kernels: str
    mode: str
    prompt_tokens: int
    generated_tokens: int
    prompt: float | None  # tokens per second
    generation: float | None
    prompt_spread: tuple[float | None, float | None]  # one standard deviation to both sides
    generation_spread: tuple[float | None, float | None]
    generation_features: Mapping[str, float]
    prompt_features: Mapping[str, float]


class Evidence:
    """Everything that was measured before. `here`: this machine, if it was measured."""

    def __init__(self, runs: Iterable[Path] = (), here: Here | None = None) -> None:
        self.here = here
        self.runs = list(runs)

    @cached_property
    def results(self) -> list[tuple[Path, Mapping[str, Any]]]:
        """Return every finished run in the folders that were given, and theirs below, in time."""
        paths = {path for folder in self.runs for path in run_files(folder, DEPTH)}
        found = [(path.parent, read_json(path)) for path in sorted(paths, key=_changed)]
        return [(path, record) for path, record in found if isinstance(record.get("results"), dict)]

    @cached_property
    def benches(self) -> list[Bench]:
        """Return the timings that count for this machine, the newest last."""
        if self.here is None:
            return []
        rows = [*notes(), *(r["results"] for _, r in self.results if r.get("verb") == "bench")]
        kept: dict[tuple[object, ...], Bench] = {}
        for row in rows:
            bench = bench_of(row)
            if bench and self._is_ours(bench):
                kept[(bench.model, bench.file_bytes, bench.prompt_tokens)] = bench
        return list(kept.values())

    def _is_ours(self, bench: Bench) -> bool:
        assert self.here is not None
        same = bench.kernels == self.here.machine.instruction_set
        return same and bench.threads == self.here.threads and bench.mode == "fast"

    def costs(self, device: Device) -> Costs | None:
        """Return what work costs on a device, moved by what was timed there; None if unknown."""
        if not device.bandwidth:
            return None
        if device.id != HERE or self.here is None:
            return costs_of(device)
        return self._costs_here

    @cached_property
    def _costs_here(self) -> Costs:
        assert self.here is not None
        costs = costs_of(self.here.device, self.here.costs)
        timings = []
        for bench in self.benches:
            if bench.generation:
                timings.append(
                    Timing(features=bench.generation_features, seconds=1 / bench.generation)
                )
            if bench.prompt and bench.prompt_tokens:
                seconds = bench.prompt_tokens / bench.prompt
                timings.append(Timing(features=bench.prompt_features, seconds=seconds))
        return calibrated(costs, timings)

    def timed(self, subject: Subject, device: Device) -> tuple[Estimate | None, Estimate | None]:
        """Return the speeds that were measured of this very file on this machine."""
        if device.id != HERE or subject.path is None:
            return None, None
        for bench in reversed(self.benches):
            if (bench.model, bench.file_bytes) == (subject.path.name, subject.file_bytes):
                return measured(bench.generation), measured(bench.prompt)
        return None, None

    def loss(self, subject: Subject, to: str | None) -> Loss | None:
        """Return what this model lost in this format, if it was measured."""
        for folder, record in reversed(self.results):
            if record.get("verb") != "measure":
                continue
            found, inputs = record["results"].get("kl"), record.get("inputs")
            if not isinstance(found, dict) or not isinstance(inputs, dict):
                continue
            quant, reference = inputs.get("quant"), inputs.get("reference")
            if not isinstance(quant, dict) or not isinstance(reference, dict):
                continue
            if not isinstance(found.get("mean"), int | float) or subject.path is None:
                continue
            name = subject.path.name
            wanted = f"{name} as {to}" if to else name
            size = quant.get("file_bytes") == subject.file_bytes
            if str(quant.get("name", "")).upper() == wanted.upper() and (to or size):
                return Loss(float(found["mean"]), found.get("low"), found.get("high"),
                            str(reference.get("name", "")), str(folder))  # fmt: skip
        return None

    @cached_property
    def scores(self) -> dict[tuple[str, int], Score]:
        """Return by file the scores of the newest run that compared models: one run, one scale."""
        for folder, record in reversed(self.results):
            found = {}
            rows = record["results"].get({"across": "results", "tasks": "models"}.get(
                str(record.get("verb")), ""))  # fmt: skip
            for row in rows if isinstance(rows, list) else ():
                score = score_of(row, str(folder)) if isinstance(row, dict) else None
                size = row.get("file_bytes") if score else None
                if score and isinstance(size, int):
                    found[(str(row.get("name")), size)] = score
            if len(found) > 1:
                return found
        return {}

    def score(self, subject: Subject, to: str | None) -> Score | None:
        """Return what this file reached beside others, if it was compared with them."""
        if to is not None or subject.path is None or subject.file_bytes is None:
            return None
        return self.scores.get((subject.path.name, subject.file_bytes))


def score_of(row: Mapping[str, Any], run: str) -> Score | None:
    """Read one model's row of `compare` (nats per byte of text) or `tasks`."""
    text = row.get("text")
    kind = NATS if isinstance(text, dict) else TASKS
    found = text.get("nats_per_byte") if isinstance(text, dict) else row.get("accuracy")
    if not isinstance(found, dict) or not isinstance(found.get("mean"), int | float):
        return None
    group = str(text.get("group", "")) if isinstance(text, dict) else ""
    return Score(kind, float(found["mean"]), found.get("low"), found.get("high"), group, run)


def measured(rate: float | None) -> Estimate | None:
    """Return a speed that was timed as it is, with what two timings differ by."""
    if not rate:
        return None
    return Estimate(
        tokens_per_second=rate, low=rate / 1.05, high=rate * 1.05, basis="measured here"
    )


def run_files(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the run.json of a folder or of those in it."""
    if (folder / "run.json").is_file():
        yield folder / "run.json"
    elif depth and folder.is_dir():
        for inner in folder.iterdir():
            if inner.is_dir() and not inner.is_symlink():
                yield from run_files(inner, depth - 1)


def _changed(path: Path) -> tuple[int, str]:
    try:
        return path.stat().st_mtime_ns, str(path)
    except OSError:
        return 0, str(path)


def read_json(path: Path) -> dict[str, Any]:
    """Return an object of a JSON file, or an empty one for anything else."""
    try:
        found = json.loads(read_file(path, RUN_FILE_BYTES))
    except (CheckpointError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def notes() -> list[dict[str, Any]]:
    """Return what `bench` noted in the cache directory."""
    try:
        lines = (cache_directory() / NOTES).read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return []
    found = []
    for line in lines[-NOTES_KEPT:]:
        try:
            row = json.loads(line)
        except ValueError:  # cut short by a full disk or a kill
            continue
        if isinstance(row, dict):
            found.append(row)
    return found


def note(results: Mapping[str, Any]) -> None:
    """Add what `bench` found to the cache directory; a cache that cannot be written is no error."""
    keys = ("model", "file_bytes", "threads", "kernels", "mode", "prompt_tokens",
            "generated_tokens", "prompt_tokens_per_second", "generation_tokens_per_second",
            "prompt", "generation", "work")  # fmt: skip
    row = {key: results[key] for key in keys if key in results}
    path = cache_directory() / NOTES
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    except OSError:
        return


def work_of(model: str, prompt: int, generated: int) -> dict[str, dict[str, float]]:
    """Return what `bench` makes a machine do for a model: for its record, and for `Evidence`.

    A prompt is read at once, the tokens after it see it and half of themselves.
    """
    subject, _ = describe(model)
    demand = Demand(context=max(prompt + generated, 1))
    tensors = list(subject.source.tensors.values())
    reading = traffic(subject.shape, tensors, demand, past=prompt)
    writing = traffic(subject.shape, tensors, demand, past=prompt + generated // 2)
    return {
        "generation": generation_features(writing),
        "prompt": prompt_features(reading, prompt),
    }


def bench_of(row: Mapping[str, Any]) -> Bench | None:
    """Read one record of `bench`; None if it lacks what is needed."""
    work = row.get("work")
    try:
        if not isinstance(work, dict):
            return None
        return Bench(
            model=Path(str(row["model"])).name,
            file_bytes=int(row["file_bytes"]),
            threads=int(row["threads"]),
            kernels=str(row["kernels"]),
            mode=str(row["mode"]),
            prompt_tokens=int(row["prompt_tokens"]),
            generated_tokens=int(row["generated_tokens"]),
            prompt=_rate(row.get("prompt_tokens_per_second")),
            generation=_rate(row.get("generation_tokens_per_second")),
            prompt_spread=_spread(row.get("prompt")),
            generation_spread=_spread(row.get("generation")),
            generation_features={k: float(v) for k, v in work["generation"].items()},
            prompt_features={k: float(v) for k, v in work["prompt"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _spread(found: object) -> tuple[float | None, float | None]:
    """Return what repetitions lie between: a standard deviation to both sides, or their ends."""
    if not isinstance(found, dict):
        return None, None
    middle, sd = _rate(found.get("median")), _rate(found.get("sd"))
    if middle and sd:
        return middle - sd, middle + sd
    return _rate(found.get("min")), _rate(found.get("max"))


def _rate(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None
