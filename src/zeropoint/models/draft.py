"""A draft head: the layer for multi-token prediction, which guesses the token after the next.

For the normed final hidden state h_p of a model and its next token t_{p+1}:

    x_p = eh_proj([enorm(embedding(t_{p+1})), hnorm(h_p)])
    d_p = shared_head_norm(layer(x_p)),  which attends to d's layer inputs of earlier positions
    logits of t_{p+2} = head(d_p)

d_p takes the place of h_{p+1} to guess further tokens. The layer, its embedding and its head may be
its own; otherwise embedding, last norm and head are the model's (arXiv:2412.19437, section 2.2).
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from zeropoint.errors import MeasurementError
from zeropoint.formats import F32
from zeropoint.models.architecture import Architecture, DraftSpec
from zeropoint.models.base import Tokens
from zeropoint.models.cache import Cache
from zeropoint.models.compiled import CompiledEngine
from zeropoint.models.layer_steps import LayerSteps, rms_norm
from zeropoint.models.weights import Weights

CHUNK_POSITIONS = 512  # processed together


class DraftHead:
    """The draft head of a loaded model; it reads its tensors when it is made."""

    def __init__(
        self,
        architecture: Architecture,
        draft: DraftSpec,
        weights: Weights,
        head: Callable[[F32], F32],
    ) -> None:
        self.spec, self.model = draft, architecture
        self._weights, self._head = weights, head
        names = {*draft.tensors.values(), *draft.layer.tensors.values(), architecture.output_norm}
        own = draft.tensors.get("nextn.embed_tokens")
        weights.load(sorted(name for name in names - weights.names() if name != own))
        self._steps = LayerSteps(weights, draft.tensors, architecture.epsilon)
        self.architecture = replace(architecture, layers=(draft.layer,), embedding_scale=1.0)
        self._engine = CompiledEngine(self.architecture, weights, normed=False)

    def cache(self, capacity: int, *, sequences: int = 1) -> Cache:
        """Return an empty cache for contexts of up to `capacity` positions."""
        return Cache(self.architecture, capacity, sequences=sequences, chunk=CHUNK_POSITIONS)

    def hidden(self, states: F32, tokens: Tokens, cache: Cache | None = None) -> F32:
        """Return d of n positions: (n, width) float32.

        `states` (n, width) are normed hidden states of the model, or d's of this head; `tokens`
        (n,) are the tokens after them. With a cache, the positions continue its sequence 0. Raises
        MeasurementError if the numbers of states and tokens differ, and for a full cache.
        """
        ids = np.asarray(tokens)
        if ids.ndim != 1 or not len(ids) or states.shape != (len(ids), self.model.width):
            raise MeasurementError(
                f"a draft head needs a token after each of its states, found {ids.shape} tokens "
                f"for states of shape {states.shape}"
            )
        cache = cache or self.cache(len(ids))
        start = int(cache.lengths[0])
        cache.grow([0], len(ids))
        inputs, out = self._inputs(states, ids), np.empty(states.shape, np.float32)
        for at in range(0, len(ids), cache.chunk):
            part = np.ascontiguousarray(inputs[None, at : at + cache.chunk])
            starts = np.array([start + at], np.int64)
            out[at : at + cache.chunk] = self._engine.run(part, cache, starts)[0]
        own = self.spec.tensors.get("nextn.shared_head_norm")
        norm = self._weights.vector(own or self.model.output_norm)
        return rms_norm(out, norm, self.model.epsilon)

    def logits(self, states: F32, tokens: Tokens, cache: Cache | None = None) -> F32:
        """Return the logits (n, vocab) of the tokens after `tokens`; see `hidden`."""
        return self.project(self.hidden(states, tokens, cache))

    def project(self, drafted: F32) -> F32:
        """Return the logits (n, vocab) of states that `hidden` has returned."""
        if self._steps.has("nextn.shared_head_head"):
            return self._steps.linear("nextn.shared_head_head", drafted)
        return self._head(drafted)

    def _inputs(self, states: F32, ids: np.ndarray) -> F32:
        name = self.spec.tensors.get("nextn.embed_tokens") or self.model.embedding
        rows = self._weights.rows(name, ids) * np.float32(self.model.embedding_scale)
        embedded, before = (
            self._steps.norm("nextn.enorm", rows),
            self._steps.norm("nextn.hnorm", states),
        )
        return self._steps.linear("nextn.eh_proj", np.concatenate([embedded, before], axis=1))
