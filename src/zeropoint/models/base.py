"""The interface of a language model: logits and hidden states for tokens, and its tokenizer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints import Checkpoint
from zeropoint.formats import F32, QuantizedTensor
from zeropoint.models.architecture import Architecture
from zeropoint.models.cache import Cache
from zeropoint.models.cached_rows import CacheTypes
from zeropoint.models.tokenizer import Tokenizer

Tokens = NDArray[np.integer] | list[int]
Mode = Literal["exact", "fast"]  # float32 or 8-bit activations
# Called with the rows (n, in_features) float32 that a matrix is about to multiply, and the expert
# or None. It may change the rows in place; what it leaves is multiplied.
ForwardHook = Callable[[F32, int | None], None]


class DraftPart(Protocol):
    """The part of a `DraftHead` that callers need."""

    def cache(self, capacity: int, *, sequences: int = 1) -> Cache:
        """Return an empty cache for contexts of up to `capacity` positions."""

    def hidden(self, states: F32, tokens: Tokens, cache: Cache | None = None) -> F32:
        """Return states (n, width) from which `project` guesses the tokens after `tokens` (n,)."""

    def project(self, drafted: F32) -> F32:
        """Return the logits (n, vocab) of states that `hidden` has returned."""

    def logits(self, states: F32, tokens: Tokens, cache: Cache | None = None) -> F32:
        """Return the logits (n, vocab) of the tokens after `tokens`."""


class LanguageModel(Protocol):
    """A decoder and its tokenizer. `logits(tokens)` is `head(hidden(tokens))`."""

    architecture: Architecture
    mode: Mode
    threads: int

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that the model was loaded from."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The file's tokenizer, created on first use."""

    @property
    def context_length(self) -> int:
        """Positions that the model was trained for."""

    @property
    def vocab_size(self) -> int:
        """Number of logits per position."""

    def hidden(self, tokens: Tokens, cache: Cache | None = None) -> F32:
        """Return the normed final hidden states: (n,) tokens give (n, width) float32.

        (batch, n) tokens are `batch` sequences and give (batch, n, width). With a cache, row i
        continues sequence i of the cache and is appended to it. Raises MeasurementError for token
        ids outside the vocabulary and for a full cache.
        """

    def extend(self, tokens: Sequence[int], caches: Sequence[Cache]) -> F32:
        """Append tokens[i] to caches[i] in one pass; return the hidden states (n, width) float32.

        Each cache has one sequence, of any length; all have the same capacity. Raises as `hidden`.
        """

    def head(self, rows: F32, tokens: range | None = None) -> F32:
        """Return the logits (n, vocab) float32 of hidden states (n, width).

        With `tokens`, return only this range of the vocabulary; it must start at a multiple of 16.
        """

    def logits(self, tokens: Tokens, cache: Cache | None = None) -> F32:
        """Return the logits after each token: (n, vocab), or (batch, n, vocab)."""

    def cache(self, capacity: int, *, sequences: int = 1) -> Cache:
        """Return an empty cache for contexts of up to `capacity` positions."""

    def with_cache_types(self, types: CacheTypes) -> "LanguageModel":
        """Return the same model with a cache that stores keys and values in these types.

        The two share their weights and hooks: what is set on one holds for the other. Raises
        UnsupportedModel for heads that are no whole number of blocks, and for an engine other than
        the compiled one.
        """

    @property
    def draft_head(self) -> DraftPart | None:
        """The head that guesses the token after the next, if the model has one that runs.

        It is made on first access, and its matrices are among `matrices` from then on.
        """

    def matrices(self) -> Mapping[str, tuple[int, ...]]:
        """Return the shapes of all weight matrices by GGUF name; experts are stacked."""

    def replace(self, name: str, tensor: QuantizedTensor) -> None:
        """Use `tensor` instead of the tensor `name` in all later forward passes."""

    def set_hook(self, name: str, hook: ForwardHook | None) -> None:
        """Call `hook` with every input of the matrix `name`. None removes the hook."""
