"""Predicts how long calibration and rounding take, from shapes and from short measurements.

    forward pass      tokens · weights                         multiply-adds in float32
    second moments    tokens · columns² / 2                    for each distinct input
    factorization     columns³ / 3                             in float64, for each distinct input
    rounding          rows · columns²                          for each matrix

Each is divided by the rate that this machine reaches in a small case of the same operation, so the
result is in seconds. It is a first guess: a command that has finished a part of the work predicts
the rest from the time that this part took.
"""

import time
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import asdict, dataclass
from math import prod

import numpy as np

from zeropoint import cache, kernels
from zeropoint._version import __version__
from zeropoint.calibration.moment_sums import add_second_moments
from zeropoint.calibration.moments import input_of
from zeropoint.formats import find_format
from zeropoint.kernels.machine import this_machine
from zeropoint.models.architecture import Architecture
from zeropoint.plans import Choice
from zeropoint.quantizers.feedback import prepare, round_with_feedback
from zeropoint.quantizers.feedback_rounding import linear_algebra
from zeropoint.quantizers.nearest import quantize

SAMPLE_COLUMNS = 1024
SAMPLE_ROWS = 256  # a slab of rounding, and the tokens of a forward pass
RECORD_FILE = "work-rates.json"  # in the cache
MAX_AGE_SECONDS = 24 * 3600.0  # of measured rates


@dataclass(frozen=True)
class WorkRates:
    """Multiply-adds per second in each kind of work, on this machine with some threads."""

    forward: float
    moments: float
    factorization: float
    rounding: float


def work_rates(threads: int) -> WorkRates:
    """Return the rates of this machine: measured within MAX_AGE_SECONDS, or now."""
    machine = this_machine()
    identity = {
        "zeropoint": __version__, "processor": machine.processor, "threads": threads,
        "instruction_set": machine.instruction_set, "library": linear_algebra(),
    }  # fmt: skip
    stored = cache.load_record(RECORD_FILE)
    if isinstance(stored, dict) and stored.get("identity") == identity:
        try:
            if 0 <= time.time() - float(stored["time"]) < MAX_AGE_SECONDS:
                return WorkRates(**{key: float(rate) for key, rate in stored["rates"].items()})
        except (KeyError, TypeError, ValueError, AttributeError):
            pass  # damaged: measure again
    rates = measure_work_rates(threads)
    cache.save_record(
        RECORD_FILE, {"identity": identity, "time": time.time(), "rates": asdict(rates)}
    )
    return rates


def measure_work_rates(threads: int) -> WorkRates:
    """Measure the rates with one small matrix, which takes about a second."""
    columns, rows = SAMPLE_COLUMNS, SAMPLE_ROWS
    source = np.random.default_rng(0)
    weights = source.standard_normal((columns, columns)).astype(np.float32)
    inputs = source.standard_normal((rows, columns)).astype(np.float32)
    packed = kernels.pack(quantize(weights, "BF16", threads=threads), threads=threads)
    total = np.zeros((columns, columns), np.float32)
    forward = _seconds(lambda: kernels.matmul(packed, inputs, mode="exact", threads=threads))
    moments = _seconds(lambda: add_second_moments(total, inputs, threads))
    factored = prepare(total + total.T)
    factorization = _seconds(lambda: prepare(total + total.T), repeat=1)
    part = np.concatenate([weights] * -(-threads * rows // columns))[: threads * rows]
    format = find_format("Q4_0")
    blocks = kernels.encode(format, part, threads=threads)

    def round_part() -> object:
        return round_with_feedback(part, blocks, format, factored, threads=threads)

    rounding = _seconds(round_part, repeat=1)
    return WorkRates(
        forward=rows * columns**2 / forward,
        moments=rows * columns**2 / 2 / moments,
        factorization=columns**3 / 3 / factorization,
        rounding=len(part) * columns**2 / rounding,
    )


def _seconds(run: Callable[[], object], repeat: int = 2) -> float:
    """Return the seconds of the shortest of some runs."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


@dataclass(frozen=True)
class LayerWork:
    """Predicted seconds of the parts of the work on one layer."""

    forward: float  # one pass of one chunk
    moments: float  # of the inputs in one chunk
    rounding: Mapping[str, float]  # of each matrix, with feedback

    def rounding_of(self, names: Container[str]) -> float:
        """Return the seconds of rounding these matrices."""
        return sum(seconds for name, seconds in self.rounding.items() if name in names)


def predict_layers(
    architecture: Architecture,
    shapes: Mapping[str, tuple[int, ...]],
    context: int,
    rates: WorkRates,
) -> list[LayerWork]:
    """Return the work on each layer; `shapes` are the shapes of all matrices, by name."""
    return [
        _predict_layer(
            {name: shapes[name] for name in sorted(layer.tensors.values()) if name in shapes},
            layer.experts.used if layer.experts else 1,
            context,
            rates,
        )
        for layer in architecture.layers
    ]


def _predict_layer(
    shapes: Mapping[str, tuple[int, ...]], used: int, context: int, rates: WorkRates
) -> LayerWork:
    forward = moments = 0.0
    rounding: dict[str, float] = {}
    for name, shape in shapes.items():
        experts = shape[0] if len(shape) == 3 else 1
        tokens = context * (used / experts if experts > 1 else 1)  # that one expert reads
        rows, columns = shape[-2:]
        forward += tokens * prod(shape) / rates.forward
        rounding[name] = experts * rows * columns**2 / rates.rounding
        if input_of(name, shapes) == name:
            moments += tokens * experts * columns**2 / 2 / rates.moments
            rounding[name] += experts * columns**3 / 3 / rates.factorization
    return LayerWork(forward, moments, rounding)


def rounded_tensors(choices: Iterable[Choice], formats: Container[str]) -> set[str]:
    """Return the names of the tensors that get feedback, if they have moments.

    `formats` are the names of the formats whose codes are chosen again.
    """
    return {c.name for c in choices if c.changes and c.format.name in formats}


def milliseconds(seconds: float) -> int:
    """Return predicted seconds as units of progress, which are counted in whole numbers."""
    return round(1000 * seconds)
