"""Times models on this machine, compared with each other and with the machine's own peaks.

Each model runs in a separate process. The processes take turns, one repetition at a time, and
the read bandwidth of the machine is measured between the turns. Whatever slows the machine down
for a while therefore slows all of them down, and cancels in their ratios.
"""

import contextlib
import importlib.util
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from zeropoint.checkpoints import Checkpoint, open_model
from zeropoint.child import Child, NoAnswerError
from zeropoint.errors import MeasurementError
from zeropoint.kernels import default_threads, variant
from zeropoint.kernels.machine import (
    BandwidthProbe,
    Peaks,
    best_buffer,
    measure_peaks,
    this_machine,
)
from zeropoint.metrics.speed.cost import ModelCost, cost_of
from zeropoint.models.base import Mode
from zeropoint.models.cached_rows import CacheTypes
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
class BenchWorkload:
    """One repetition: processing a prompt, then generating single tokens after it."""

    prompt: int = 512  # tokens; 0: not timed
    generate: int = 64  # tokens; 0: not timed
    repetitions: int = 3
    threads: int = 1
    mode: Mode = "fast"  # of our own engine
    kv: str = "f32"  # types of the KV cache; with "f32" a peer uses its own default
    kv_rotation: bool = True


@dataclass(frozen=True)
class Contestant:
    """A model, and the engine that runs it."""

    model: str
    engine: str  # zeropoint, or one of PEERS
    file_bytes: int
    cost: ModelCost


@dataclass(frozen=True)
class ContestantLoaded:
    """The process of one model has loaded it."""

    contestant: int
    load_seconds: float
    done: int


@dataclass(frozen=True)
class RepetitionTimed:
    """One repetition of one model is done."""

    contestant: int
    prompt_seconds: float
    generation_seconds: float
    peak_memory_bytes: int  # of its process, so far
    done: int


def spread_of(values: Sequence[float]) -> Spread | None:
    """Return the median and the spread of repetitions; None if there are none."""
    if not values:
        return None
    sd = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.median(values), min(values), max(values), sd)


class BenchRun:
    """Times models in turns: iterate over `run()`, then call `results()`.

    The result describes `model`. `versus` is another model for our engine, and `peer` the name of
    another engine for the same file. Raises CheckpointError or UnsupportedModel for a file that
    cannot be run, and MeasurementError for a peer that is not installed, before anything is timed.
    """

    def __init__(
        self,
        model: str | Path,
        workload: BenchWorkload,
        *,
        versus: str | Path | None = None,
        peer: str | None = None,
    ) -> None:
        if workload.prompt + workload.generate < 1:
            raise MeasurementError(
                "there is nothing to time: the tokens of the prompt (-p) and to generate (-n) are 0"
            )
        self.workload = workload
        self.contestants = [contestant_of(model, "zeropoint", workload)]
        if versus is not None:
            self.contestants.append(contestant_of(versus, "zeropoint", workload))
        if peer is not None:
            check_peer(peer)
            self.contestants.append(contestant_of(model, peer, workload))
        self.peaks: Peaks | None = None
        self._loaded: dict[int, ContestantLoaded] = {}
        self._repeated: list[RepetitionTimed] = []
        self._reads: list[float] = []  # bytes per second, one for each repetition

    @property
    def total(self) -> int:
        """The number of records that `run` yields."""
        return len(self.contestants) * (self.workload.repetitions + 1)

    def run(self) -> Iterator[ContestantLoaded | RepetitionTimed]:
        """Load all models, then time them in turns; the machine's peaks are measured first."""
        threads = self.workload.threads
        read = BandwidthProbe(best_buffer(this_machine()))
        self.peaks = measure_peaks(read, threads)
        done = 0
        with contextlib.ExitStack() as stack:
            workers = []
            for index, contestant in enumerate(self.contestants):
                workers.append(stack.enter_context(BenchWorker(contestant, self.workload)))
                done += 1
                self._loaded[index] = ContestantLoaded(index, workers[-1].load(), done)
                yield self._loaded[index]
            for _ in range(self.workload.repetitions):
                self._reads.append(read.rate(threads) or float("nan"))
                for index, worker in enumerate(workers):
                    done += 1
                    self._repeated.append(worker.repeat(index, done))
                    yield self._repeated[-1]

    def results(self) -> BenchResult:
        """Return the speed of the first model, and of the others compared with it."""
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
            kv_cache=CacheTypes.parse(self.workload.kv, rotated=self.workload.kv_rotation).name,
            kernels=variant(),
            prompt_tokens=self.workload.prompt,
            generated_tokens=self.workload.generate,
            repetitions=self.workload.repetitions,
            peaks=MachinePeaks(**vars(self.peaks)) if self.peaks else None,
            read_bytes_per_second=spread_of(self._reads) if self.peaks else None,
        )

    def _rates(self, index: int) -> tuple[list[float], list[float]]:
        """Return tokens per second by repetition: prompt, generation; empty if not timed."""
        records = [record for record in self._repeated if record.contestant == index]
        prompt, generate = self.workload.prompt, self.workload.generate
        return (
            [prompt / record.prompt_seconds for record in records] if prompt else [],
            [generate / record.generation_seconds for record in records] if generate else [],
        )

    def _speed(self, index: int) -> ModelSpeed:
        contestant = self.contestants[index]
        rates = self._rates(index)
        prompt, generation = map(spread_of, rates)
        cost = contestant.cost
        bandwidth = generation.median * cost.bytes_per_token if generation else None
        shares = [
            rate * cost.bytes_per_token / read
            for rate, read in zip(rates[1], self._reads, strict=False)
        ]
        flops = prompt.median * cost.flops / self.workload.prompt if prompt else None
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
            bytes_per_token=cost.bytes_per_token,
            bytes_per_second=bandwidth,
            bandwidth_fraction=statistics.median(shares) if shares and self.peaks else None,
            prompt_flops_per_second=flops,
            flops_fraction=flops / self.peaks.flops if flops and self.peaks else None,
        )

    def _ratio(self, index: int) -> SpeedRatio:
        """Return the first model's speed divided by this one's, repetition by repetition."""
        prompt, generation = (
            spread_of([a / b for a, b in zip(first, other, strict=True)])
            for first, other in zip(self._rates(0), self._rates(index), strict=True)
        )
        return SpeedRatio(prompt, generation)


def contestant_of(model: str | Path, engine: str, workload: BenchWorkload) -> Contestant:
    """Read a model's header. Raises an error if the engine cannot run the model."""
    checkpoint: Checkpoint = open_model(model)
    with checkpoint:
        cost = cost_of(checkpoint, workload.prompt, workload.generate)
        if engine != "zeropoint" and checkpoint.path.is_dir():
            raise MeasurementError(f"{engine} reads GGUF files; {model} is a folder")
        return Contestant(str(model), engine, checkpoint.file_bytes, cost)


def check_peer(peer: str) -> None:
    """Raise MeasurementError unless this engine is known and installed."""
    if peer not in PEERS:
        raise MeasurementError(f"unknown peer {peer!r}; supported: {', '.join(PEERS)}")
    if importlib.util.find_spec("llama_cpp") is None:
        raise MeasurementError(
            f"the peer {peer} requires llama-cpp-python, which is not installed; `{INSTALL}` "
            "compiles it in a few minutes"
        )


class BenchWorker:
    """The process of one model; leaving the context ends it."""

    def __init__(self, contestant: Contestant, workload: BenchWorkload) -> None:
        self._contestant = contestant
        self._workload = workload
        self._child = Child("zeropoint.metrics.speed.worker")

    def __enter__(self) -> "BenchWorker":
        return self

    def __exit__(self, *_: object) -> None:
        self._child.__exit__()

    def load(self) -> float:
        """Load the model, and return the seconds that it took."""
        contestant = self._contestant
        job = asdict(self._workload) | {"engine": contestant.engine, "model": contestant.model}
        return float(self._request(job)["load_seconds"])

    def repeat(self, index: int, done: int) -> RepetitionTimed:
        """Time one repetition."""
        answer = self._request({})
        return RepetitionTimed(
            index,
            answer["prompt_seconds"],
            answer["generation_seconds"],
            int(answer["peak_memory_bytes"]),
            done,
        )

    def _request(self, message: dict[str, object]) -> dict[str, float]:
        """Return the answer. Raises MeasurementError if it is an error, or the process ends."""
        try:
            answer = self._child.request(message)
        except NoAnswerError as error:
            contestant = self._contestant
            raise MeasurementError(f"{contestant.engine} on {contestant.model}: {error}") from None
        if "error" in answer:
            raise MeasurementError(str(answer["error"]))
        return answer


def workload_of(
    *, prompt: int, generate: int, repetitions: int, threads: int | None, mode: Mode
) -> BenchWorkload:
    """Return a workload; `threads` None means one for each processor."""
    return BenchWorkload(prompt, generate, repetitions, threads or default_threads(), mode)
