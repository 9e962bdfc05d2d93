"""A reference's pass, kept: final hidden states and not logits, so that it is exact and small.

Hidden states of a chunk are context · width float32 numbers, where its logits would be context ·
vocabulary. Many quants are measured against one pass; the head is applied again each time.
"""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zeropoint import kernels
from zeropoint.errors import NotEnoughSpace
from zeropoint.formats import F32
from zeropoint.models.base import LanguageModel
from zeropoint.results.run_checks import ArrayRule
from zeropoint.results.run_store import RunFolder


class ReferenceCache:
    """A model that remembers the hidden states of each chunk, in memory or in a folder.

    `most`: of so many chunks, the first ones; None: of all.
    """

    def __init__(
        self, model: LanguageModel, folder: RunFolder | None = None, *, most: int | None = None
    ) -> None:
        self._model = model
        self._folder = folder
        self._most = most
        self._states: dict[str, F32] = {}

    @property
    def vocab_size(self) -> int:
        """Logits per position."""
        return self._model.vocab_size

    def hidden(self, tokens: NDArray[np.int32]) -> F32:
        """Return (sequences, context, width) states, computed only where they are not kept."""
        keys = [hashlib.sha256(row.astype("<i4").tobytes()).hexdigest()[:32] for row in tokens]
        found = [self._load(key, tokens.shape[1]) for key in keys]
        missing = [i for i, states in enumerate(found) if states is None]
        if missing:
            fresh = self._model.hidden(tokens[missing])
            for i, states in zip(missing, fresh, strict=True):
                self._save(keys[i], states)
                found[i] = states
        return np.stack([states for states in found if states is not None])

    def head(self, rows: F32, tokens: range | None = None) -> F32:
        """Return the logits of hidden states."""
        return self._model.head(rows, tokens)

    def _load(self, key: str, context: int) -> F32 | None:
        if self._folder is None:
            return self._states.get(key)
        if not (self._folder.path / f"{key}.npz").exists():
            return None
        rules = {"states": ArrayRule((context, self._model.architecture.width), np.float32)}
        return self._folder.load_arrays(key, rules)["states"].astype(np.float32)

    def _save(self, key: str, states: F32) -> None:
        if self._folder is None:
            if self._most is None or len(self._states) < self._most:
                self._states[key] = states
        else:
            self._folder.save_arrays(key, {"states": states})


def kept_bytes(model: LanguageModel, chunks: int, context: int) -> int:
    """Return how large a kept pass will be."""
    return chunks * context * model.architecture.width * 4


def open_kept(path: Path, reference: Mapping[str, object], needed: int) -> RunFolder:
    """Open or make the folder of a kept pass.

    Raises NotEnoughSpace before anything is written, CheckpointError if it is of another reference.
    """
    parent = next((p for p in (path, *path.absolute().parents) if p.exists()), path)
    there = sum(entry.stat().st_size for entry in path.glob("*.npz")) if path.is_dir() else 0
    free = shutil.disk_usage(parent).free
    if needed - there > free:
        raise NotEnoughSpace(
            f"{path}: the reference's pass needs {needed} bytes and {free} are free"
        )
    settings = {"instruction_set": kernels.variant()}
    return RunFolder.start(path, "reference pass", reference, settings)
