"""Memory of a running model: weights, KV cache, recurrent states and compute buffers.

    weights   Σ blocks of every tensor                                                    exact
    cache     Σ layers  cells · (keys · bits(K) + values · bits(V)) / 8                   exact
              cells: the context, or min(context, window · users + batch), padded to 256
    states    users · 4 · (conv + state) of each recurrent layer: no context in it        exact
    compute   the largest step of a forward pass over `batch` tokens, per token           modelled
              logits       vocabulary · 4 + 2 · width · 4
              a layer      mask (cells · 2) + 4 · width · 4 + 3 · feed_forward · 4; with experts
                           also their outputs, used · width · 4, which may replace a feed_forward
              attention    mask + 3 · width · 4 + 2 · heads · size · 4 (in MLA `size` is that of the
                           cached vector and a key); without flash attention also the scores,
                           heads · cells · 4
    output    users · vocabulary · 4

All figures are bytes. They follow the allocations of llama.cpp of 2026-10-01
(`llama-kv-cache*.cpp`, `ggml-alloc.c`, `llama-memory-recurrent.cpp`); `benchmarks/plan_memory.py`
compares them with what llama.cpp reports.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from zeropoint.checkpoints import TensorLike
from zeropoint.errors import RecipeError
from zeropoint.formats import UNQUANTIZED, Format, find_format
from zeropoint.plans.formats.roles import TOKEN_EMBEDDINGS
from zeropoint.plans.memory.batch import BATCH_TOKENS
from zeropoint.plans.memory.cache_shape import LayerCache, ModelShape, weights_bytes

CACHE_FORMATS = ("F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "IQ4_NL")
CELL_PADDING = 256  # a cache has a multiple of this many cells (positions)
MAX_TOKENS, MAX_USERS = 2**27, 2**16


@dataclass(frozen=True, kw_only=True)
class PlanWorkload:
    """How a model is run: users, context, formats of the KV cache, batch.

    Raises RecipeError for values that are not possible.
    """

    #: Tokens of context of each user.
    context: int = 4096
    #: Sequences at the same time.
    users: int = 1
    #: Formats of the KV cache.
    keys: str = "F16"
    values: str = "F16"
    #: Tokens of a prompt in one forward pass.
    batch: int = BATCH_TOKENS
    #: Cache all positions also in layers with a sliding window.
    full_windows: bool = False
    #: Flash attention, which a quantized V cache requires.
    flash: bool = True

    def __post_init__(self) -> None:
        for what, value in (("context", self.context), ("batch", self.batch)):
            if value < 1:
                raise RecipeError(f"the {what} is {value} tokens; it must be 1 or more")
        if self.context > MAX_TOKENS or self.users > MAX_USERS:
            raise RecipeError(
                f"{self.context} tokens for {self.users} users are too many; "
                f"at most {MAX_TOKENS} tokens and {MAX_USERS} users are supported"
            )
        if self.users < 1:
            raise RecipeError(f"there are {self.users} users; there must be 1 or more")
        if not self.flash and self.values not in UNQUANTIZED:
            raise RecipeError(
                f"a V cache in {self.values} requires flash attention; use an f16 cache (--kv f16)"
            )

    @property
    def cache_formats(self) -> str:
        """Formats of the KV cache: "F16", or "Q8_0/Q4_0" where keys and values differ."""
        return self.keys if self.keys == self.values else f"{self.keys}/{self.values}"

    @property
    def tokens(self) -> int:
        """Cells of the cache of all users together, padding included."""
        return padded(self.context * self.users)


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """Bytes of a running model, by part."""

    weights_bytes: int
    #: KV cache of layers that cache all positions.
    cache_bytes: int
    #: KV cache of layers with a sliding window.
    window_bytes: int
    #: States of recurrent layers.
    state_bytes: int
    #: Buffers of a forward pass, the logits of the last tokens included.
    compute_bytes: int

    @property
    def kv_bytes(self) -> int:
        """KV caches and recurrent states."""
        return self.cache_bytes + self.window_bytes + self.state_bytes

    @property
    def total_bytes(self) -> int:
        """The sum of all parts."""
        return self.weights_bytes + self.kv_bytes + self.compute_bytes


def padded(cells: int) -> int:
    """Round a number of cells up to a multiple of 256.

    >>> padded(1), padded(512)
    (256, 512)
    """
    return -(-cells // CELL_PADDING) * CELL_PADDING


def cache_format(text: str) -> Format:
    """Return a format of the KV cache by its name, in any case. Raises RecipeError."""
    name = text.strip().upper()
    if name not in CACHE_FORMATS:
        known = ", ".join(known.lower() for known in CACHE_FORMATS)
        raise RecipeError(f"{text!r} is not a format of the KV cache; supported: {known}")
    return find_format(name)


def parse_cache(text: str) -> tuple[str, str]:
    """Return the formats of keys and values from `q8_0`, or `q8_0/q4_0`. Raises RecipeError.

    >>> parse_cache("q8_0"), parse_cache("f16/Q4_0")
    (('Q8_0', 'Q8_0'), ('F16', 'Q4_0'))
    """
    keys, _, values = text.partition("/")
    return cache_format(keys).name, cache_format(values or keys).name


def memory_use(
    shape: ModelShape, tensors: Iterable[TensorLike], workload: PlanWorkload
) -> MemoryUse:
    """Return the memory of a running model. Raises RecipeError for an unsuitable cache format."""
    whole = windowed = 0
    for layer, count in shape.kinds:
        nbytes = count * layer_cells(layer, workload) * bytes_per_cell(layer, workload)
        if layer.window and not workload.full_windows:
            windowed += nbytes
        else:
            whole += nbytes
    return MemoryUse(
        weights_bytes=weights_bytes(tensors),
        cache_bytes=whole,
        window_bytes=windowed,
        state_bytes=4 * workload.users * sum(count * layer.state for layer, count in shape.kinds),
        compute_bytes=compute_bytes(shape, workload),
    )


def layer_cells(layer: LayerCache, workload: PlanWorkload) -> int:
    """Return the number of positions in the cache of a layer."""
    if layer.window and not workload.full_windows:
        return min(workload.tokens, padded(layer.window * workload.users + workload.batch))
    return workload.tokens


def bytes_per_cell(layer: LayerCache, workload: PlanWorkload) -> int:
    """Return the bytes of one position in the cache of a layer.

    Raises RecipeError if a row of the cache is not a whole number of its format's blocks.
    """
    keys, values = find_format(workload.keys), find_format(workload.values)
    total = 0
    for size, format in ((layer.keys, keys), (layer.values, values), (layer.indexer, keys)):
        if size % format.block_size:
            raise RecipeError(
                f"a KV cache in {format.name} needs rows with a multiple of {format.block_size} "
                f"elements, but this model has rows of {size}; use an f16 cache (--kv f16)"
            )
        total += size // format.block_size * format.block_bytes
    return total


def token_bytes(shape: ModelShape, workload: PlanWorkload) -> int:
    """Return the bytes of the KV cache of one more token, while no sliding window is full.

    >>> layer = LayerCache(keys=1024, values=1024, heads=32, head_size=128)
    >>> llama = ModelShape(architecture="llama", layers=(layer,) * 32, width=4096,
    ...                    vocabulary=128256, feed_forward=14336)
    >>> token_bytes(llama, PlanWorkload()) // 1024
    128
    >>> token_bytes(llama, PlanWorkload(keys="Q8_0", values="Q8_0"))
    69632
    """
    return sum(count * bytes_per_cell(layer, workload) for layer, count in shape.kinds)


@dataclass(frozen=True, kw_only=True)
class ComputeBuffers:
    """Buffers of the steps of a forward pass, of which the largest is allocated, and the output."""

    logits_bytes: int
    #: Mask, residual stream and feed-forward part.
    layer_bytes: int
    attention_bytes: int
    output_bytes: int

    @property
    def largest(self) -> str:
        """The step with the largest buffers."""
        steps = ("logits", "layer", "attention")
        return max(steps, key=lambda name: int(getattr(self, f"{name}_bytes")))

    @property
    def total_bytes(self) -> int:
        """Bytes that are allocated."""
        return int(getattr(self, f"{self.largest}_bytes")) + self.output_bytes


def compute_bytes(shape: ModelShape, workload: PlanWorkload) -> int:
    """Return the bytes of the buffers of a forward pass over one batch, output included."""
    return compute_buffers(shape, workload).total_bytes


def compute_buffers(shape: ModelShape, workload: PlanWorkload) -> ComputeBuffers:
    """Return the buffers of each step of a forward pass over one batch, and of the output."""
    tokens = min(workload.batch, workload.tokens)
    width = 4 * tokens * shape.width
    logits = 4 * tokens * shape.vocabulary + 2 * width
    feed = 4 * tokens * shape.feed_forward
    attending = [layer for layer, _ in shape.kinds if layer.keys or layer.values]
    cells = max((layer_cells(layer, workload) for layer in attending), default=0)
    mask = (2 if workload.flash else 4) * tokens * cells
    if shape.windowed and not workload.full_windows:
        windows = [layer_cells(layer, workload) for layer in attending if layer.window]
        mask += (2 if workload.flash else 4) * tokens * max(windows, default=0)
    outputs = shape.experts_used * width  # of the experts, before they are summed
    # They take the place of gate and up if those are large enough.
    inside = 3 * feed + outputs if outputs > 2 * feed else max(3 * feed, 2 * feed + outputs)
    heads = max((layer.heads for layer in attending), default=0)
    scores = 0 if workload.flash else 4 * tokens * cells * heads
    inner = 4 * tokens * max(map(attention_width, attending), default=0)
    return ComputeBuffers(
        logits_bytes=logits, layer_bytes=mask + 4 * width + inside,
        attention_bytes=mask + scores + 3 * width + inner,
        output_bytes=4 * workload.users * shape.vocabulary,
    )  # fmt: skip


def attention_width(layer: LayerCache) -> int:
    """Return the largest number of elements that attention holds for one token."""
    if layer.keys and not layer.values:  # MLA: queries and results have the cached width
        return 2 * layer.heads * (layer.keys + layer.head_size)
    return 2 * layer.heads * layer.head_size


# Formats of which a CPU with AVX2 holds a rearranged copy, as in ggml-cpu/repack.cpp.
REPACKED = frozenset({"Q4_0", "Q4_K", "IQ4_NL"})


def repacked_bytes(tensors: Iterable[TensorLike]) -> int:
    """Return the bytes of the rearranged copies that llama.cpp makes on an x86 CPU.

    They replace pages of the mapped file in memory, so a total does not count them.
    """
    return weights_bytes(
        tensor
        for tensor in tensors
        if tensor.format.name in REPACKED
        and len(tensor.shape) > 1
        and tensor.shape[-2] % 8 == 0
        and tensor.name not in TOKEN_EMBEDDINGS
    )
