"""Result of `bench`: the speed of models on this machine."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from zeropoint.results.schema import OMIT, UNKNOWN_NUMBER, Record


@dataclass(frozen=True)
class Spread(Record):
    """Repetitions in four numbers."""

    median: float
    min: float
    max: float
    #: Standard deviation of one repetition; None where there is only one.
    sd: float | None = None

    def __repr__(self) -> str:
        return f"{self.median:.4g} ({self.min:.4g} to {self.max:.4g})"


@dataclass(frozen=True)
class SpeedRatio(Record):
    """The first model's speed divided by another's, repetition by repetition; None if not timed."""

    prompt: Spread | None = None
    generation: Spread | None = None


@dataclass(frozen=True)
class QuickSpeed(Record):
    """Tokens per second of a model in memory, in `fast` mode; in speed.json of a ladder's level."""

    prompt: float
    generation: float

    def problem(self) -> str:
        """Both are rates."""
        rates = (self.prompt, self.generation)
        return "" if all(0 <= rate < math.inf for rate in rates) else "a rate is out of range"


@dataclass(frozen=True)
class MachinePeaks(Record):
    """Rates that a number of threads reaches on this machine."""

    threads: int
    #: A plain read of a buffer larger than any cache.
    read_bytes_per_second: float
    buffer_bytes: int
    #: float32 multiply-adds per second, counted as two operations each.
    flops: float


@dataclass(frozen=True)
class BenchWork(Record):
    """The work that was timed, by kind, as `plan` calibrates its prediction with it."""

    #: Bytes, elements or layers by kind, of one generated token.
    generation: Mapping[str, int | float] = field(default_factory=dict)
    #: The same of the whole prompt.
    prompt: Mapping[str, int | float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ModelSpeed(Record):
    """The timing of one model. Rates are medians of the repetitions; None if not timed."""

    #: The path, as it was given.
    model: str
    #: "zeropoint" or "llama.cpp".
    engine: str = "zeropoint"
    file_bytes: int
    load_seconds: float = UNKNOWN_NUMBER
    #: Peak of the model's process.
    peak_memory_bytes: int = 0
    prompt_tokens_per_second: float | None = None
    generation_tokens_per_second: float | None = None
    #: Prompt processing, tokens per second.
    prompt: Spread | None = None
    #: Generation, tokens per second.
    generation: Spread | None = None
    #: Weights that are read to generate one token.
    bytes_per_token: int = 0
    #: Weights read per second of generation.
    bytes_per_second: float | None = None
    #: The same as a share of a plain read between the repetitions, from 0 to about 1.
    bandwidth_fraction: float | None = None
    #: Operations per second of prompt processing.
    prompt_flops_per_second: float | None = None
    #: The same as a share of the machine's float32 multiply-adds; integer products may exceed 1.
    flops_fraction: float | None = None


@dataclass(frozen=True, kw_only=True)
class OtherSpeed(ModelSpeed):
    """Another model, or the same file in another engine, timed in alternation."""

    ratio: SpeedRatio = field(default_factory=SpeedRatio)


@dataclass(frozen=True, kw_only=True)
class BenchResult(ModelSpeed):
    """The result of `bench` for one model on this machine, compared with others."""

    vs: OtherSpeed | None = field(default=None, metadata=OMIT)
    peer: OtherSpeed | None = field(default=None, metadata=OMIT)
    threads: int
    #: "fast" (activations in 8 bits) or "exact" (float32).
    mode: str
    #: How keys and values were stored, such as "q8_0/q4_0".
    kv_cache: str = "f32"
    #: Name of the instruction set of the kernels.
    kernels: str
    #: Tokens of the prompt; 0: not timed.
    prompt_tokens: int
    #: Tokens generated after it; 0: not timed.
    generated_tokens: int
    repetitions: int = 0
    peaks: MachinePeaks | None = None
    #: A plain read of memory between the repetitions.
    read_bytes_per_second: Spread | None = None
    work: BenchWork | None = field(default=None, metadata=OMIT)

    def __repr__(self) -> str:
        return (
            f"<BenchResult {self.model}: prompt {self.prompt!r}, generation {self.generation!r} "
            "tokens per second>"
        )
