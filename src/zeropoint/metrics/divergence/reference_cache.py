"""A cache of the reference's final hidden states, in memory or in a folder.

Hidden states are kept instead of logits: the result is exact, and a chunk takes context · width
float32 numbers instead of context · vocabulary. Many quantized models can be measured against one
forward pass of the reference; only its head runs again for each of them.
"""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zeropoint import kernels
from zeropoint.checkpoints.files.atomic import free_bytes
from zeropoint.errors import NotEnoughSpace
from zeropoint.formats import F32
from zeropoint.models.base import LanguageModel
from zeropoint.results.model_identity import ModelIdentity
from zeropoint.results.run_checks import ArrayRule
from zeropoint.results.run_store import RunFolder

CACHE_BUDGET_BYTES = 1 << 30  # of a cache in memory; later chunks are computed again


class ReferenceCache:
    """A model whose hidden states are computed once per chunk.

    States are kept in `folder`, or in memory without one. `max_chunks` limits how many chunks are
    kept in memory; None keeps all of them.
    """

    def __init__(
        self,
        model: LanguageModel,
        folder: RunFolder | None = None,
        *,
        max_chunks: int | None = None,
    ) -> None:
        self._model = model
        self._folder = folder
        self._max_chunks = max_chunks
        self._states: dict[str, F32] = {}

    @property
    def vocab_size(self) -> int:
        """Logits per position."""
        return self._model.vocab_size

    def hidden(self, tokens: NDArray[np.int32]) -> F32:
        """Return hidden states (sequences, context, width) for tokens (sequences, context)."""
        keys = [_key(row) for row in tokens]
        cached = [self._load(key, tokens.shape[1]) for key in keys]
        missing = [i for i, states in enumerate(cached) if states is None]
        if missing:
            computed = self._model.hidden(tokens[missing])
            for i, states in zip(missing, computed, strict=True):
                self._save(keys[i], states)
                cached[i] = states
        return np.stack([states for states in cached if states is not None])

    def holds(self, tokens: NDArray[np.int32]) -> bool:
        """Return whether the states of a sequence, (context,) tokens, are there already."""
        return self._load(_key(tokens), tokens.size) is not None

    def head(self, rows: F32, tokens: range | None = None) -> F32:
        """Return the logits (n, vocabulary) of hidden states (n, width)."""
        return self._model.head(rows, tokens)

    def _load(self, key: str, context: int) -> F32 | None:
        if self._folder is None:
            return self._states.get(key)
        if not (self._folder.path / f"{key}.npz").exists():
            return None
        rules = {"states": ArrayRule((context, self._model.architecture.width), np.float32)}
        return self._folder.load_arrays(key, rules)["states"].astype(np.float32)

    def _save(self, key: str, states: F32) -> None:
        if self._folder is not None:
            self._folder.save_arrays(key, {"states": states})
        elif self._max_chunks is None or len(self._states) < self._max_chunks:
            self._states[key] = states


def _key(tokens: NDArray[np.int32]) -> str:
    return hashlib.sha256(tokens.astype("<i4").tobytes()).hexdigest()[:32]


def cache_bytes(model: LanguageModel, tokens: int) -> int:
    """Return the size of the hidden states of so many tokens."""
    return tokens * model.architecture.width * 4


def open_cache_folder(path: Path, reference: ModelIdentity, needed: int) -> RunFolder:
    """Open or create the folder of a cache that will take `needed` bytes.

    Raises NotEnoughSpace before anything is written, and CheckpointError for a folder that holds
    the cache of another reference.
    """
    present = sum(entry.stat().st_size for entry in path.glob("*.npz")) if path.is_dir() else 0
    free = free_bytes(path)
    if needed - present > free:
        raise NotEnoughSpace(
            f"{path}: the cache of the reference needs {needed} bytes and {free} bytes are free"
        )
    settings = {"instruction_set": kernels.variant()}
    return RunFolder.start(path, "reference pass", reference.to_json(), settings)
