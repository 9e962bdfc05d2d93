"""The training loop: stages of Adam steps, a guard that keeps the best state, and its resume.

Every step, guard figure and saved state is a function of the models, the texts, the settings, the
number of threads and the instruction set: batch t depends on (seed, t) only. So a run that was
killed continues from its last saved state to the same bytes.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zeropoint.healing.guard import DIVERGED, GuardFigures
from zeropoint.healing.latents import Latent
from zeropoint.healing.loss import StateDivergence
from zeropoint.healing.model import HealedModel
from zeropoint.healing.records import (
    GuardMeasured,
    HealRecord,
    HealSettings,
    StageEnded,
    StepHealed,
)
from zeropoint.healing.stages import SHARES, stage_latents, stage_names
from zeropoint.healing.windows import Windows, batch_of
from zeropoint.models.student import OutputHead
from zeropoint.models.torch_threads import torch_threads

Arrays = Mapping[str, NDArray[np.generic]]
WARM_UP_STEPS = 4
FINAL_RATE = 0.1  # of the learning rate, in the last step
PATIENCE = 3  # evaluations of the guard without MIN_GAIN, after which a stage ends
MIN_GAIN = 0.01
MIN_GUARD_STEPS = 4  # between two evaluations


class StageRun:
    """One stage while it runs: what it trains, Adam's moments, and how long it gained nothing."""

    def __init__(self, latents: list[Latent]) -> None:
        self.latents = latents
        self.adam = torch.optim.Adam(
            [{"params": [latent.alpha], "lr": latent.rate} for latent in latents],
            betas=(0.9, 0.95),
            eps=1e-12,  # the gradients of single scales are tiny
        )
        self.step = 0
        self.stale = 0  # evaluations of the guard without a gain

    def advance(self, steps: int) -> None:
        """Do one of `steps` steps with the gradients that were collected."""
        warm = min(1.0, (self.step + 1) / WARM_UP_STEPS)
        left = 1 - (1 - FINAL_RATE) * self.step / max(steps - 1, 1)
        for group, latent in zip(self.adam.param_groups, self.latents, strict=True):
            group["lr"] = latent.rate * warm * left
            latent.collect()
        self.adam.step()
        self.adam.zero_grad()
        for latent in self.latents:
            latent.apply()
        self.step += 1

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Return α and Adam's moments, all latents in one array each, and the counts."""
        moments = [self.adam.state[latent.alpha] for latent in self.latents]
        return {
            "stage_base": _joined([base for latent in self.latents for base in latent.base]),
            "alpha": _joined([latent.alpha for latent in self.latents]),
            "mean": _joined([one["exp_avg"] for one in moments]),
            "square": _joined([one["exp_avg_sq"] for one in moments]),
            "counts": np.array([self.step, self.stale]),
        }

    def restore(self, arrays: Arrays) -> None:
        """Continue from `state`; the numbers of the latents must be those of its `stage_base`."""
        self.step, self.stale = (int(one) for one in arrays["counts"])
        alphas = [latent.alpha for latent in self.latents]
        parts = [_split(arrays[name], alphas) for name in ("alpha", "mean", "square")]
        for latent, alpha, mean, square in zip(self.latents, *parts, strict=True):
            latent.alpha.copy_(alpha)
            step = torch.tensor(float(self.step))
            self.adam.state[latent.alpha] = {"step": step, "exp_avg": mean, "exp_avg_sq": square}
            latent.apply()


class Healing:
    """Trains a model against the hidden states of its reference."""

    def __init__(
        self,
        model: HealedModel,
        reference: OutputHead,
        train: Windows,
        guard: Windows,
        settings: HealSettings,
    ) -> None:
        self.model, self.train, self.guard, self.settings = model, train, guard, settings
        self.divergence = StateDivergence(reference, model.model.head)
        self.plan = self._plan()
        self.guard_every = max(MIN_GUARD_STEPS, -(-self.steps // settings.evaluations))
        self.start: GuardFigures | None = None
        self.original = [one.values for one in model.numbers()]
        self.best = [one.values for one in model.numbers()]
        self.reason = ""  # why no state is better than the start
        self.best_score = 0.0  # mean log ratio of the guard; that of the start is 0
        self.done = 0  # steps of all stages
        self.stage = 0  # number of the stage that runs, or is the next one
        self._run: StageRun | None = None

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(steps for _, steps in self.plan)

    def run(self) -> Iterator[HealRecord]:
        """Train all stages; the model has the best state then. Stopping between records is safe."""
        if self.start is None:
            self.start = self.measure_guard()
            yield GuardMeasured(0, "start", self.start, 1.0, best=True)
        for number in range(self.stage, len(self.plan)):
            yield from self._run_stage(number)

    @property
    def step_tokens(self) -> int:
        """Tokens of one step."""
        return self.settings.batch_windows * int(self.train.chunks[0].tokens.size)

    @property
    def evaluations(self) -> int:
        """Evaluations of the guard, with that of the start."""
        return 1 + sum(-(-steps // self.guard_every) for _, steps in self.plan)

    def time_step(self) -> tuple[float, float]:
        """Return the seconds of a step of the last stage and of a window of the guard.

        The first windows of both texts must be there. Nothing is changed.
        """
        latents = self._latents(self.plan[-1][0])
        started = time.perf_counter()
        self._gradients(list(range(min(self.settings.batch_windows, len(self.train.states)))))
        middle = time.perf_counter()
        self._window(0)
        end = time.perf_counter()
        for latent in latents:
            latent.release()
        return middle - started, end - middle

    def measure_guard(self, *, exact: bool = False) -> GuardFigures:
        """Return the KL of each window of the guard, over the positions that `measure` scores."""
        windows = range(len(self.guard.chunks))
        found = np.array([self._window(place, exact=exact) for place in windows])
        return GuardFigures(found, tuple(chunk.domain for chunk in self.guard.chunks))

    def _window(self, place: int, *, exact: bool = False) -> float:
        """Return the mean KL of a window of the guard."""
        first = self.guard.chunks[place].first
        with torch.no_grad(), self._products(exact=exact), self.divergence as divergence:
            states = self.model.states(self.guard.tokens([place]))[0, first:]
            expected = self.guard.states[place][first:].to(states.device)
            return float(divergence.values(expected, states).mean())

    def judge(self) -> tuple[GuardFigures, GuardFigures]:
        """Return the exact figures of the file before and of the best state, which stays."""
        self._set(self.original)
        before = self.measure_guard(exact=True)
        self._set(self.best)
        return before, self.measure_guard(exact=True)

    def _set(self, values: Sequence[Tensor]) -> None:
        for one, found in zip(self.model.numbers(), values, strict=True):
            one.values = found

    def state(self) -> Arrays:
        """Return what `restore` continues from: valid after a GuardMeasured or a StageEnded."""
        assert self.start is not None
        found: dict[str, NDArray[np.generic]] = {
            "start": self.start.kl,
            "best": _joined(self.best),
            "progress": np.array([self.done, self.best_score, self.stage]),
        }
        return found | (self._run.state() if self._run else {})

    def restore(self, arrays: Arrays) -> None:
        """Continue from the arrays of `state`."""
        kinds = tuple(chunk.domain for chunk in self.guard.chunks)
        self.start = GuardFigures(arrays["start"].astype(np.float64), kinds)
        numbers = list(self.model.numbers())
        self.best = _split(arrays["best"], [one.values for one in numbers])
        done, self.best_score, stage = (float(one) for one in arrays["progress"])
        self.done, self.stage = int(done), int(stage)
        self._set(self.best)
        if "alpha" in arrays:
            name = self.plan[self.stage][0]
            trained = [one for latent in self._latents(name) for one in latent.numbers]
            bases = _split(arrays["stage_base"], [one.values for one in trained])
            for one, base in zip(trained, bases, strict=True):
                one.values = base
            self._run = StageRun(self._latents(name))
            self._run.restore(arrays)

    def _run_stage(self, number: int) -> Iterator[HealRecord]:
        assert self.start is not None
        stage, steps = self.plan[number]
        first = sum(count for _, count in self.plan[:number])
        run = self._run = self._run or StageRun(self._latents(stage))
        while run.step < steps and run.stale < PATIENCE:
            loss = self._gradients(self._batch(self.done))
            if not np.isfinite(loss):
                self.reason = self.reason or DIVERGED
                break
            run.advance(steps)
            self.done = first + run.step
            yield StepHealed(self.done, stage, loss)
            if run.step % self.guard_every == 0 or run.step == steps:
                yield self._measure(run, stage)
        for latent in run.latents:
            latent.release()
        self._run = None
        self.done, self.stage = first + steps, number + 1
        self._set(self.best)
        yield StageEnded(self.done, stage, float(np.exp(self.best_score)))

    def _measure(self, run: StageRun, stage: str) -> GuardMeasured:
        """Measure the guard, and keep the state if it is the best."""
        assert self.start is not None
        figures = self.measure_guard()
        score = figures.score(self.start)
        run.stale = 0 if score < self.best_score - MIN_GAIN else run.stale + 1
        better = score < self.best_score
        self.reason = "" if self.best_score < 0 or better else figures.verdict(self.start)
        if better:
            self.best = [one.values for one in self.model.numbers()]
            self.best_score = score
        ratio = figures.ratio(self.start).mean
        return GuardMeasured(self.done, stage, figures, ratio, best=better)

    def _batch(self, step: int) -> list[int]:
        """Return the windows of a step."""
        size, count = self.settings.batch_windows, len(self.train.chunks)
        return batch_of(step, size, count, self.settings.seed)

    def _gradients(self, places: Sequence[int]) -> float:
        """Compute the gradients of a batch of windows; return its mean KL."""
        with self._products(exact=False), self.divergence as divergence:
            states = self.model.states(self.train.tokens(places))
            flat = states.reshape(-1, states.shape[-1])
            expected = self.train.expected(places).to(flat.device).reshape(flat.shape)
            total, gradient = divergence.gradient(expected, flat)
            flat.backward(gradient / len(flat))  # type: ignore[no-untyped-call]
        self.model.collect_norms()
        return total / len(flat)

    def _plan(self) -> list[tuple[str, int]]:
        """Return the stages that have something to train, and the steps of each."""
        total = self.settings.tokens // self.step_tokens
        names = [name for name in stage_names(self.settings.stages) if self._trains(name)]
        shares = sum(SHARES[name] for name in names)
        return [(name, max(1, round(total * SHARES[name] / shares))) for name in names]

    def _latents(self, stage: str) -> list[Latent]:
        norms = "norms" in self.settings.stages
        return stage_latents(self.model, stage, norms=norms, rates=self.settings.rates)

    def _trains(self, stage: str) -> bool:
        latents = self._latents(stage)
        for latent in latents:
            latent.release()
        return bool(latents)

    @contextmanager
    def _products(self, *, exact: bool) -> Iterator[None]:
        """Round the operands of products to bfloat16, where the processor is fast at that."""
        matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
        before = matmul.fp32_precision
        matmul.fp32_precision = "bf16" if self.settings.fast_products and not exact else "ieee"
        try:
            with torch_threads(self.settings.threads):
                yield
        finally:
            matmul.fp32_precision = before


def _joined(tensors: Sequence[Tensor]) -> NDArray[np.float32]:
    """Return tensors as one flat array."""
    flat: NDArray[np.float32] = torch.cat([one.reshape(-1).cpu() for one in tensors]).numpy()
    return flat


def _split(flat: NDArray[np.generic], like: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors of `_joined`, on the devices and with the shapes of `like`."""
    whole = torch.from_numpy(flat.astype(np.float32))
    parts = torch.split(whole, [one.numel() for one in like])
    return [
        part.clone().view(one.shape).to(one.device) for part, one in zip(parts, like, strict=True)
    ]
