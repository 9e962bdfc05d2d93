"""The shape of a decoder, read from GGUF metadata: what its memory and speed depend on.

A layer may cache keys and values of every position (attention), of the last positions (a sliding
window), or one compressed vector for both (MLA: DeepSeek, Kimi). It may have a state whose size
does not depend on the context (Mamba, gated delta net, RWKV, short convolutions), a cache and a
state (Falcon-H1), or neither.

Which keys exist, and their defaults, follows llama.cpp of 2026-10-01 (`llama-hparams.cpp`,
`create_memory` and `models/*.cpp`). Nothing depends on the name of a model. What depends on its
architecture is a row of the table of families or of `WINDOWS`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from zeropoint.checkpoints import TensorLike
from zeropoint.checkpoints.families import FAMILIES
from zeropoint.checkpoints.typed_mapping import TypedMapping, is_array
from zeropoint.errors import UnsupportedModel, printable
from zeropoint.plans.formats.model_facts import CheckpointLike

MAX_NAME_CHARACTERS = 200  # a file may hold a name of 16 MiB


@dataclass(frozen=True, kw_only=True)
class LayerCache:
    """Cached data of one layer, in elements."""

    #: Elements of the keys and of the values of one position; 0: not cached.
    keys: int = 0
    values: int = 0
    #: Elements of the indexer's keys of one position (sparse attention).
    indexer: int = 0
    #: Number of positions that are cached; None: all.
    window: int | None = None
    #: float32 numbers of the recurrent state of one sequence.
    state: int = 0
    #: Query heads, and elements of one head.
    heads: int = 0
    head_size: int = 0


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """The dimensions of a decoder."""

    architecture: str
    layers: tuple[LayerCache, ...]
    #: Elements of the residual stream.
    width: int
    #: Tokens.
    vocabulary: int
    #: Elements of the widest dense feed-forward part, or of all experts that a token uses.
    feed_forward: int
    experts: int = 0
    experts_used: int = 0
    #: Positions that the model was trained for; None: unknown.
    context: int | None = None
    name: str = ""

    @cached_property
    def kinds(self) -> tuple[tuple[LayerCache, int], ...]:
        """Each kind of layer with the number of such layers."""
        return tuple(Counter(self.layers).items())

    @property
    def windowed(self) -> bool:
        """Whether any layer has a sliding window."""
        return any(layer.window for layer, _ in self.kinds)


@dataclass(frozen=True)
class WindowPattern:
    """The layers of an architecture with a sliding window, for files without a key for them."""

    #: One of this many consecutive layers attends to all positions; 0: every layer has a window.
    period: int
    #: Positions of the window if the file does not state them; 0: there is no window then.
    default: int = 0
    #: Whether the first layer of each period attends to all positions, instead of the last.
    first: bool = False
    #: Only models with this many layers have windows; 0: all models.
    layers: int = 0


# As in llama.cpp, an architecture without a row caches all positions, whatever its file states. The
# rows of families that zeropoint runs are in the table of families.
WINDOWS = {
    family.architecture: WindowPattern(rule.period, rule.default_positions)
    for family in FAMILIES.values()
    if (rule := family.llama_cpp_windows)
} | {
    "afmoe": WindowPattern(4),
    "cohere2": WindowPattern(4, 4096),
    "cohere2moe": WindowPattern(4, 4096, first=True),
    "deepseek4": WindowPattern(0, 128),
    "dots3note": WindowPattern(0),
    "exaone-moe": WindowPattern(4, 128),
    "exaone4": WindowPattern(4, 4096, layers=64),
    "gemma3n": WindowPattern(5),
    "granite-swa": WindowPattern(0),
    "laguna": WindowPattern(4, first=True),
    "lfm2": WindowPattern(0),
    "llama4": WindowPattern(4, 8192),
    "mellum": WindowPattern(4),
    "mimo2": WindowPattern(0),
    "muse-glimmer": WindowPattern(4),
    "plamo3": WindowPattern(8),
    "smallthinker": WindowPattern(4, 4096, first=True),
    "spark2-5": WindowPattern(0),
    "step35": WindowPattern(0),
}
# First layer that uses the cache of an earlier one, unless the file gives their number.
FIRST_SHARING_LAYER = {"gemma3n": 20}
WITHOUT_CACHE = frozenset({
    "bert", "jina-bert-v2", "jina-bert-v3", "nomic-bert", "nomic-bert-moe", "neo-bert", "eurobert",
    "wavtokenizer-dec", "modern-bert", "gemma-embedding", "dream", "llada", "llada-moe", "rnd1",
    "t5encoder", "clip",
})  # fmt: skip
MAX_LAYERS = 4096
MAX_COUNT = 2**40
# Starts of the names of tensors that belong to a recurrent layer.
STATE_TENSORS = ("ssm_", "time_mix_", "shortconv.")


class ShapeKeys(TypedMapping):
    """The keys of a file's architecture: `count("block_count")` reads "llama.block_count"."""

    def __init__(self, metadata: Mapping[str, object]) -> None:
        self.architecture = str(metadata.get("general.architecture", ""))
        super().__init__("the metadata", metadata, prefix=f"{self.architecture}.")

    def count(self, key: str, default: int = 0, layer: int | None = None) -> int:
        """Return a whole number; of an array with one number per layer that of `layer`.

        Without a layer it is the largest number of the array. Raises UnsupportedModel for a value
        that is not a whole number from 0 on.
        """
        value = self.get(key)
        if value is None:
            return default
        if is_array(value):
            items = list(value)  # type: ignore[call-overload]
            numbers = [item for item in items if isinstance(item, int | np.integer)]
            if len(numbers) == len(items):
                selected = numbers if layer is None else numbers[layer : layer + 1]
                value = max(selected, default=default)
        if not isinstance(value, int | np.integer) or not 0 <= int(value) < MAX_COUNT:
            raise UnsupportedModel(
                f"{printable(self.full_name(key))} is {printable(repr(value))}; it must be a whole "
                "number of at least 0"
            )
        return int(value)

    def required(self, key: str) -> int:
        """Return a whole number from 1 on. Raises UnsupportedModel if it is missing or 0."""
        value = self.count(key)
        if value < 1:
            found = "missing" if self.get(key) is None else "0"
            raise UnsupportedModel(
                f"{self.full_name(key)} is {found}; the size of the KV cache depends on it"
            )
        return value


def read_shape(checkpoint: CheckpointLike) -> ModelShape:
    """Return the shape of a checkpoint's decoder.

    Raises UnsupportedModel, with the key, if the number of layers or heads or the width is missing.
    """
    keys = ShapeKeys(checkpoint.metadata)
    if not keys.architecture:
        raise UnsupportedModel("the architecture is missing (key general.architecture)")
    width = keys.required("embedding_length")
    all_layers = keys.required("block_count")
    if all_layers > MAX_LAYERS:
        raise UnsupportedModel(f"{all_layers} layers are more than the maximum of {MAX_LAYERS}")
    count = all_layers - min(keys.count("nextn_predict_layers"), all_layers - 1)
    kinds = names_by_layer(checkpoint.tensors)
    embedding = checkpoint.tensors.get("token_embd.weight")
    tokens = checkpoint.metadata.get("tokenizer.ggml.tokens")
    used = keys.count("expert_used_count")
    wide = keys.count("feed_forward_length", 0)
    narrow = keys.count("expert_feed_forward_length", wide)
    if used and narrow != wide and not keys.count("leading_dense_block_count"):
        wide = 0  # the key exists, but no layer is that wide
    return ModelShape(
        architecture=keys.architecture,
        layers=tuple(read_layer(keys, index, count, kinds.get(index)) for index in range(count)),
        width=width,
        vocabulary=embedding.shape[0] if embedding is not None and len(embedding.shape) == 2
        else keys.count("vocab_size", len(tokens) if isinstance(tokens, list | tuple) else 0),
        feed_forward=max(wide, used * narrow),
        experts=keys.count("expert_count"),
        experts_used=used,
        context=keys.count("context_length") or None,
        name=printable(str(checkpoint.metadata.get("general.name", "")), MAX_NAME_CHARACTERS),
    )  # fmt: skip


def names_by_layer(names: Iterable[str]) -> dict[int, set[str]]:
    """Return the names of the tensors of each layer, without "blk.N."."""
    by_layer: dict[int, set[str]] = {}
    for name in names:
        parts = name.split(".", 2)
        if len(parts) == 3 and parts[0] == "blk" and parts[1].isdecimal():
            by_layer.setdefault(int(parts[1]), set()).add(parts[2])
    return by_layer


def read_layer(keys: ShapeKeys, index: int, count: int, tensors: set[str] | None) -> LayerCache:
    """Return what layer `index` of `count` caches; `tensors` are its tensors, None if unknown."""
    stateful = _has_state(keys, index, tensors)
    attends = _attends(keys, index, tensors, stateful) and keys.architecture not in WITHOUT_CACHE
    state = state_size(keys, index) if stateful else 0
    heads = keys.count("attention.head_count", layer=index)
    if not attends:
        return LayerCache(state=state, heads=heads)
    window = _window(keys, index, count)
    suffix = "_swa" if window and keys.get("attention.key_length_swa") is not None else ""
    default = keys.required("embedding_length") // heads if heads else 0
    head_size = keys.count(f"attention.key_length{suffix}", default)
    value_size = keys.count(f"attention.value_length{suffix}", default)
    groups = keys.count("attention.head_count_kv", heads, layer=index)
    if not head_size:
        keys.required(f"attention.key_length{suffix}")  # raises
    compressed = bool(keys.count("attention.key_length_mla"))
    shared = index >= count - keys.count("attention.shared_kv_layers")
    shared |= index >= FIRST_SHARING_LAYER.get(keys.architecture, count)
    return LayerCache(
        keys=0 if shared else groups * head_size,
        values=0 if shared or compressed else groups * value_size,
        indexer=keys.count("attention.indexer.key_length"),
        window=window, state=state, heads=heads,
        head_size=keys.count("attention.key_length_mla", head_size),
    )  # fmt: skip


def _has_state(keys: ShapeKeys, index: int, tensors: set[str] | None) -> bool:
    if tensors is not None:
        return any(name.startswith(STATE_TENSORS) for name in tensors)
    return keys.get("ssm.conv_kernel") is not None or keys.get("wkv.head_size") is not None


# Matrices that compute keys.
KEY_TENSORS = ("attn_k.weight", "attn_qkv.weight", "attn_kv_a_mqa.weight", "attn_kv_b.weight")


def _attends(keys: ShapeKeys, index: int, tensors: set[str] | None, stateful: bool) -> bool:
    """Return whether a layer caches keys: it has heads, and a matrix that computes keys."""
    has_keys = not stateful if tensors is None else any(name in tensors for name in KEY_TENSORS)
    if not has_keys:
        return False
    if not isinstance(keys.get("attention.head_count"), np.ndarray | list | tuple):
        keys.required("attention.head_count")
    groups = keys.count("attention.head_count_kv", 1, layer=index)
    if keys.count("attention.head_count", layer=index) == 0 or groups == 0:
        return False
    # Linear attention may have a fused matrix of that name, but its output matrix has another.
    return not stateful or tensors is None or "attn_output.weight" in tensors


def _window(keys: ShapeKeys, index: int, count: int) -> int | None:
    """Return the number of positions that a layer caches, or None for all."""
    rule = WINDOWS.get(keys.architecture)
    if rule is None or (rule.layers and count != rule.layers):
        return None
    size = keys.count("attention.sliding_window", rule.default)
    if size == 0:
        return None
    pattern = keys.get("attention.sliding_window_pattern")
    if isinstance(pattern, np.ndarray | list | tuple):
        return size if index < len(pattern) and bool(pattern[index]) else None
    period = keys.count("attention.sliding_window_pattern", rule.period)
    if period == 0:
        return size
    global_layer = 0 if rule.first else period - 1
    return None if index % period == global_layer else size


def state_size(keys: ShapeKeys, index: int = 0) -> int:
    """Return the float32 numbers of a recurrent layer's state for one sequence.

    They are the last inputs of its convolution and the recurrent state itself (`n_embd_r` and
    `n_embd_s` in llama.cpp).
    """
    width, heads = (
        keys.required("embedding_length"),
        keys.count("attention.head_count", layer=index),
    )
    if head := keys.count("wkv.head_size"):  # RWKV
        return width * (keys.count("token_shift_count", 2) + head)
    if taps := keys.count("shortconv.l_cache"):  # LFM2
        return width * (taps - 1)
    taps = max(keys.count("ssm.conv_kernel") - 1, 0)
    if size := keys.count("kda.head_dim"):  # Kimi's delta attention
        heads = heads or keys.count("attention.head_count")
        return heads * size * (3 * (taps or 3) + size)
    inner, state = keys.count("ssm.inner_size"), keys.count("ssm.state_size")
    return taps * (inner + 2 * keys.count("ssm.group_count") * state) + state * inner


def weights_bytes(tensors: Iterable[TensorLike]) -> int:
    """Return the bytes of all blocks of some tensors."""
    return sum(
        prod(t.shape) // t.format.for_shape(t.shape).block_size
        * t.format.for_shape(t.shape).block_bytes
        for t in tensors
    )  # fmt: skip
