"""Loads a language model from a file, a folder, the hub or an open checkpoint."""

import logging
from collections.abc import Container, Mapping, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from zeropoint import kernels
from zeropoint.checkpoints import Checkpoint, open_model
from zeropoint.checkpoints.files.file_kind import check_use
from zeropoint.checkpoints.modalities import text_part_note
from zeropoint.errors import MeasurementError, UnsupportedModel, needs_packages
from zeropoint.formats import F32, QuantizedTensor
from zeropoint.models.architecture import (
    Architecture,
    read_architecture,
    tensor_names,
    with_cache_types,
)
from zeropoint.models.base import ForwardHook, LanguageModel, Mode, Tokens
from zeropoint.models.cache import Cache
from zeropoint.models.cached_rows import CacheTypes
from zeropoint.models.compiled import CompiledEngine
from zeropoint.models.draft import DraftHead
from zeropoint.models.layer_inputs import TABLE
from zeropoint.models.tokenizer import Tokenizer, read_tokenizer
from zeropoint.models.weights import Weights

if TYPE_CHECKING:
    from zeropoint.models.transformers_engine import TransformersEngine

LOG = logging.getLogger("zeropoint")
Engine = Literal["compiled", "transformers", "torch"]
CHUNK_POSITIONS = 512  # processed together by each layer


def load_model(
    model: str | Path | Checkpoint,
    *,
    mode: Mode = "exact",
    threads: int | None = None,
    engine: Engine = "compiled",
    device: str = "cpu",
    later: Container[str] = (),
) -> LanguageModel:
    """Load a language model; its weights stay in memory as they are stored.

    `model` is a GGUF file, a Hugging Face folder, a hub id or an open checkpoint. `mode` "exact"
    multiplies float32 activations, "fast" rounds them to 8 bits. `threads` None uses all processor
    cores. The model takes about the size of its file in memory.

    `engine` "compiled" runs zeropoint's own kernels. "transformers" runs transformers' modules
    with zeropoint's matrix products, as a slower reference. "torch" decodes the weights with torch
    on `device`, such as "cuda": about 1.25 bytes per weight there, and always "exact". The matrices
    named in `later` are not read; `replace` has to supply them before the first forward pass. The
    head of the compiled engine needs only the output matrix.

    Raises UnsupportedModel or CheckpointError for a model that cannot be run.
    """
    mode = _choice("mode", mode, get_args(Mode))
    engine = _choice("engine", engine, get_args(Engine))
    checkpoint = model if isinstance(model, Checkpoint) else open_model(model)
    if device != "cpu" and engine != "torch":
        raise UnsupportedModel(f"the {engine} engine runs on the processor, not on {device}")
    check_use(checkpoint.path, checkpoint, "calibrate")  # the use that needs the least
    loaded = DecoderModel(checkpoint, mode=mode, threads=threads or kernels.default_threads())
    if note := text_part_note(checkpoint.path, checkpoint.tensors):
        LOG.warning("%s", note)
    loaded.load(engine, device, later)
    return loaded


def _choice(what: str, name: str, choices: Sequence[str]) -> Any:
    """Return the choice that `name` spells in any case."""
    if name.lower() not in choices:
        raise UnsupportedModel(f"there is no {what} {name!r}; choose {' or '.join(choices)}")
    return name.lower()


class DecoderModel:
    """A decoder of a supported family; see `LanguageModel`."""

    def __init__(self, checkpoint: Checkpoint, *, mode: Mode, threads: int) -> None:
        self.architecture = read_architecture(checkpoint)
        self.threads = threads
        self.checkpoint = checkpoint
        self._weights = Weights(checkpoint, mode=mode, threads=threads)
        self._how: tuple[Engine, str] = ("compiled", "cpu")
        self._engine: CompiledEngine | TransformersEngine | None = None

    def __repr__(self) -> str:
        """Return one line: the file and the mode."""
        return f"<DecoderModel {self.checkpoint.path}: {self.mode}>"

    def load(self, engine: Engine, device: str, later: Container[str] = ()) -> None:
        """Read the weights and create the engine, unless some weights come `later`."""
        self._how = (engine, device)
        self._weights.load(_names(self.architecture), pack=engine != "torch", later=later)
        self._engine = self._make_engine()

    def _make_engine(self) -> "CompiledEngine | TransformersEngine | None":
        """Return the engine, or None while weights are missing."""
        engine, device = self._how
        if not self._weights.complete:
            return None
        if engine == "compiled":
            return CompiledEngine(self.architecture, self._weights)
        with needs_packages(f"the engine {engine!r}"):
            from zeropoint.models.transformers_engine import TransformersEngine
        moved = device if engine == "torch" else None
        return TransformersEngine(self.architecture, self._weights, moved)

    def with_cache_types(self, types: CacheTypes) -> "DecoderModel":
        if self._how[0] != "compiled":
            raise UnsupportedModel(f"the {self._how[0]} engine stores keys and values as F32 only")
        other = copy(self)
        other.__dict__.pop("draft_head", None)
        other.architecture = with_cache_types(self.architecture, types)
        other._engine = other._make_engine()
        return other

    @property
    def mode(self) -> Mode:
        """Whether products round activations; it may be changed between forward passes."""
        return self._weights.mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._weights.mode = mode

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return read_tokenizer(self.checkpoint)

    @property
    def context_length(self) -> int:
        return self.architecture.context_length

    @property
    def vocab_size(self) -> int:
        return self.architecture.vocab_size

    def cache(self, capacity: int, *, sequences: int = 1) -> Cache:
        return Cache(self.architecture, capacity, sequences=sequences, chunk=CHUNK_POSITIONS)

    def hidden(self, tokens: Tokens, cache: Cache | None = None) -> F32:
        ids = np.asarray(tokens)
        if ids.dtype.kind not in "iu" or ids.ndim not in (1, 2) or ids.size == 0:
            raise MeasurementError("expected one or more sequences of at least one token id")
        self._check(ids)
        rows = np.atleast_2d(ids)
        batch, count = rows.shape
        if cache is None:
            cache = Cache(self.architecture, count, sequences=batch, chunk=count, passing=True)
        if batch > cache.sequences:
            raise MeasurementError(
                f"the batch has {batch} sequences, but the cache has {cache.sequences}"
            )
        starts = cache.lengths[:batch].copy()
        cache.grow(range(batch), count)
        out = np.empty((batch, count, self.architecture.width), np.float32)
        at = 0
        while at < count:
            end = at + cache.next_stop(starts + at, min(cache.chunk, count - at))
            out[:, at:end] = self._forward(rows[:, at:end], cache, starts + at)
            cache.stopped(starts + end)
            at = end
        return out.reshape(*ids.shape, -1)

    def extend(self, tokens: Sequence[int], caches: Sequence[Cache]) -> F32:
        ids = np.asarray(tokens).reshape(-1, 1)
        self._check(ids)
        starts = np.array([int(cache.lengths[0]) for cache in caches])
        for cache in caches:
            cache.grow([0], 1)
        if isinstance(self._engine, CompiledEngine):
            looked_up = self._look_up(ids)
            states = self._engine.run_each(self._embed(ids), caches, starts, looked_up)
        else:
            rows = zip(ids[:, None], caches, starts[:, None], strict=True)
            states = np.concatenate([self._forward(*row) for row in rows])
        for cache, start in zip(caches, starts, strict=True):
            cache.stopped(np.array([start + 1]))
        return states[:, 0]

    def head(self, rows: F32, tokens: range | None = None) -> F32:
        rows = np.ascontiguousarray(rows)
        # The compiled engine's head is one product, for which the layers need not be there.
        if self._engine is None:
            logits = self._weights.multiply(self.architecture.output, rows, outputs=tokens)
        else:
            logits = self._engine.head(rows, tokens)
        if self.architecture.output_scale:
            logits = logits * self._weights.vector(self.architecture.output_scale)
        if self.architecture.output_bias:
            bias = self._weights.vector(self.architecture.output_bias)
            logits = logits + (bias if tokens is None else bias[tokens.start : tokens.stop])
        if self.architecture.logit_scale != 1.0:
            logits = logits * np.float32(self.architecture.logit_scale)
        cap = self.architecture.logit_softcap
        if cap is not None:
            with np.errstate(over="ignore"):  # tanh(infinity) = 1
                logits = np.tanh(logits / np.float32(cap)) * np.float32(cap)
        return logits

    def logits(self, tokens: Tokens, cache: Cache | None = None) -> F32:
        states = self.hidden(tokens, cache)
        flat = self.head(states.reshape(-1, states.shape[-1]))
        return flat.reshape(*states.shape[:-1], -1)

    @cached_property
    def draft_head(self) -> DraftHead | None:
        draft, output = self.architecture.draft, self.architecture.output
        if draft is None or self._engine is None or output not in self._weights.names():
            return None
        return DraftHead(self.architecture, draft, self._weights, self.head)

    def matrices(self) -> Mapping[str, tuple[int, ...]]:
        return self._weights.matrices()

    def replace(self, name: str, tensor: QuantizedTensor) -> None:
        self._weights.replace(name, tensor)
        self.__dict__.pop("draft_head", None)  # made again with the new weights
        # transformers' modules fetch the weights for each product.
        if self._engine is None or self._how[0] != "transformers":
            self._engine = self._make_engine()

    def set_hook(self, name: str, hook: ForwardHook | None) -> None:
        self._weights.hooks.pop(name, None)
        if hook is not None:
            self._weights.hooks[name] = hook

    def _forward(self, ids: np.ndarray, cache: Cache, starts: np.ndarray) -> F32:
        assert self._engine is not None, "matrices are missing"
        return self._engine.run(self._embed(ids), cache, starts, self._look_up(ids))

    def _embed(self, ids: np.ndarray) -> F32:
        embedded = self._weights.rows(self.architecture.embedding, ids.reshape(-1))
        return embedded.reshape(*ids.shape, -1)

    def _look_up(self, ids: np.ndarray) -> F32 | None:
        return self._weights.look_up(self.architecture.inputs, ids)

    def _check(self, ids: np.ndarray) -> None:
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= self.vocab_size:
            token = low if low < 0 else high
            raise MeasurementError(
                f"token id {token} is outside the vocabulary of {self.vocab_size} tokens"
            )


def _names(architecture: Architecture) -> list[str]:
    """Return the tensors that stay in memory: all but tables that only tokens select from."""
    names = tensor_names(architecture) - {TABLE}
    return sorted(names if architecture.tied else names - {architecture.embedding})
