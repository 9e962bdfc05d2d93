"""How a mixture of experts chooses the experts of each row, and how it weights them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints.families import Gating
from zeropoint.formats import F32
from zeropoint.models.layer_steps import sigmoid, softmax


@dataclass(frozen=True, kw_only=True)
class Routing:
    """The `used` best of `count` experts, by scores that a router computes.

    gating            score                weight of a chosen expert, before `normalize`
    softmax           softmax of all       its score
    sigmoid           1 / (1 + e^-logit)   its score
    softmax_chosen    logit                softmax of the logits of the chosen experts

    A bias is added to the scores for the choice only (arXiv:2408.15664). With several groups, the
    experts are chosen from the `used_groups` groups whose two best experts have the largest sum of
    scores (arXiv:2412.19437).
    """

    count: int
    used: int
    gating: Gating
    groups: int
    used_groups: int
    normalize: bool  # divide the weights of the chosen experts by their sum
    epsilon: float  # added to that sum
    scale: float  # then multiply them by this
    weights_inputs: bool  # the weight multiplies the input of the expert, not its output

    def choose(self, logits: F32, bias: F32 | None) -> tuple[NDArray[np.int64], F32]:
        """Return the experts (n, used) of each row of logits (n, count), best first, and weights.

        Of experts with equal scores the first one is chosen.
        """
        scores = logits
        if self.gating != "softmax_chosen":
            scores = softmax(logits) if self.gating == "softmax" else sigmoid(logits)
        ranked = scores if bias is None else scores + bias
        if self.groups > 1:
            ranked = self._hide_groups(ranked)
        chosen = np.argsort(-ranked, axis=1, kind="stable")[:, : self.used]
        share = np.take_along_axis(scores, chosen, axis=1)
        if self.gating == "softmax_chosen":
            share = softmax(share)
        elif self.normalize:
            share = share / (share.sum(axis=1, keepdims=True) + np.float32(self.epsilon))
        return chosen, share * np.float32(self.scale)

    def _hide_groups(self, ranked: F32) -> F32:
        """Return scores in which those of the groups that are not used are -infinity."""
        grouped = ranked.reshape(len(ranked), self.groups, -1)
        best = -np.sort(-grouped, axis=2)[:, :, :2]
        order = np.argsort(-(best[:, :, 0] + best[:, :, 1]), axis=1, kind="stable")
        hidden = np.ones(order.shape, np.bool_)
        np.put_along_axis(hidden, order[:, : self.used_groups], False, axis=1)
        return np.where(hidden[:, :, None], np.float32(-np.inf), grouped).reshape(ranked.shape)
