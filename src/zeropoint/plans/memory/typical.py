"""Typical models: the usual shape of a model of which only the size is known.

`27B` is a dense model. `30B-A3B` is a mixture of experts of which a token uses 3 billion weights.
From 150B on a size alone means a mixture too, as nearly all published models of that size are; 405B
is the exception. The shape is that of the published model that is nearest in size, with a wider or
narrower feed-forward part so that the number of weights is right. The KV caches of models of one
size can differ: that of Gemma 3 27B is 7 times as large as that of Qwen 3.5 27B. A plan for a size
therefore says that it is typical.
"""

import math
import re
from dataclasses import dataclass

from zeropoint.errors import RecipeError
from zeropoint.plans.memory import layers as parts
from zeropoint.plans.memory.cache_shape import ModelShape
from zeropoint.plans.memory.layers import AttentionHeads, DescribedModel, LatentSizes

_SIZE = re.compile(r"(\d+(?:\.\d+)?)([MBT])(?:-?A(\d+(?:\.\d+)?)([MB]))?", re.IGNORECASE)
_UNITS = {"M": 10**6, "B": 10**9, "T": 10**12}
MIN_MIXTURE_WEIGHTS = 150 * 10**9  # of a mixture whose size alone is given
MIN_WEIGHTS, MAX_WEIGHTS = 10**6, 10**14
FEED_FORWARD_STEP = 256  # elements; a multiple of it fits the blocks of every format
TRAINED_CONTEXT = 131_072  # tokens


@dataclass(frozen=True)
class DenseModel:
    """Dimensions of a published dense model."""

    weights: float
    layers: int
    width: int
    heads: int
    groups: int
    head_size: int
    vocabulary: int
    tied: bool = False
    like: str = ""


@dataclass(frozen=True)
class MixtureModel:
    """Dimensions of a published mixture of experts."""

    weights: float
    active: float
    layers: int
    width: int
    heads: int
    #: Key-value heads; 0: multi-head latent attention with DeepSeek's sizes.
    groups: int
    #: Hidden elements of an expert.
    inner: int
    #: Experts that every token uses.
    shared: int
    vocabulary: int
    #: Number of first layers without experts.
    dense: int = 0
    dense_inner: int = 18432
    like: str = ""


DENSE = (
    DenseModel(0.135e9, 30, 576, 9, 3, 64, 49152, True, "SmolLM2 135M"),
    DenseModel(0.36e9, 32, 960, 15, 5, 64, 49152, True, "SmolLM2 360M"),
    DenseModel(0.6e9, 28, 1024, 16, 8, 128, 151936, True, "Qwen3 0.6B"),
    DenseModel(1.7e9, 28, 2048, 16, 8, 128, 151936, True, "Qwen3 1.7B"),
    DenseModel(4.0e9, 36, 2560, 32, 8, 128, 151936, True, "Qwen3 4B"),
    DenseModel(8.2e9, 36, 4096, 32, 8, 128, 151936, False, "Qwen3 8B"),
    DenseModel(14.8e9, 40, 5120, 40, 8, 128, 151936, False, "Qwen3 14B"),
    DenseModel(23.6e9, 40, 5120, 32, 8, 128, 131072, False, "Mistral Small 24B"),
    DenseModel(32.8e9, 64, 5120, 64, 8, 128, 151936, False, "Qwen3 32B"),
    DenseModel(70.6e9, 80, 8192, 64, 8, 128, 128256, False, "Llama 3 70B"),
    DenseModel(122.6e9, 88, 12288, 96, 8, 128, 32768, False, "Mistral Large 123B"),
    DenseModel(405.9e9, 126, 16384, 128, 8, 128, 128256, False, "Llama 3.1 405B"),
)
MIXTURES = (
    MixtureModel(6.9e9, 1.3e9, 16, 2048, 16, 16, 1024, 0, 50304, like="OLMoE"),
    MixtureModel(30.5e9, 3.3e9, 48, 2048, 32, 4, 768, 0, 151936, like="Qwen3 30B-A3B"),
    MixtureModel(106e9, 12e9, 46, 4096, 96, 8, 1408, 1, 151552, 1, 10944, "GLM 4.5 Air"),
    MixtureModel(235e9, 22e9, 94, 4096, 64, 4, 1536, 0, 151936, like="Qwen3 235B-A22B"),
    MixtureModel(671e9, 37e9, 61, 7168, 128, 0, 2048, 1, 129280, 3, 18432, "DeepSeek V3"),
    MixtureModel(1026e9, 32e9, 61, 7168, 64, 0, 2048, 1, 163840, 1, 18432, "Kimi K2"),
)
DEEPSEEK = LatentSizes(rank=512, query_rank=1536, plain=128, rope=64, value=128)


def is_size(text: str) -> bool:
    """Return whether a text is a size such as `27B`, `135M`, `1T` or `30B-A3B`."""
    return _SIZE.fullmatch(text.strip()) is not None


def typical_model(text: str) -> DescribedModel:
    """Return a typical model of this size.

    >>> model = typical_model("27B")
    >>> model.shape.name
    '27B (typical shape, like Mistral Small 24B)'

    Raises RecipeError for a text that is not a size, or a size that no model has.
    """
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise RecipeError(
            f"{text!r} is not a size; write 27B, 135M, 1T, or 30B-A3B for a mixture of experts"
        )
    weights = float(match[1]) * _UNITS[match[2].upper()]
    active = float(match[3]) * _UNITS[match[4].upper()] if match[3] else None
    if not MIN_WEIGHTS <= weights <= MAX_WEIGHTS:
        raise RecipeError(
            f"{text!r} is not the size of a model; sizes from 1M to 100T are supported"
        )
    if active is not None and not weights / 1000 < active < weights:
        raise RecipeError(
            f"{text!r}: the weights that a token uses must be fewer than all, and more than 0.1 %"
        )
    published = any(abs(weights / row.weights - 1) < 0.01 for row in DENSE)
    if active is None and (published or weights < MIN_MIXTURE_WEIGHTS):
        return _dense(text.strip(), weights)
    return _mixture(text.strip(), weights, active)


def _inner(room: float, per_unit: int, width: int) -> int:
    """Return the hidden elements of a feed-forward part with this many weights."""
    wide = width >= 4 * FEED_FORWARD_STEP
    step = FEED_FORWARD_STEP if wide else FEED_FORWARD_STEP // 4
    return max(round(room / per_unit / step), 1) * step


def _dense(name: str, weights: float) -> DescribedModel:
    row = min(DENSE, key=lambda row: abs(math.log(row.weights / weights)))
    layers, width, heads = row.layers, row.width, row.heads
    embedding = row.vocabulary * width * (1 if row.tied else 2)
    attending = 2 * width * row.head_size * (heads + row.groups)
    # Far from the nearest published model the number of layers changes too.
    layer_weights = (row.weights - embedding) / layers
    if not 0.6 < weights / row.weights < 1.7:
        layers = max(round((weights - embedding) / layer_weights), 2)
    inner = _inner((weights - embedding) / layers - attending, 3 * width, width)
    one = parts.attention(width, AttentionHeads(heads, row.groups, row.head_size))
    shape = ModelShape(
        architecture="typical", name=f"{name} (typical shape, like {row.like})",
        layers=(one.cache,) * layers, width=width, vocabulary=row.vocabulary, feed_forward=inner,
        context=TRAINED_CONTEXT,
    )  # fmt: skip
    roles = one.roles | parts.dense(width, inner)
    return parts.assemble(shape, [roles] * layers, tied=row.tied)


def _mixture(name: str, weights: float, active: float | None) -> DescribedModel:
    def distance(row: MixtureModel) -> float:
        apart = abs(math.log(row.weights / weights))
        return apart + abs(math.log(row.active / active)) if active else apart

    row = min(MIXTURES, key=distance)
    layers, width = row.layers, row.width
    if not 0.25 < weights / row.weights < 4:  # between these the number of experts changes instead
        layers = max(round(layers * weights / row.weights), 2)
    sparse = layers - min(row.dense, layers - 1)
    one = (parts.attention(width, AttentionHeads(row.heads, row.groups, 128)) if row.groups
           else parts.latent_attention(width, row.heads, DEEPSEEK))  # fmt: skip
    attending = sum(math.prod(shape) for shape in one.roles.values())
    fixed = 2 * row.vocabulary * width + layers * attending
    fixed += (layers - sparse) * 3 * width * row.dense_inner
    each = sparse * 3 * width * row.inner  # of one expert in all layers
    count = max(round((weights - fixed) / each) - row.shared, 2)
    wanted = active or row.active * weights / row.weights
    used = min(max(round((wanted - fixed) / each) - row.shared, 1), count)
    mixed = parts.experts(width, row.inner, count, shared=row.shared * row.inner)
    plain = parts.dense(width, row.dense_inner)
    shape = ModelShape(
        architecture="typical", name=f"{name} (typical mixture of experts, like {row.like})",
        layers=(one.cache,) * layers, width=width, vocabulary=row.vocabulary,
        feed_forward=max(used * row.inner, row.dense_inner if row.dense else 0),
        experts=count, experts_used=used, context=TRAINED_CONTEXT,
    )  # fmt: skip
    rows = [one.roles | plain] * (layers - sparse) + [one.roles | mixed] * sparse
    return parts.assemble(shape, rows, tied=False)
