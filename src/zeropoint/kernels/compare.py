"""Comparison of two models' logits: the divergence, two likelihoods and the most likely tokens.

The kernel takes the vocabulary in parts and stores a few numbers per position, so the logits of a
whole text are never in memory. `compare_numpy` has the same formulas in numpy.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import MeasurementError
from zeropoint.formats import F32
from zeropoint.kernels.dispatch import native

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]

TOP_TOKENS = 10  # most likely tokens of each model
VOCABULARY_BLOCK_TOKENS = 1024  # tokens; parts of a vocabulary start at a multiple of it


@dataclass(frozen=True)
class Comparison:
    """The next-token predictions of two models at n positions, compared."""

    #: (n,) KL(reference ‖ quant), nats.
    kl: F64
    #: (n,) −log p(target) of the reference and of the quantized model, nats.
    nll_reference: F64
    nll_quant: F64
    #: (n, 2, TOP) most likely tokens of [reference, quant], ties by lower id; −1: none.
    top_ids: I32
    #: (n, 2, TOP) their log-probabilities, each under its own model.
    top_logp: F32

    @property
    def same_top(self) -> NDArray[np.bool_]:
        """(n,) whether both models have the same most likely token."""
        return np.asarray(self.top_ids[:, 0, 0] == self.top_ids[:, 1, 0])


class Comparing:
    """A comparison whose logits are added in parts of the vocabulary, in order.

    `targets` (n,) are the next tokens of the text, and `first` is the number of the first position
    in errors. Identical rows give a divergence of exactly 0. The result does not depend on the
    parts or on threads, bit for bit. Raises MeasurementError for a target outside the vocabulary.
    """

    def __init__(self, targets: I32, vocab: int, *, first: int = 0) -> None:
        if targets.size and not (0 <= targets.min() and targets.max() < vocab):
            raise MeasurementError(f"a token of the text is not among the model's {vocab}")
        self._targets = np.ascontiguousarray(targets, np.int32)
        self._first = first
        self._seen = 0
        module = native()
        self._native = module.Comparing(self._targets) if module else None
        self._parts: list[tuple[F32, F32]] = []

    def add(self, reference: F32, quant: F32, *, threads: int = 1) -> None:
        """Add (n, m) logits of the next m tokens; m is a multiple of BLOCK except in the last part.

        Raises MeasurementError if the shapes differ, or a logit is not finite.
        """
        if (
            reference.shape != quant.shape
            or reference.ndim != 2
            or self._targets.shape != reference.shape[:1]
        ):
            raise MeasurementError(
                f"logits of shape {reference.shape} and {quant.shape} with {self._targets.size} "
                "targets cannot be compared: the vocabularies or positions differ"
            )
        if self._native is None:
            self._parts.append((reference, quant))
            return
        a, b = (np.ascontiguousarray(side, np.float32) for side in (reference, quant))
        position, token = self._native.add(a, b, self._seen, threads)
        if position >= 0:
            self._refuse_not_finite(reference, position, token)
        self._seen += reference.shape[1]

    def result(self) -> Comparison:
        """Return the comparison over the whole vocabulary."""
        if self._native is None:
            a, b = (np.concatenate(side, axis=1) for side in zip(*self._parts, strict=True))
            return compare_numpy(a, b, self._targets, first=self._first)
        n = self._targets.size
        scores = np.empty((n, 3), np.float64)
        ids = np.empty((n, 2, TOP_TOKENS), np.int32)
        logp = np.empty((n, 2, TOP_TOKENS), np.float32)
        self._native.finish(scores, ids, logp)
        return Comparison(scores[:, 0], scores[:, 1], scores[:, 2], ids, logp)

    def _refuse_not_finite(self, reference: F32, position: int, token: int) -> None:
        broken = not np.isfinite(reference[position, token - self._seen])
        raise not_finite("reference" if broken else "quant", token, self._first + position)


def compare_logits(reference: F32, quant: F32, targets: I32, *, threads: int = 1) -> Comparison:
    """Compare next-token distributions position by position, in float64.

    `reference` and `quant` are (n, vocabulary) logits of the same positions, and `targets` (n,) the
    next tokens of the text. Identical rows give a divergence of exactly 0. The result does not
    depend on `threads`. Raises MeasurementError if the shapes differ, a target is not in the
    vocabulary, or a logit is not finite.
    """
    comparing = Comparing(targets, reference.shape[-1])
    comparing.add(reference, quant, threads=threads)
    return comparing.result()


def compare_numpy(reference: F32, quant: F32, targets: I32, *, first: int = 0) -> Comparison:
    """Compare logits as `compare_logits` does, in numpy: the specification of the kernel."""
    finite = np.isfinite(reference) & np.isfinite(quant)
    if not finite.all():
        position, token = np.argwhere(~finite)[0]
        broken = "quant" if np.isfinite(reference[position, token]) else "reference"
        raise not_finite(broken, int(token), first + int(position))
    a, b = reference.astype(np.float64), quant.astype(np.float64)
    max_a, max_b = a.max(1, keepdims=True), b.max(1, keepdims=True)
    exp_a, exp_b = np.exp(a - max_a), np.exp(b - max_b)
    log_a, log_b = max_a[:, 0] + np.log(exp_a.sum(1)), max_b[:, 0] + np.log(exp_b.sum(1))
    rows = np.arange(a.shape[0])
    kl = (exp_a * (a - b)).sum(1) / exp_a.sum(1) + (log_b - log_a)
    ids = np.full((a.shape[0], 2, TOP_TOKENS), -1, np.int32)
    logp = np.full((a.shape[0], 2, TOP_TOKENS), -np.inf, np.float32)
    count = min(TOP_TOKENS, a.shape[1])
    for side, (logits, log_sum) in enumerate(((a, log_a), (b, log_b))):
        order = np.argsort(-logits, axis=1, kind="stable")[:, :count]
        ids[:, side, :count] = order
        logp[:, side, :count] = np.take_along_axis(logits, order, 1) - log_sum[:, None]
    return Comparison(kl, log_a - a[rows, targets], log_b - b[rows, targets], ids, logp)


def not_finite(side: str, token: int, position: int) -> MeasurementError:
    """Return an error that names the position and token of a logit that is not finite."""
    return MeasurementError(
        f"the {side}'s logit of token {token} at position {position} is not finite"
    )
