"""How fast models read and write on this machine, beside each other and beside its peaks.

Every model runs in a process of its own, and they take turns repetition by repetition, a plain read
of memory among them: what slows the machine down for a while slows all of them down, and cancels in
their ratios.
"""

import contextlib
import importlib.util
import json
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from zeropoint.checkpoints import Checkpoint, open_model
from zeropoint.errors import MeasurementError
from zeropoint.kernels import default_threads, variant
from zeropoint.kernels.machine import Peaks, PlainRead, best_buffer, peaks_of, this_machine
from zeropoint.metrics.speed.cost import Work, work_of
from zeropoint.models.base import Mode
from zeropoint.results.bench import (
    BenchResult,
    MachinePeaks,
    ModelSpeed,
    OtherSpeed,
    SpeedRatio,
    Spread,
)

PEERS = ("llama.cpp",)
INSTALL = "pip install llama-cpp-python"


@dataclass(frozen=True)
class Workload:
    """What every model does in a repetition: read a prompt, then single tokens after it."""

    prompt: int = 512  # tokens; 0: none
    generate: int = 64  # tokens; 0: none
    repetitions: int = 3
    threads: int = 1
    mode: Mode = "fast"  # of our engine


@dataclass(frozen=True)
class Contestant:
    """A model and who runs it."""

    model: str
    engine: str  # zeropoint, or one of PEERS
    file_bytes: int
    work: Work


@dataclass(frozen=True)
class Loaded:
    """A model is ready."""

    contestant: int
    load_seconds: float
    done: int


@dataclass(frozen=True)
class Repeated:
    """One repetition of one model is done."""

    contestant: int
    prompt_seconds: float
    generation_seconds: float
    peak_memory_bytes: int  # of its process, so far
    done: int


def spread_of(values: Sequence[float]) -> Spread | None:
    """Return the spread of repetitions; None without any."""
    if not values:
        return None
    sd = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.median(values), min(values), max(values), sd)


class Bench:
    """Times models side by side: iterate over `run()`, then ask for `results()`.

    `model` is the one that all figures are about; `versus` another for our engine, `peer` the name
    of another engine for the same file. Raises CheckpointError or UnsupportedModel for a file that
    cannot be run, MeasurementError for a peer that is not there, before anything is timed.
    """

    def __init__(
        self,
        model: str | Path,
        workload: Workload,
        *,
        versus: str | Path | None = None,
        peer: str | None = None,
    ) -> None:
        if workload.prompt + workload.generate < 1:
            raise MeasurementError("there is nothing to time: -p or -n must be above 0")
        self.workload = workload
        self.contestants = [enter(model, "zeropoint", workload)]
        if versus is not None:
            self.contestants.append(enter(versus, "zeropoint", workload))
        if peer is not None:
            check_peer(peer)
            self.contestants.append(enter(model, peer, workload))
        self.peaks: Peaks | None = None
        self._loaded: dict[int, Loaded] = {}
        self._repeated: list[Repeated] = []
        self._reads: list[float] = []  # bytes per second, one for each repetition

    @property
    def total(self) -> int:
        """How many records `run` yields."""
        return len(self.contestants) * (self.workload.repetitions + 1)

    def run(self) -> Iterator[Loaded | Repeated]:
        """Load all, then let them take turns; the machine's peaks are measured first."""
        threads = self.workload.threads
        read = PlainRead(best_buffer(this_machine()))
        self.peaks = peaks_of(read, threads)
        done = 0
        with contextlib.ExitStack() as stack:
            workers = []
            for index, contestant in enumerate(self.contestants):
                workers.append(stack.enter_context(Worker(contestant, self.workload)))
                found = workers[-1].answer()
                done += 1
                self._loaded[index] = Loaded(index, found["load_seconds"], done)
                yield self._loaded[index]
            for _ in range(self.workload.repetitions):
                self._reads.append(read.rate(threads) or float("nan"))
                for index, worker in enumerate(workers):
                    found = worker.repeat()
                    done += 1
                    self._repeated.append(
                        Repeated(
                            index,
                            found["prompt_seconds"],
                            found["generation_seconds"],
                            int(found["peak_memory_bytes"]),
                            done,
                        )
                    )
                    yield self._repeated[-1]

    def results(self) -> BenchResult:
        """Return what was found."""
        others = {
            "vs" if contestant.engine == "zeropoint" else "peer": OtherSpeed(
                **vars(self._speed(index)), ratio=self._ratio(index)
            )
            for index, contestant in enumerate(self.contestants)
            if index
        }
        return BenchResult(
            **vars(self._speed(0)),
            vs=others.get("vs"),
            peer=others.get("peer"),
            threads=self.workload.threads,
            mode=self.workload.mode,
            kernels=variant(),
            prompt_tokens=self.workload.prompt,
            generated_tokens=self.workload.generate,
            repetitions=self.workload.repetitions,
            peaks=MachinePeaks(**vars(self.peaks)) if self.peaks else None,
            read_bytes_per_second=spread_of(self._reads) if self.peaks else None,
        )

    def _rates(self, index: int) -> tuple[list[float], list[float]]:
        """Tokens per second of each repetition: prompt, generation; empty for none."""
        mine = [record for record in self._repeated if record.contestant == index]
        prompt, generate = self.workload.prompt, self.workload.generate
        return (
            [prompt / record.prompt_seconds for record in mine] if prompt else [],
            [generate / record.generation_seconds for record in mine] if generate else [],
        )

    def _speed(self, index: int) -> ModelSpeed:
        contestant = self.contestants[index]
        rates = self._rates(index)
        prompt, generation = map(spread_of, rates)
        work = contestant.work
        bandwidth = generation.median * work.bytes_per_token if generation else None
        shares = [
            rate * work.bytes_per_token / read
            for rate, read in zip(rates[1], self._reads, strict=False)
        ]
        flops = prompt.median * work.flops / self.workload.prompt if prompt else None
        memory = max(r.peak_memory_bytes for r in self._repeated if r.contestant == index)
        return ModelSpeed(
            model=contestant.model,
            engine=contestant.engine,
            file_bytes=contestant.file_bytes,
            load_seconds=self._loaded[index].load_seconds,
            peak_memory_bytes=memory,
            prompt_tokens_per_second=prompt.median if prompt else None,
            generation_tokens_per_second=generation.median if generation else None,
            prompt=prompt,
            generation=generation,
            bytes_per_token=work.bytes_per_token,
            bytes_per_second=bandwidth,
            bandwidth_fraction=statistics.median(shares) if shares and self.peaks else None,
            prompt_flops_per_second=flops,
            flops_fraction=flops / self.peaks.flops if flops and self.peaks else None,
        )

    def _ratio(self, index: int) -> SpeedRatio:
        """The first model's speed divided by this one's, repetition by repetition."""
        prompt, generation = (
            spread_of([a / b for a, b in zip(ours, theirs, strict=True)])
            for ours, theirs in zip(self._rates(0), self._rates(index), strict=True)
        )
        return SpeedRatio(prompt, generation)


def enter(model: str | Path, engine: str, workload: Workload) -> Contestant:
    """Read a model's header, and refuse what could not be run."""
    checkpoint: Checkpoint = open_model(model)
    with checkpoint:
        work = work_of(checkpoint, workload.prompt, workload.generate)
        if engine != "zeropoint" and checkpoint.path.is_dir():
            raise MeasurementError(f"{engine} reads GGUF files; {model} is a folder")
        return Contestant(str(model), engine, checkpoint.file_bytes, work)


def check_peer(peer: str) -> None:
    """Raise MeasurementError unless this peer can be run here."""
    if peer not in PEERS:
        raise MeasurementError(f"there is no peer {peer!r}; there is {', '.join(PEERS)}")
    if importlib.util.find_spec("llama_cpp") is None:
        raise MeasurementError(
            f"--peer {peer} needs llama-cpp-python, which is not installed here: `{INSTALL}` "
            "compiles it in some minutes"
        )


class Worker:
    """A model in a process of its own; leaving the context ends it."""

    def __init__(self, contestant: Contestant, workload: Workload) -> None:
        self._contestant = contestant
        self._log = tempfile.TemporaryFile("w+", errors="replace")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "zeropoint.metrics.speed.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,  # Ctrl-C is ours to handle
        )
        self._ask(asdict(workload) | {"engine": contestant.engine, "model": contestant.model})

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with contextlib.suppress(OSError):  # what was not sent may have nobody to read it
                stream.close()  # type: ignore[union-attr]

    def repeat(self) -> Mapping[str, float]:
        """Time one repetition."""
        self._ask({})
        return self.answer()

    def answer(self) -> Mapping[str, float]:
        """Wait for the next answer. Raises MeasurementError if there is none, or an error."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise MeasurementError(self._how_it_ended())
        found: dict[str, float] = json.loads(line)
        if "error" in found:
            raise MeasurementError(str(found["error"]))
        return found

    def _ask(self, question: Mapping[str, object]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its end is told by `answer`
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        last = (self._log.read().strip().splitlines() or ["it said nothing"])[-1]
        how = f"code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        return f"{self._contestant.engine} ended with {how} on {self._contestant.model}: {last}"


def workload_of(
    *, prompt: int, generate: int, repetitions: int, threads: int | None, mode: Mode
) -> Workload:
    """Return a workload; no number of threads means all processors."""
    return Workload(prompt, generate, repetitions, threads or default_threads(), mode)
