"""Trains one model in one format from one seed, step by step, with AdamW.

    m ← 0.9 m + 0.1 g        v ← 0.95 v + 0.05 g²        w ← w − rate · (m̂ / (√v̂ + ε) + decay · w)

The norm of the gradient is clipped to 1, and the decay of matrices is 0.1. The rate rises linearly
during the first 2 % of the steps, and falls along a cosine to a tenth.

All random numbers come from (seed, step, matrix), so a run that was stopped continues with the same
numbers. Its results are the same bits with the same number of threads.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import MeasurementError
from zeropoint.models.trainable import MatrixProduct, TrainableModel
from zeropoint.training.products import BF16_RECIPE, LowBitLinear, TrainingRecipe, bfloat16_products
from zeropoint.training.recipes import TrainableFormat
from zeropoint.training.rounding import Blocks
from zeropoint.training.text import MAX_WINDOWS, TrainingTokens

Arrays = Mapping[str, NDArray[np.generic]]

BETAS = (0.9, 0.95)
DECAY = 0.1
MAX_GRADIENT_NORM = 1.0
WARM_UP = 0.02
LAST_RATE = 0.1
EVALUATED_WINDOWS = 4  # together


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How long a model is trained, and with which rate."""

    steps: int
    #: Windows of a step.
    windows: int
    #: The highest rate in bfloat16.
    rate: float

    def rate_at(self, step: int) -> float:
        """Return the rate of a step as a share of the highest."""
        warm = max(1, math.ceil(WARM_UP * self.steps))
        if step < warm:
            return (step + 1) / warm
        done = (step - warm) / max(1, self.steps - warm)
        return LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * done)) / 2


class Trainer:
    """A model in training. `step` counts the steps that are done."""

    def __init__(
        self,
        start: Checkpoint,
        format: TrainableFormat,
        tokens: TrainingTokens,
        plan: TrainingPlan,
        seed: int,
    ) -> None:
        self.format, self.tokens, self.plan, self.seed = format, tokens, plan, seed
        self.step = 0
        self._names: list[str] = []
        self._active = format
        self._as_stored = False
        self.model = TrainableModel(start, self._product)
        self._blocks = len(self.model.architecture.layers)
        self._optimizer = self._make_optimizer()

    def train_step(self) -> float:
        """Train on the next batch; return its loss before the step, in nats per token.

        Raises MeasurementError if the loss or the gradient is not finite.
        """
        rows = torch.from_numpy(self.tokens.batch(self.seed, self.step, self.plan.windows))
        rate = self.plan.rate_at(self.step) * self.plan.rate * self.format.rate
        decays = self.step < self.format.decayed * self.plan.steps
        for group in self._optimizer.param_groups:
            group["lr"] = rate
            group["weight_decay"] = DECAY if group["decays"] and decays else 0.0
        with bfloat16_products():
            loss = _loss(self.model.logits(rows[:, :-1]), rows[:, 1:]).mean()
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(list(self.model.parameters.values()), MAX_GRADIENT_NORM)
        found = float(loss.detach())
        if not math.isfinite(found) or not math.isfinite(float(norm)):
            raise MeasurementError(
                f"{self.format.name}, seed {self.seed}: the loss is not finite at step"
                f" {self.step + 1}; a lower learning rate (--rate) helps"
            )
        self._optimizer.step()
        self.step += 1
        return found

    def evaluate(
        self,
        format: TrainableFormat | None = None,
        *,
        as_stored: bool = False,
        windows: int | None = None,
    ) -> NDArray[np.float64]:
        """Return the loss of each held-out window, or of some of them, in nats per token.

        The forward products are rounded as in training, or by the recipe of another `format`. With
        `as_stored`, weights are those that are written, and inputs are not rounded.
        """
        every = len(self.tokens.held_out) // min(windows or MAX_WINDOWS, len(self.tokens.held_out))
        held_out = self.tokens.held_out[::every][:windows]
        products = nullcontext() if as_stored else bfloat16_products()
        found = []
        with torch.no_grad(), self._evaluation(format or self.format, as_stored), products:
            for at in range(0, len(held_out), EVALUATED_WINDOWS):
                rows = torch.from_numpy(held_out[at : at + EVALUATED_WINDOWS])
                losses = _loss(self.model.logits(rows[:, :-1]), rows[:, 1:])
                found.append(losses.double().mean(dim=1).numpy())
        return np.concatenate(found)

    def backward(self, format: TrainableFormat) -> None:
        """Run the next batch forward and backward with another format's recipe; change nothing."""
        rows = torch.from_numpy(self.tokens.batch(self.seed, self.step, self.plan.windows))
        with self._evaluation(format, False), bfloat16_products():
            _loss(self.model.logits(rows[:, :-1]), rows[:, 1:]).mean().backward()  # type: ignore[no-untyped-call]
        self._optimizer.zero_grad()

    def low_bit_names(self) -> list[str]:
        """Return the names of the matrices that are trained in the format."""
        return [name for name in self._names if self._recipe(name) is not BF16_RECIPE]

    def rounded(self, name: str) -> Blocks:
        """Return a matrix of the format as it is written."""
        right = self._recipe(name).forward.right
        return right(self.model.parameters[name].detach())

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Return everything that the next step depends on."""
        arrays: dict[str, NDArray[np.generic]] = {"step": np.array([self.step], np.int64)}
        for name, parameter in self.model.parameters.items():
            arrays[name] = parameter.detach().numpy()
            moments = self._optimizer.state.get(parameter, {})
            for key in ("exp_avg", "exp_avg_sq") if moments else ():
                arrays[f"{key} {name}"] = moments[key].numpy()
        return arrays

    def restore(self, arrays: Arrays) -> None:
        """Continue from a state."""
        self.step = int(arrays["step"][0])
        for name, parameter in self.model.parameters.items():
            parameter.data.copy_(torch.from_numpy(arrays[name]))
            if f"exp_avg {name}" in arrays:
                self._optimizer.state[parameter] = {
                    "step": torch.tensor(float(self.step)),
                    "exp_avg": torch.from_numpy(arrays[f"exp_avg {name}"]),
                    "exp_avg_sq": torch.from_numpy(arrays[f"exp_avg_sq {name}"]),
                }

    def _make_optimizer(self) -> torch.optim.AdamW:
        parameters = self.model.parameters.values()
        groups = [
            {"params": [p for p in parameters if (p.ndim > 1) == decays], "decays": decays}
            for decays in (True, False)
        ]
        return torch.optim.AdamW(groups, betas=BETAS, eps=1e-8)

    def _product(self, name: str) -> MatrixProduct:
        """Return what multiplies by a matrix."""
        index = len(self._names)
        self._names.append(name)

        def draws() -> Generator:
            words = np.random.SeedSequence([self.seed, self.step, index]).generate_state(2)
            return Generator().manual_seed(int(words[0]) << 32 | int(words[1]))

        def multiply(x: Tensor, weight: Tensor) -> Tensor:
            recipe = self._recipe(name)
            if self._as_stored:
                return x @ stored_weights(recipe, weight).T
            return LowBitLinear.apply(x, weight, recipe, draws)  # type: ignore[no-any-return,no-untyped-call]

        return multiply

    def _recipe(self, name: str) -> TrainingRecipe:
        """Return the recipe of a matrix: bfloat16 where the format is not used."""
        block = int(name.split(".")[1])
        tokens = self.plan.windows * self.tokens.context
        parameter = self.model.parameters[name]
        used = block < self._blocks - self._active.high_precision_blocks
        fits = self._active.fits(tuple(parameter.shape), tokens)
        return self._active.recipe if used and fits else BF16_RECIPE

    @contextmanager
    def _evaluation(self, format: TrainableFormat, as_stored: bool) -> Iterator[None]:
        before = self._active, self._as_stored
        tables = [
            parameter
            for name, parameter in self.model.parameters.items()
            if as_stored and parameter.ndim > 1 and name not in self._names
        ]
        exact = [table.data for table in tables]
        self._active, self._as_stored = format, as_stored
        for table in tables:  # the embedding and the output matrix
            table.data = table.data.half().float()
        try:
            yield
        finally:
            self._active, self._as_stored = before
            for table, values in zip(tables, exact, strict=True):
                table.data = values


def stored_weights(recipe: TrainingRecipe, weight: Tensor) -> Tensor:
    """Return a matrix as it is written: in its format, or in float16."""
    if recipe is BF16_RECIPE:
        return weight.half().float()
    return recipe.forward.right(weight).weights()


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of each position, (batch, n) nats."""
    flat = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return flat.reshape(labels.shape)
