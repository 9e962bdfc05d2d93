"""What a language model is to whoever uses one: logits for tokens, layer by layer if need be."""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints import Checkpoint
from zeropoint.formats import F32, QuantizedTensor
from zeropoint.models.architecture import Architecture
from zeropoint.models.cache import Cache
from zeropoint.models.tokenizer import Tokenizer

Tokens = NDArray[np.integer] | list[int]
Mode = Literal["exact", "fast"]  # float32 activations, or 8-bit ones
# Called with the rows (n, in_features) float32 that a matrix is about to multiply, and the expert
# or None. It may change the rows in place; what it leaves is multiplied.
ForwardHook = Callable[[F32, int | None], None]


class LanguageModel(Protocol):
    """A decoder and its tokenizer. `logits` is `head(hidden(tokens))`."""

    architecture: Architecture
    mode: Mode
    threads: int

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that the model was loaded from."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The file's tokenizer, made when it is first asked for."""

    @property
    def context_length(self) -> int:
        """Positions that the model was made for."""

    @property
    def vocab_size(self) -> int:
        """Logits per position."""

    def hidden(self, tokens: Tokens, cache: Cache | None = None) -> F32:
        """Return the final hidden states, normed: (n,) tokens give (n, width) float32.

        (batch, n) tokens are as many sequences and give (batch, n, width). With a cache the tokens
        follow what it holds (its sequence i for row i), and are added to it.
        """

    def head(self, rows: F32, tokens: range | None = None) -> F32:
        """Return the logits (n, vocab) of hidden states (n, width).

        `tokens`: only of this part of the vocabulary, from a multiple of 16 on.
        """

    def logits(self, tokens: Tokens, cache: Cache | None = None) -> F32:
        """Return the logits after each token: (n, vocab), or (batch, n, vocab)."""

    def cache(self, capacity: int, *, sequences: int = 1) -> Cache:
        """Return an empty cache for contexts of up to `capacity` positions."""

    def matrices(self) -> Mapping[str, tuple[int, ...]]:
        """Return the shapes of the matrices that multiply, by GGUF name, experts stacked."""

    def replace(self, name: str, tensor: QuantizedTensor) -> None:
        """Use this tensor from now on."""

    def set_hook(self, name: str, hook: ForwardHook | None) -> None:
        """Call `hook` with every input of the matrix `name`. None removes the hook."""
