"""What a model needs in memory when it runs: weights, caches, and room to compute in.

    weights   Σ blocks of every tensor                                                    exact
    cache     Σ layers  cells · (keys · bits(K) + values · bits(V)) / 8                   exact
              cells: the context, or min(context, window · users + batch), padded to 256
    states    users · 4 · (conv + state) of each recurrent layer: no context in it        exact
    compute   the largest moment of a pass over `batch` tokens                            modelled:
              logits       vocabulary · 4 + 2 · width · 4
              a layer      mask (cells · 2) + 4 · width · 4 + 3 · feed_forward · 4; of experts their
                           outputs, used · width · 4, which may take the place of one feed_forward
              attention    mask + 3 · width · 4 + 2 · heads · size · 4 (of MLA size is what is kept
                           and a key); without flash attention also heads · cells · 4: the scores
    output    users · vocabulary · 4

These are llama.cpp's allocations of 2026-10-01 (`llama-kv-cache*.cpp`, `ggml-alloc.c`,
`llama-memory-recurrent.cpp`); `benchmarks/plan_memory.py` holds them against what it reports.
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
PADDING = 256  # cells
MOST_TOKENS, MOST_USERS = 2**27, 2**16


@dataclass(frozen=True, kw_only=True)
class PlanWorkload:
    """How a model is to be run."""

    context: int = 4096  # tokens of each user
    users: int = 1
    keys: str = "F16"  # formats of the caches
    values: str = "F16"
    batch: int = BATCH_TOKENS  # tokens of a prompt that are computed at once
    full_windows: bool = False  # keep everything also where a layer sees a window only
    flash: bool = True  # flash attention; a quantized V cache needs it

    def __post_init__(self) -> None:
        for what, value in (("context", self.context), ("batch", self.batch)):
            if value < 1:
                raise RecipeError(f"a {what} of {value} tokens cannot be; ask for 1 or more")
        if self.context > MOST_TOKENS or self.users > MOST_USERS:
            raise RecipeError(
                f"{self.context} tokens for {self.users} users are more than any machine holds; "
                f"ask for at most {MOST_TOKENS} tokens and {MOST_USERS} users"
            )
        if self.users < 1:
            raise RecipeError(f"{self.users} users cannot be; ask for 1 or more")
        if not self.flash and self.values not in UNQUANTIZED:
            raise RecipeError(f"a V cache in {self.values} needs flash attention; use --kv f16")

    @property
    def cache_formats(self) -> str:
        """Formats of the KV cache: "F16", or "Q8_0/Q4_0" where keys and values differ."""
        return self.keys if self.keys == self.values else f"{self.keys}/{self.values}"

    @property
    def tokens(self) -> int:
        """Positions that all users fill together, as the cache is padded."""
        return padded(self.context * self.users)


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """Bytes of a running model, part by part."""

    weights_bytes: int
    cache_bytes: int  # of layers that keep every position
    window_bytes: int  # of layers that keep a window
    state_bytes: int  # of recurrent layers
    compute_bytes: int  # buffers of a pass, the logits of the last tokens included

    @property
    def kv_bytes(self) -> int:
        """Everything that is kept from token to token."""
        return self.cache_bytes + self.window_bytes + self.state_bytes

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.weights_bytes + self.kv_bytes + self.compute_bytes


def padded(cells: int) -> int:
    """Round up to what a cache is allocated in.

    >>> padded(1), padded(512)
    (256, 512)
    """
    return -(-cells // PADDING) * PADDING


def cache_format(text: str) -> Format:
    """Return the format of a cache, in any case. Raises RecipeError for what no cache can be in."""
    name = text.strip().upper()
    if name not in CACHE_FORMATS:
        known = ", ".join(known.lower() for known in CACHE_FORMATS)
        raise RecipeError(f"{text!r} is no format of a cache; these are: {known}")
    return find_format(name)


def parse_cache(text: str) -> tuple[str, str]:
    """Read `q8_0`, or `q8_0/q4_0` for keys and values; return both formats' names.

    >>> parse_cache("q8_0"), parse_cache("f16/Q4_0")
    (('Q8_0', 'Q8_0'), ('F16', 'Q4_0'))
    """
    keys, _, values = text.partition("/")
    return cache_format(keys).name, cache_format(values or keys).name


def memory_use(shape: ModelShape, tensors: Iterable[TensorLike], demand: PlanWorkload) -> MemoryUse:
    """Return what a model needs. Raises RecipeError if a cache cannot have its format."""
    whole = windowed = 0
    for layer, count in shape.kinds:
        nbytes = count * layer_cells(layer, demand) * bytes_per_cell(layer, demand)
        if layer.window and not demand.full_windows:
            windowed += nbytes
        else:
            whole += nbytes
    return MemoryUse(
        weights_bytes=weights_bytes(tensors),
        cache_bytes=whole,
        window_bytes=windowed,
        state_bytes=4 * demand.users * sum(count * layer.state for layer, count in shape.kinds),
        compute_bytes=compute_bytes(shape, demand),
    )


def layer_cells(layer: LayerCache, demand: PlanWorkload) -> int:
    """Return how many positions a layer's cache has room for."""
    if layer.window and not demand.full_windows:
        return min(demand.tokens, padded(layer.window * demand.users + demand.batch))
    return demand.tokens


def bytes_per_cell(layer: LayerCache, demand: PlanWorkload) -> int:
    """Return the bytes of one position in one layer's cache.

    Raises RecipeError if a row of the cache is no whole number of its format's blocks.
    """
    keys, values = find_format(demand.keys), find_format(demand.values)
    total = 0
    for size, format in ((layer.keys, keys), (layer.values, values), (layer.indexer, keys)):
        if size % format.block_size:
            raise RecipeError(
                f"a cache in {format.name} needs rows in steps of {format.block_size}; this model "
                f"has rows of {size}: use --kv f16"
            )
        total += size // format.block_size * format.block_bytes
    return total


def token_bytes(shape: ModelShape, demand: PlanWorkload) -> int:
    """Return what one more token costs while no window is full.

    >>> layer = LayerCache(keys=1024, values=1024, heads=32, head_size=128)
    >>> llama = ModelShape(architecture="llama", layers=(layer,) * 32, width=4096,
    ...                    vocabulary=128256, feed_forward=14336)
    >>> token_bytes(llama, PlanWorkload()) // 1024
    128
    >>> token_bytes(llama, PlanWorkload(keys="Q8_0", values="Q8_0"))
    69632
    """
    return sum(count * bytes_per_cell(layer, demand) for layer, count in shape.kinds)


@dataclass(frozen=True, kw_only=True)
class ComputeBuffers:
    """Bytes of the moments of a pass, of which the largest counts, and of the output."""

    logits_bytes: int
    layer_bytes: int  # mask, residual stream, feed-forward part
    attention_bytes: int
    output_bytes: int

    @property
    def largest(self) -> str:
        """The moment that needs most."""
        moments = ("logits", "layer", "attention")
        return max(moments, key=lambda name: int(getattr(self, f"{name}_bytes")))

    @property
    def total_bytes(self) -> int:
        """What is allocated."""
        return int(getattr(self, f"{self.largest}_bytes")) + self.output_bytes


def compute_bytes(shape: ModelShape, demand: PlanWorkload) -> int:
    """Return the buffers of a pass over one batch of a prompt, and those of the output."""
    return compute_buffers(shape, demand).total_bytes


def compute_buffers(shape: ModelShape, demand: PlanWorkload) -> ComputeBuffers:
    """Return what each moment of a pass over one batch of a prompt needs, and the output."""
    tokens = min(demand.batch, demand.tokens)
    width = 4 * tokens * shape.width
    logits = 4 * tokens * shape.vocabulary + 2 * width
    feed = 4 * tokens * shape.feed_forward
    attending = [layer for layer, _ in shape.kinds if layer.keys or layer.values]
    cells = max((layer_cells(layer, demand) for layer in attending), default=0)
    mask = (2 if demand.flash else 4) * tokens * cells
    if shape.windowed and not demand.full_windows:
        windows = [layer_cells(layer, demand) for layer in attending if layer.window]
        mask += (2 if demand.flash else 4) * tokens * max(windows, default=0)
    outputs = shape.experts_used * width  # of the experts, before they are added up
    # They may lie where gate and up were, if these are large enough.
    inside = 3 * feed + outputs if outputs > 2 * feed else max(3 * feed, 2 * feed + outputs)
    heads = max((layer.heads for layer in attending), default=0)
    scores = 0 if demand.flash else 4 * tokens * cells * heads
    inner = 4 * tokens * max(map(attention_width, attending), default=0)
    return ComputeBuffers(
        logits_bytes=logits, layer_bytes=mask + 4 * width + inside,
        attention_bytes=mask + scores + 3 * width + inner,
        output_bytes=4 * demand.users * shape.vocabulary,
    )  # fmt: skip


def attention_width(layer: LayerCache) -> int:
    """Return the elements that a layer's attention holds for a token at its widest moment."""
    if layer.keys and not layer.values:  # MLA: queries and results are as wide as what is kept
        return 2 * layer.heads * (layer.keys + layer.head_size)
    return 2 * layer.heads * layer.head_size


# As ggml-cpu/repack.cpp: formats that processors with AVX2 keep a rearranged copy of.
REPACKED = frozenset({"Q4_0", "Q4_K", "IQ4_NL"})


def repacked_bytes(tensors: Iterable[TensorLike]) -> int:
    """Return the second copy of some matrices that llama.cpp makes on an x86 processor.

    Its pages stand in for those of the mapped file, so a total does not count them.
    """
    return weights_bytes(
        tensor
        for tensor in tensors
        if tensor.format.name in REPACKED
        and len(tensor.shape) > 1
        and tensor.shape[-2] % 8 == 0
        and tensor.name not in TOKEN_EMBEDDINGS
    )
