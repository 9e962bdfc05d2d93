"""Chooses a token as a request asks: biases, penalties, a grammar's mask, then sampling."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.formats import F32
from zeropoint.models import Sampling, Tokenizer


@dataclass(frozen=True, kw_only=True)
class ChoiceRules:
    """What changes the logits before a token is sampled, in the order of application."""

    logit_bias: Mapping[int, float] = field(default_factory=dict)  # added to logits
    presence_penalty: float = 0.0  # subtracted from the logits of tokens that were generated
    frequency_penalty: float = 0.0  # subtracted for each time that a token was generated
    sampling: Sampling = field(default_factory=Sampling)

    def change(self, logits: F32, counts: Counter[int], mask: NDArray[np.bool_] | None) -> F32:
        """Return the logits (vocabulary,) with biases, penalties and the mask applied.

        `counts` has how often each token was generated. Tokens that are false in `mask` become −∞.
        """
        penalized = bool(counts) and bool(self.presence_penalty or self.frequency_penalty)
        if not (self.logit_bias or penalized or mask is not None):
            return logits
        logits = logits.copy()
        for token, bias in self.logit_bias.items():
            if token < logits.size:
                logits[token] += np.float32(bias)
        if penalized:
            ids = np.fromiter(counts, np.int64, len(counts))
            times = np.fromiter(counts.values(), np.float32, len(counts))
            logits[ids] -= np.float32(self.frequency_penalty) * times + np.float32(
                self.presence_penalty
            )
        if mask is not None:
            logits[~mask] = -np.inf
        return logits


def log_probabilities(logits: F32, chosen: int, top: int, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return a token with its log-probability, in nats, and the `top` most likely tokens.

    They are the logarithms of the softmax of the model's own logits, in float64, before anything
    that the request changes.
    """
    values = logits.astype(np.float64)
    values -= values.max()
    values -= np.log(np.exp(values).sum())
    order = np.argsort(-values, kind="stable")[:top] if top else np.zeros(0, np.int64)
    entry = _describe(chosen, float(values[chosen]), tokenizer)
    entry["top"] = [_describe(int(one), float(values[one]), tokenizer) for one in order]
    return entry


def _describe(token: int, logprob: float, tokenizer: Tokenizer) -> dict[str, Any]:
    piece = tokenizer.piece(token, special=True)
    logprob = max(logprob, -9999.0)  # JSON has no infinity
    return {"id": token, "logprob": logprob, "bytes": list(piece)}
