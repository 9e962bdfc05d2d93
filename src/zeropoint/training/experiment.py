"""Trains several formats from several seeds on the same data, and compares the losses.

The run folder has, for each of these runs, `state-NAME.npz`, from which it continues after an
interruption, `curve-NAME.json` while it runs, and `end-NAME.json` when it is finished.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints import Checkpoint
from zeropoint.metrics.statistics import student_quantile
from zeropoint.results.interval import Interval, unknown
from zeropoint.results.run_store import RunFolder
from zeropoint.results.schema import UNKNOWN_NUMBER, Record
from zeropoint.results.train import GradientHistogram, TrainedFormat, TrainingCurve
from zeropoint.training.histogram import count_gradients
from zeropoint.training.recipes import TrainableFormat
from zeropoint.training.text import TrainingTokens
from zeropoint.training.trainer import Trainer, TrainingPlan

EVALUATIONS = 20  # of a run; the state is stored at each
CURVE_WINDOWS = 16  # held-out windows of an evaluation; the last one has all of them


@dataclass(frozen=True)
class TrainingMember:
    """One training run of an experiment."""

    format: TrainableFormat
    seed: int

    @property
    def label(self) -> str:
        """Format and seed."""
        return f"{self.format.label}, seed {self.seed}"

    @property
    def file(self) -> str:
        """Part of the names of its files."""
        return "-".join((self.format.name, *self.format.left_out, str(self.seed))).lower()


@dataclass(frozen=True)
class StepTrained:
    """A step of a training run is done."""

    member: TrainingMember
    done: int  # steps
    tokens: int
    #: Loss of the batch, in nats per token.
    loss: float
    #: The last held-out loss; None before the first.
    held_out: float | None

    @property
    def detail(self) -> str:
        """The losses, for a progress bar."""
        held_out = "" if self.held_out is None else f", held out {self.held_out:.4f}"
        return f"loss {self.loss:.4f}{held_out}"


@dataclass(frozen=True, kw_only=True)
class MemberEnd(Record):
    """What is kept of a training run that is finished."""

    curve: TrainingCurve
    #: Loss of each held-out window at the end.
    windows: tuple[float, ...]
    #: Loss with the weights that are written, and exact inputs.
    stored_loss: float = UNKNOWN_NUMBER
    #: Of the baseline's first seed: mean loss with its products rounded to each of the formats.
    rounded: tuple[float, ...] = ()
    histogram: GradientHistogram | None = None

    @property
    def loss(self) -> float:
        """Mean loss of the held-out windows."""
        return float(np.mean(self.windows))


@dataclass(frozen=True)
class Experiment:
    """Formats and seeds; the first format is the baseline if `compares`."""

    folder: RunFolder
    start: Callable[[TrainableFormat], Checkpoint]
    tokens: TrainingTokens
    plan: TrainingPlan
    formats: tuple[TrainableFormat, ...]
    seeds: int
    compares: bool = True
    ends: dict[str, MemberEnd] = field(default_factory=dict)

    @property
    def members(self) -> list[TrainingMember]:
        """All training runs, in their order: every format of the first seed, then the next."""
        seeds = range(self.seeds)
        return [TrainingMember(format, seed) for seed in seeds for format in self.formats]

    @property
    def step_tokens(self) -> int:
        """Tokens of a step."""
        return self.plan.windows * self.tokens.context

    def trainer(self, member: TrainingMember) -> Trainer:
        """Return a trainer of a member, at its first step."""
        start = self.start(member.format)
        return Trainer(start, member.format, self.tokens, self.plan, member.seed)

    def step_seconds(self) -> Iterator[tuple[TrainableFormat, float]]:
        """Yield how long a step of each format takes, evaluations included."""
        for format in self.formats:
            trainer = self.trainer(TrainingMember(format, 0))
            trainer.train_step()
            began = time.perf_counter()
            trainer.train_step()
            step = time.perf_counter() - began
            # A forward pass takes about a third of a step.
            share = CURVE_WINDOWS / self.plan.windows / 3
            yield format, step * (1 + EVALUATIONS * share / self.plan.steps)

    def run(self, member: TrainingMember) -> Iterator[StepTrained]:
        """Train a member, or continue; yield a record for each step.

        Stopping between two records is safe. What was done since the last evaluation is repeated.
        """
        if self._finished(member):
            return
        trainer = self.trainer(member)
        curve = self._restore(member, trainer)
        every = max(1, self.plan.steps // EVALUATIONS)
        losses: list[float] = []
        while trainer.step < self.plan.steps:
            loss = trainer.train_step()
            losses.append(loss)
            held_out = curve.held_out[-1] if curve.held_out else None
            if trainer.step % every == 0 or trainer.step == self.plan.steps:
                windows = trainer.evaluate(windows=CURVE_WINDOWS)
                held_out = float(windows.mean())
                curve = _extended(curve, self._tokens(trainer), float(np.mean(losses)), held_out)
                losses = []
                self._save(member, trainer, curve)
            yield StepTrained(member, trainer.step, self._tokens(trainer), loss, held_out)
        self._finish(member, trainer, curve)

    def trained(self, member: TrainingMember) -> Trainer:
        """Return the trainer of a finished member of the first seed."""
        trainer = self.trainer(member)
        trainer.restore(self.folder.load_arrays(f"state-{member.file}"))
        return trainer

    def results(self) -> tuple[TrainedFormat, ...]:
        """Return the results of all members that are finished."""
        return tuple(self._result(format) for format in self.formats)

    def histogram(self) -> GradientHistogram | None:
        """Return the histogram of the first format that has one."""
        for format in self.formats:
            end = self.ends.get(TrainingMember(format, 0).file)
            if end and end.histogram:
                return end.histogram
        return None

    def _tokens(self, trainer: Trainer) -> int:
        return trainer.step * self.step_tokens

    def _finished(self, member: TrainingMember) -> bool:
        if (self.folder.path / f"end-{member.file}.json").exists():
            self.ends[member.file] = self.folder.load_record(f"end-{member.file}", MemberEnd)
        return member.file in self.ends

    def _restore(self, member: TrainingMember, trainer: Trainer) -> TrainingCurve:
        if not (self.folder.path / f"state-{member.file}.npz").exists():
            return TrainingCurve(member.seed, (), (), ())
        arrays = self.folder.load_arrays(f"state-{member.file}")
        trainer.restore(arrays)
        columns = [tuple(arrays[f"curve {name}"].tolist()) for name in _COLUMNS]
        return TrainingCurve(member.seed, *columns)

    def _save(self, member: TrainingMember, trainer: Trainer, curve: TrainingCurve) -> None:
        columns = {f"curve {name}": np.array(getattr(curve, name)) for name in _COLUMNS}
        self.folder.save_arrays(f"state-{member.file}", {**trainer.state(), **columns})
        self.folder.save_table(f"curve-{member.file}", curve.to_json())

    def _finish(self, member: TrainingMember, trainer: Trainer, curve: TrainingCurve) -> None:
        first, baseline = member.seed == 0, self.compares and member.format == self.formats[0]
        others = self.formats if first and baseline else ()
        end = MemberEnd(
            curve=curve,
            windows=tuple(trainer.evaluate().tolist()),
            stored_loss=float(trainer.evaluate(as_stored=True).mean()) if first else UNKNOWN_NUMBER,
            rounded=tuple(float(trainer.evaluate(other).mean()) for other in others),
            histogram=count_gradients(trainer) if first else None,
        )
        self.folder.save_table(f"end-{member.file}", end.to_json())
        self.ends[member.file] = end
        if not first:  # only the first seed is written
            self.folder.save_arrays(f"state-{member.file}", {})

    def _result(self, format: TrainableFormat) -> TrainedFormat:
        ends = [self.ends.get(TrainingMember(format, seed).file) for seed in range(self.seeds)]
        found = [end for end in ends if end]
        base = self.formats[0]
        gap = windows = None
        rounded = UNKNOWN_NUMBER
        if self.compares and format != base:
            bases = [self.ends.get(TrainingMember(base, seed).file) for seed in range(self.seeds)]
            pairs = [(a, b) for a, b in zip(ends, bases, strict=True) if a and b]
            gap = mean_interval([a.loss - b.loss for a, b in pairs])
            if pairs:
                one, other = pairs[0]
                windows = mean_interval(np.subtract(one.windows, other.windows))
                rounded = other.rounded[self.formats.index(format)]
        return TrainedFormat(
            format=format.name,
            left_out=format.left_out,
            curves=tuple(end.curve for end in found),
            loss=mean_interval([end.loss for end in found]),
            gap=gap,
            gap_of_first_seed=windows,
            stored_loss=found[0].stored_loss if found else UNKNOWN_NUMBER,
            rounded_baseline=rounded,
        )


_COLUMNS = ("tokens", "training", "held_out")


def _extended(curve: TrainingCurve, tokens: int, training: float, held_out: float) -> TrainingCurve:
    return TrainingCurve(
        curve.seed,
        (*curve.tokens, tokens),
        (*curve.training, training),
        (*curve.held_out, held_out),
    )


def mean_interval(values: Sequence[float] | NDArray[np.float64]) -> Interval:
    """Return a mean and its 95 % interval by Student's t; the interval of one value is unknown.

    >>> mean_interval([1.0, 2.0, 3.0])
    2 (-0.4843 … 4.484)
    """
    found = np.asarray(values, np.float64)
    if not found.size:
        return unknown()
    mean = float(found.mean())
    if found.size < 2:
        return Interval(mean)
    half = student_quantile(found.size - 1) * float(found.std(ddof=1)) / found.size**0.5
    return Interval(mean, mean - half, mean + half)


def output_path(output: Path, format: TrainableFormat, several: bool) -> Path:
    """Return the file of a format: `output`, or a file in the folder `output`."""
    return output / f"{format.name.lower()}.gguf" if several else output
