"""What is kept of two rows of logits: one divergence, two likelihoods, the most likely tokens.

The kernel reads each row about twice and keeps a few numbers per position, so that nobody ever
holds the logits of a whole text. `compare_numpy` is its twin: the same formulas by numpy's exp.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import MeasurementError
from zeropoint.formats import F32
from zeropoint.kernels.dispatch import native

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]

TOP = 10  # most likely tokens kept of each side


@dataclass(frozen=True)
class Comparison:
    """Two models at n positions: what each says of the next token, and how far they are apart."""

    kl: F64  # (n,) KL(reference ‖ quant), nats
    nll_reference: F64  # (n,) −log p(target), nats
    nll_quant: F64  # (n,)
    top_ids: I32  # (n, 2, TOP) most likely tokens of [reference, quant]; ties by lower id; −1: none
    top_logp: F32  # (n, 2, TOP) their log-probabilities, each under its own model

    @property
    def same_top(self) -> NDArray[np.bool_]:
        """(n,) whether both models would choose the same token."""
        return np.asarray(self.top_ids[:, 0, 0] == self.top_ids[:, 1, 0])


def compare_logits(reference: F32, quant: F32, targets: I32, *, threads: int = 1) -> Comparison:
    """Compare next-token distributions, position by position, in float64.

    `reference` and `quant` are logits (n, vocabulary) of the same positions, `targets` (n,) the
    tokens that the text goes on with. Equal rows give a divergence of exactly 0. The result does
    not depend on `threads`. Raises MeasurementError if the shapes differ, a target is not in the
    vocabulary, or a logit is not finite.
    """
    if (
        reference.shape != quant.shape
        or reference.ndim != 2
        or targets.shape != reference.shape[:1]
    ):
        raise MeasurementError(
            f"logits of shape {reference.shape} and {quant.shape} with {targets.size} targets "
            "cannot be compared: the vocabularies or positions differ"
        )
    vocab = reference.shape[1]
    if targets.size and not (0 <= targets.min() and targets.max() < vocab):
        raise MeasurementError(f"the text holds a token that is not among the model's {vocab}")
    module = native()
    if module is None:
        return compare_numpy(reference, quant, targets)
    n = reference.shape[0]
    scores = np.empty((n, 3), np.float64)
    ids = np.empty((n, 2, TOP), np.int32)
    logp = np.empty((n, 2, TOP), np.float32)
    position, token = module.compare(
        np.ascontiguousarray(reference, np.float32),
        np.ascontiguousarray(quant, np.float32),
        np.ascontiguousarray(targets, np.int32),
        scores,
        ids,
        logp,
        threads,
    )
    if position >= 0:
        _refuse_not_finite(reference, position, token)
    return Comparison(scores[:, 0], scores[:, 1], scores[:, 2], ids, logp)


def compare_numpy(reference: F32, quant: F32, targets: I32) -> Comparison:
    """Do what `compare_logits` does, in numpy: its specification."""
    finite = np.isfinite(reference) & np.isfinite(quant)
    if not finite.all():
        position, token = np.argwhere(~finite)[0]
        _refuse_not_finite(reference, int(position), int(token))
    a, b = reference.astype(np.float64), quant.astype(np.float64)
    max_a, max_b = a.max(1, keepdims=True), b.max(1, keepdims=True)
    exp_a, exp_b = np.exp(a - max_a), np.exp(b - max_b)
    log_a, log_b = max_a[:, 0] + np.log(exp_a.sum(1)), max_b[:, 0] + np.log(exp_b.sum(1))
    rows = np.arange(a.shape[0])
    kl = (exp_a * (a - b)).sum(1) / exp_a.sum(1) + (log_b - log_a)
    ids = np.full((a.shape[0], 2, TOP), -1, np.int32)
    logp = np.full((a.shape[0], 2, TOP), -np.inf, np.float32)
    kept = min(TOP, a.shape[1])
    for side, (logits, log_sum) in enumerate(((a, log_a), (b, log_b))):
        order = np.argsort(-logits, axis=1, kind="stable")[:, :kept]
        ids[:, side, :kept] = order
        logp[:, side, :kept] = np.take_along_axis(logits, order, 1) - log_sum[:, None]
    return Comparison(kl, log_a - a[rows, targets], log_b - b[rows, targets], ids, logp)


def _refuse_not_finite(reference: F32, position: int, token: int) -> None:
    side = "quant" if np.isfinite(reference[position, token]) else "reference"
    raise MeasurementError(
        f"the {side}'s logit of token {token} at position {position} is not finite"
    )
