"""Gradients of a model's log-likelihood with respect to the products of its matrices.

For a sequence of tokens x_0 … x_{n−1}, every position t draws a label y_t from the model's own
distribution p(· | x_0 … x_t), and the loss is

    L = − Σ_t log p(y_t | x_0 … x_t)

For a matrix W with inputs x_t and products z_t = W · x_t, a visitor receives x_t and g_t = ∂L/∂z_t;
the gradient ∂L/∂W = Σ_t g_t x_tᵀ is never formed. Because labels are drawn from the model itself,
the expectation of squared gradients is the Fisher matrix, which is the second derivative of the KL
divergence from this model (Martens, "New insights and perspectives on the natural gradient method",
arXiv:1412.1193).

This module needs torch and transformers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import MeasurementError
from zeropoint.formats import F32
from zeropoint.models.architecture import read_architecture, tensor_names
from zeropoint.models.layer_inputs import TABLE
from zeropoint.models.modules import BlockLinear
from zeropoint.models.torch_threads import torch_threads
from zeropoint.models.transformers_engine import TransformersEngine
from zeropoint.models.weights import Weights

I64 = NDArray[np.int64]

LOGIT_BYTES = 128 << 20  # logits that are alive at once; their gradients take three times as much


class GradientVisitor(Protocol):
    """Receives gradients while `GradientPass.run` goes backward through the model."""

    def add_products(
        self, name: str, expert: int | None, inputs: F32, gradients: F32, sequences: I64
    ) -> None:
        """Receive n rows that a matrix multiplied.

        `inputs` (n, in) and `gradients` (n, out), in the order of the rows of the GGUF tensor
        `name`; `sequences` (n,) is the number of each row's sequence. The arrays are read only.
        """

    def add_lookups(self, name: str, tokens: I64, gradients: F32, sequences: I64) -> None:
        """Receive n rows that were looked up in the embedding `name`.

        `tokens` (n,) are the numbers of the rows. `gradients` (n, width) are with respect to the
        stored rows, before they are multiplied by the embedding's scale.
        """


class GradientPass:
    """A model whose matrices stay quantized, ready for forward and backward passes.

    It takes the size of the model's file in memory, and in `run` about 60 kB for each token and
    layer of a model with 1.5 billion weights.
    """

    def __init__(self, checkpoint: Checkpoint, *, threads: int) -> None:
        self.architecture = read_architecture(checkpoint)
        self.threads = threads
        self._weights = Weights(checkpoint, mode="exact", threads=threads)
        names = tensor_names(self.architecture) - {TABLE}
        self._weights.load(
            sorted(names if self.architecture.tied else names - {self.architecture.embedding})
        )
        self._engine = TransformersEngine(self.architecture, self._weights)
        self._engine.module.requires_grad_(False)

    def matrices(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the matrices that multiply, by GGUF name; experts are stacked."""
        return self._weights.matrices()

    def run(
        self, tokens: I64, visitor: GradientVisitor, *, seed: int, first: int = 0
    ) -> NDArray[np.float64]:
        """Run sequences (batch, n) forward and backward; return the loss of each, (batch,) nats.

        The sequences have the numbers first … first + batch − 1. The labels depend on `seed` and on
        the number of a sequence only. The gradients can differ in their last bits with the number
        of threads and with the batch, because torch's products of float32 matrices do; a label
        could differ if its random number lies within that error of a border.

        Raises MeasurementError if a logit is not finite.
        """
        batch, count = tokens.shape
        sequences = np.repeat(np.arange(first, first + batch), count)
        with torch_threads(self.threads), self._hooks(visitor, sequences):
            embedding = self._engine.module.get_input_embeddings()
            embeddings = embedding(torch.from_numpy(tokens)).requires_grad_(True)
            looked_up = self._weights.look_up(self.architecture.inputs, tokens)
            states = self._engine.states(embeddings, looked_up)
            flat = states.detach().reshape(batch * count, -1)
            draws = np.stack([_draws(seed, first + row, count) for row in range(batch)])
            losses, gradient = self._head(flat, draws.reshape(-1), visitor, sequences)
            states.backward(gradient.reshape(states.shape))  # type: ignore[no-untyped-call]
            assert embeddings.grad is not None
            looked_up = (embeddings.grad * embedding.scale).reshape(batch * count, -1).numpy()
            visitor.add_lookups(
                self.architecture.embedding, tokens.reshape(-1), looked_up, sequences
            )
        totals: NDArray[np.float64] = losses.reshape(batch, count).sum(axis=1)
        return totals

    def _head(
        self, states: Tensor, draws: NDArray[np.float64], visitor: GradientVisitor, sequences: I64
    ) -> tuple[NDArray[np.float64], Tensor]:
        """Return the loss of each position and its gradient at the states (n, width)."""
        step = max(1, LOGIT_BYTES // (4 * self.architecture.vocab_size))
        losses, gradients = [], []
        for at in range(0, len(states), step):
            part = slice(at, at + step)
            leaf = states[part].clone().requires_grad_(True)
            with self._hooks(visitor, sequences[part]):
                logits = self._engine.logits(leaf)
                labels = _draw_labels(logits.detach().numpy(), draws[part])
                loss = torch.nn.functional.cross_entropy(
                    logits, torch.from_numpy(labels), reduction="none"
                )
                if not bool(torch.isfinite(loss).all()):
                    raise MeasurementError(
                        f"{self._weights.checkpoint.path}: a logit is not finite; the model is"
                        " broken"
                    )
                loss.sum().backward()  # type: ignore[no-untyped-call]
            assert leaf.grad is not None
            losses.append(loss.detach().double().numpy())
            gradients.append(leaf.grad)
        return np.concatenate(losses), torch.cat(gradients)

    @contextmanager
    def _hooks(self, visitor: GradientVisitor, sequences: I64) -> Iterator[None]:
        """Give the gradients of all matrices to a visitor; row i of a batch has sequence i."""

        def give(linear: BlockLinear, inputs: F32, gradients: F32, places: Tensor | None) -> None:
            numbers = sequences if places is None else sequences[places.numpy()]
            visitor.add_products(linear.name, linear.expert, inputs, gradients, numbers)

        linears = [part for part in self._engine.module.modules() if isinstance(part, BlockLinear)]
        before = [linear.gradient_hook for linear in linears]
        for linear in linears:
            linear.gradient_hook = partial(give, linear)
        try:
            yield
        finally:
            for linear, hook in zip(linears, before, strict=True):
                linear.gradient_hook = hook


def _draws(seed: int, sequence: int, count: int) -> NDArray[np.float64]:
    """Return a random number in [0, 1) for each position of a sequence."""
    return np.random.default_rng([seed, sequence]).random(count)


def _draw_labels(logits: F32, draws: NDArray[np.float64]) -> I64:
    """Return a token for each row of logits (n, vocabulary), drawn from its softmax."""
    labels = np.empty(len(logits), np.int64)
    for row, (line, draw) in enumerate(zip(logits, draws, strict=True)):
        sums = np.cumsum(np.exp(line.astype(np.float64) - line.max()))
        labels[row] = min(np.searchsorted(sums, draw * sums[-1], side="right"), line.size - 1)
    return labels
