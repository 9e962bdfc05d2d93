"""Opens the models of a verb: a path, a hub id, or an object that is open already."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from zeropoint.checkpoints import Checkpoint, open_model
from zeropoint.metrics.identity import identify
from zeropoint.models import CacheTypes, LanguageModel, Mode, load_model
from zeropoint.results.model_identity import InMemoryQuantization, ModelIdentity

#: A file, a folder, an org/name of the hub, an open checkpoint, or a model that is loaded already.
ModelInput: TypeAlias = str | Path | Checkpoint | LanguageModel


@dataclass(frozen=True)
class LoadedModel:
    """A language model, the checkpoint that it came from, and how results name it."""

    checkpoint: Checkpoint
    model: LanguageModel
    identity: ModelIdentity
    quantization: InMemoryQuantization | None = None  # None for a file

    @classmethod
    def open(
        cls, model: ModelInput, *, mode: Mode = "exact", threads: int | None = None
    ) -> "LoadedModel":
        """Open and load a model. A model that is loaded already is only switched to `mode`.

        Raises CheckpointError or UnsupportedModel for a model that cannot be run.
        """
        checkpoint = checkpoint_of(model)
        if isinstance(model, str | Path | Checkpoint):
            model = load_model(checkpoint, mode=mode, threads=threads)
        model.mode = mode
        return cls(checkpoint, model, identify(checkpoint))


def with_kv_cache(model: LanguageModel, kv: str, *, rotated: bool) -> LanguageModel:
    """Return a model that stores keys and values as `kv` says, with the same weights in memory.

    Raises UnsupportedModel for another name than those of `CacheTypes.parse`, and for a model whose
    keys or values cannot be stored so.
    """
    types = CacheTypes.parse(kv, rotated=rotated)
    return model if types.exact else model.with_cache_types(types)


def opened(model: ModelInput) -> Checkpoint | LanguageModel:
    """Return a model as an open object; the weights of a path or a hub id are not loaded."""
    return open_model(model) if isinstance(model, str | Path) else model


def checkpoint_of(model: ModelInput) -> Checkpoint:
    """Return the checkpoint of a model; the weights are not loaded."""
    source = opened(model)
    return source if isinstance(source, Checkpoint) else source.checkpoint
