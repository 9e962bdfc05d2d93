"""A decoder's shape, as far as memory and time depend on it; read from GGUF metadata.

What each layer keeps of a token is all that a cache costs. A layer may keep keys and values for
every position (attention), for the last few (a sliding window), one compressed vector for both
(MLA: DeepSeek, Kimi), or a state of fixed size that no position adds to (Mamba, gated delta net,
RWKV, short convolutions); some do two of these at once (Falcon-H1), some nothing.

Facts (which keys exist and what is meant where they do not): llama.cpp of 2026-10-01,
`llama-hparams.cpp`, `create_memory` and `models/*.cpp`. Nothing depends on a model's name; what
depends on an architecture's is a row of `WINDOWS`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from zeropoint.checkpoints import TensorLike
from zeropoint.checkpoints.families import FAMILIES
from zeropoint.errors import UnsupportedModel, printable
from zeropoint.plans.formats.model_facts import CheckpointLike

NAME_SHOWN = 200  # characters of a model's name, which may have 16 MiB


@dataclass(frozen=True, kw_only=True)
class LayerCache:
    """What one layer keeps, in elements, and how wide its parts are."""

    keys: int = 0  # per position; 0 where it keeps none
    values: int = 0
    indexer: int = 0  # keys of a sparse attention's indexer, per position
    window: int | None = None  # positions that are kept; None: all
    state: int = 0  # float32 numbers per sequence, whatever the context
    heads: int = 0  # of the queries
    head_size: int = 0


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """A decoder's figures."""

    architecture: str
    layers: tuple[LayerCache, ...]
    width: int
    vocabulary: int
    feed_forward: int  # the widest dense layer, or all experts that a token uses together
    experts: int = 0
    experts_used: int = 0
    context: int | None = None  # positions it was trained for
    name: str = ""

    @cached_property
    def kinds(self) -> tuple[tuple[LayerCache, int], ...]:
        """The different layers, and how many there are of each."""
        return tuple(Counter(self.layers).items())

    @property
    def windowed(self) -> bool:
        """Whether any layer sees less than everything."""
        return any(layer.window for layer, _ in self.kinds)


@dataclass(frozen=True)
class WindowPattern:
    """Which layers of an architecture see a window only, unless its file says more."""

    period: int  # of so many layers, one sees everything; 0: none does
    default: int = 0  # the window where the file does not say; 0: then there is none
    first: bool = False  # the first of each period sees everything, not the last
    layers: int = 0  # only models of so many layers have windows; 0: all


# As llama.cpp: an architecture without a row keeps everything, whatever its file says of windows.
# Families that zeropoint runs have their row in the table of families.
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
    "gemma4": WindowPattern(6),
    "gpt-oss": WindowPattern(2),
    "granite-swa": WindowPattern(0),
    "laguna": WindowPattern(4, first=True),
    "lfm2": WindowPattern(0),
    "llama4": WindowPattern(4, 8192),
    "mellum": WindowPattern(4),
    "mimo2": WindowPattern(0),
    "muse-glimmer": WindowPattern(4),
    "olmo2": WindowPattern(4),
    "plamo3": WindowPattern(8),
    "smallthinker": WindowPattern(4, 4096, first=True),
    "spark2-5": WindowPattern(0),
    "step35": WindowPattern(0),
}
# Layers from this one on share the caches of earlier ones, unless the file says how many.
SHARING = {"gemma3n": 20}
WITHOUT_CACHE = frozenset({
    "bert", "jina-bert-v2", "jina-bert-v3", "nomic-bert", "nomic-bert-moe", "neo-bert", "eurobert",
    "wavtokenizer-dec", "modern-bert", "gemma-embedding", "dream", "llada", "llada-moe", "rnd1",
    "t5encoder", "clip",
})  # fmt: skip
MAX_LAYERS = 4096
STATEFUL = ("ssm_", "time_mix_", "shortconv.")  # parts of names of tensors that go with a state


class Keys:
    """The keys of a file's architecture: `number("block_count")` reads "llama.block_count"."""

    def __init__(self, metadata: Mapping[str, object]) -> None:
        self.metadata = metadata
        self.architecture = str(metadata.get("general.architecture", ""))

    def get(self, key: str) -> object | None:
        """Return the value as the file has it."""
        return self.metadata.get(f"{self.architecture}.{key}")

    def number(self, key: str, default: int = 0, layer: int | None = None) -> int:
        """Return a whole number; of an array (one per layer) that of `layer`, or the largest.

        Raises UnsupportedModel for what is none, or is negative.
        """
        value = self.get(key)
        if value is None:
            return default
        if isinstance(value, np.ndarray | list | tuple):
            numbers = [item for item in value if isinstance(item, int | np.integer)]
            if len(numbers) == len(value):
                here = numbers if layer is None else numbers[layer : layer + 1]
                value = max(here, default=default)
        if not isinstance(value, int | np.integer) or not 0 <= int(value) < 2**40:
            raise UnsupportedModel(
                f"{printable(self.architecture)}.{key} is {printable(repr(value))}; "
                "a whole number from 0 on belongs there"
            )
        return int(value)

    def needed(self, key: str) -> int:
        """Return a number that no model is without."""
        value = self.number(key)
        if value < 1:
            said = "missing" if self.get(key) is None else "0"
            raise UnsupportedModel(
                f"{self.architecture}.{key} is {said}: without it nobody knows what a token costs"
            )
        return value


def read_shape(checkpoint: CheckpointLike) -> ModelShape:
    """Return the shape of a checkpoint's decoder.

    Raises UnsupportedModel where the file does not say how many layers or heads there are.
    """
    keys = Keys(checkpoint.metadata)
    if not keys.architecture:
        raise UnsupportedModel("the file does not name its architecture (general.architecture)")
    width = keys.needed("embedding_length")
    everything = keys.needed("block_count")
    if everything > MAX_LAYERS:
        raise UnsupportedModel(f"{everything} layers are more than any model has ({MAX_LAYERS})")
    count = everything - min(keys.number("nextn_predict_layers"), everything - 1)
    kinds = names_by_layer(checkpoint.tensors)
    embedding = checkpoint.tensors.get("token_embd.weight")
    tokens = checkpoint.metadata.get("tokenizer.ggml.tokens")
    used = keys.number("expert_used_count")
    wide = keys.number("feed_forward_length", 0)
    narrow = keys.number("expert_feed_forward_length", wide)
    if used and narrow != wide and not keys.number("leading_dense_block_count"):
        wide = 0  # the key is there, and no layer is that wide
    return ModelShape(
        architecture=keys.architecture,
        layers=tuple(read_layer(keys, index, count, kinds.get(index)) for index in range(count)),
        width=width,
        vocabulary=embedding.shape[0] if embedding is not None and len(embedding.shape) == 2
        else keys.number("vocab_size", len(tokens) if isinstance(tokens, list | tuple) else 0),
        feed_forward=max(wide, used * narrow),
        experts=keys.number("expert_count"),
        experts_used=used,
        context=keys.number("context_length") or None,
        name=printable(str(checkpoint.metadata.get("general.name", "")), NAME_SHOWN),
    )  # fmt: skip


def names_by_layer(names: Iterable[str]) -> dict[int, set[str]]:
    """Return the tensors of each layer, by their names without "blk.N."."""
    found: dict[int, set[str]] = {}
    for name in names:
        parts = name.split(".", 2)
        if len(parts) == 3 and parts[0] == "blk" and parts[1].isdecimal():
            found.setdefault(int(parts[1]), set()).add(parts[2])
    return found


def read_layer(keys: Keys, index: int, count: int, tensors: set[str] | None) -> LayerCache:
    """Describe what layer `index` of `count` keeps; `tensors` None: none are known."""
    stateful = _has_state(keys, index, tensors)
    attends = _attends(keys, index, tensors, stateful) and keys.architecture not in WITHOUT_CACHE
    state = state_size(keys, index) if stateful else 0
    heads = keys.number("attention.head_count", layer=index)
    if not attends:
        return LayerCache(state=state, heads=heads)
    window = _window(keys, index, count)
    suffix = "_swa" if window and keys.get("attention.key_length_swa") is not None else ""
    default = keys.needed("embedding_length") // heads if heads else 0
    head_size = keys.number(f"attention.key_length{suffix}", default)
    value_size = keys.number(f"attention.value_length{suffix}", default)
    groups = keys.number("attention.head_count_kv", heads, layer=index)
    if not head_size:
        keys.needed(f"attention.key_length{suffix}")  # raises
    compressed = bool(keys.number("attention.key_length_mla"))
    shared = index >= count - keys.number("attention.shared_kv_layers")
    shared |= index >= SHARING.get(keys.architecture, count)
    return LayerCache(
        keys=0 if shared else groups * head_size,
        values=0 if shared or compressed else groups * value_size,
        indexer=keys.number("attention.indexer.key_length"),
        window=window, state=state, heads=heads,
        head_size=keys.number("attention.key_length_mla", head_size),
    )  # fmt: skip


def _has_state(keys: Keys, index: int, tensors: set[str] | None) -> bool:
    if tensors is not None:
        return any(name.startswith(STATEFUL) for name in tensors)
    return keys.get("ssm.conv_kernel") is not None or keys.get("wkv.head_size") is not None


MAKERS = ("attn_k.weight", "attn_qkv.weight", "attn_kv_a_mqa.weight", "attn_kv_b.weight")


def _attends(keys: Keys, index: int, tensors: set[str] | None, stateful: bool) -> bool:
    """Tell whether a layer keeps keys: it has heads for them, and a matrix that makes them."""
    makes = not stateful if tensors is None else any(name in tensors for name in MAKERS)
    if not makes:
        return False
    if not isinstance(keys.get("attention.head_count"), np.ndarray | list | tuple):
        keys.needed("attention.head_count")
    groups = keys.number("attention.head_count_kv", 1, layer=index)
    if keys.number("attention.head_count", layer=index) == 0 or groups == 0:
        return False
    # A linear attention may have a fused matrix of the same name; its output has another.
    return not stateful or tensors is None or "attn_output.weight" in tensors


def _window(keys: Keys, index: int, count: int) -> int | None:
    """Return how many positions a layer keeps, or None for all."""
    rule = WINDOWS.get(keys.architecture)
    if rule is None or (rule.layers and count != rule.layers):
        return None
    size = keys.number("attention.sliding_window", rule.default)
    if size == 0:
        return None
    pattern = keys.get("attention.sliding_window_pattern")
    if isinstance(pattern, np.ndarray | list | tuple):
        return size if index < len(pattern) and bool(pattern[index]) else None
    period = keys.number("attention.sliding_window_pattern", rule.period)
    if period == 0:
        return size
    seeing = 0 if rule.first else period - 1
    return None if index % period == seeing else size


def state_size(keys: Keys, index: int = 0) -> int:
    """Return the float32 numbers that a recurrent layer keeps for a sequence.

    The last inputs of its convolution, and the state proper. As llama.cpp's `n_embd_r` and
    `n_embd_s`.
    """
    width, heads = keys.needed("embedding_length"), keys.number("attention.head_count", layer=index)
    if head := keys.number("wkv.head_size"):  # RWKV
        return width * (keys.number("token_shift_count", 2) + head)
    if taps := keys.number("shortconv.l_cache"):  # LFM2
        return width * (taps - 1)
    taps = max(keys.number("ssm.conv_kernel") - 1, 0)
    if size := keys.number("kda.head_dim"):  # Kimi's delta attention
        heads = heads or keys.number("attention.head_count")
        return heads * size * (3 * (taps or 3) + size)
    inner, state = keys.number("ssm.inner_size"), keys.number("ssm.state_size")
    return taps * (inner + 2 * keys.number("ssm.group_count") * state) + state * inner


def weights_bytes(tensors: Iterable[TensorLike]) -> int:
    """Return the bytes of all blocks of these tensors."""
    return sum(
        prod(t.shape) // t.format.for_shape(t.shape).block_size
        * t.format.for_shape(t.shape).block_bytes
        for t in tensors
    )  # fmt: skip
