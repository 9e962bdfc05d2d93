"""Memory traffic and products of one generated token, counted from the tensors of a model.

weights   Every weight is read once, and one row of the token embedding. Of E experts, B users who
          each use k at random read  E · (1 − (1 − k/E)^B)  distinct ones.
caches    The cached positions are read, windows up to their size; states are read and written.
products  Every token multiplies every weight, and k/E of the weights of experts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

from zeropoint.checkpoints import TensorLike
from zeropoint.checkpoints.names import OUTPUT
from zeropoint.plans.formats.roles import TOKEN_EMBEDDINGS
from zeropoint.plans.memory.cache_shape import ModelShape, weights_bytes
from zeropoint.plans.memory.memory import PlanWorkload, bytes_per_cell


@dataclass(frozen=True, kw_only=True)
class StepTraffic:
    """Bytes read and weights multiplied in one step, which generates a token for each user."""

    #: Bytes read by format: weights that every token uses.
    dense: Mapping[str, int]
    #: Bytes read by format: weights of the experts that are used.
    experts: Mapping[str, float]
    #: Bytes of all experts by format.
    stacked: Mapping[str, int]
    #: Experts of a layer, and the number that a token uses.
    choice: tuple[int, int]
    #: Weights that one token multiplies, by format, without output matrix and experts.
    dense_products: Mapping[str, int]
    #: Weights of the output matrix, which a prompt multiplies for its last token only.
    head: Mapping[str, int]
    #: Weights of experts that one token multiplies, by format.
    expert_products: Mapping[str, float]
    #: Bytes of KV caches and states.
    cache: float
    #: Multiply-adds of scores and values for one token of one user.
    attention: float
    layers: int
    #: Numbers in the norms, activations and sums of one token.
    elements: int
    users: int

    @property
    def all_experts(self) -> int:
        """Bytes of all experts."""
        return sum(self.stacked.values())

    @property
    def read(self) -> dict[str, float]:
        """Bytes of weights read, by format."""
        return add_by_key(self.dense, self.experts)

    def read_at_once(self, tokens: int) -> dict[str, float]:
        """Bytes of weights read, by format, for a batch of this many tokens of a prompt."""
        experts, used = self.choice
        share = distinct_experts(experts, used, tokens) / experts if experts else 1.0
        return add_by_key(self.dense, {name: size * share for name, size in self.stacked.items()})

    @property
    def products(self) -> dict[str, float]:
        """Weights that each token of a prompt multiplies, by format."""
        return add_by_key(self.dense_products, self.expert_products)

    @property
    def active(self) -> float:
        """Weights that a generated token multiplies."""
        return sum(self.products.values()) + sum(self.head.values())


def distinct_experts(experts: int, used: int, users: int) -> float:
    """Return how many distinct experts a number of tokens use, if each chooses at random.

    >>> [round(distinct_experts(128, 8, users)) for users in (1, 4, 16)]
    [8, 29, 82]
    """
    if not experts:
        return 0.0
    return experts * (1.0 - (1.0 - min(used, experts) / experts) ** users)


def step_traffic(
    shape: ModelShape, tensors: Iterable[TensorLike], workload: PlanWorkload, *, past: int = 0
) -> StepTraffic:
    """Return the traffic of one step after `past` positions of each user."""
    tensors = list(tensors)
    tied = not any(tensor.name == OUTPUT for tensor in tensors)
    dense: dict[str, int] = {}
    stacked: dict[str, int] = {}
    weights: dict[str, int] = {}
    head: dict[str, int] = {}
    stacked_weights: dict[str, int] = {}
    for tensor in tensors:
        if tensor.name in TOKEN_EMBEDDINGS and not (tied and tensor.name == TOKEN_EMBEDDINGS[0]):
            continue
        format, size, count = tensor.format.name, weights_bytes([tensor]), prod(tensor.shape)
        bytes_of, count_of = dense, weights
        if is_expert(tensor.name):
            bytes_of, count_of = stacked, stacked_weights
        elif tensor.name == OUTPUT or tensor.name in TOKEN_EMBEDDINGS:
            count_of = head
        bytes_of[format] = bytes_of.get(format, 0) + size
        if len(tensor.shape) > 1:
            count_of[format] = count_of.get(format, 0) + count
    distinct = distinct_experts(shape.experts, shape.experts_used, workload.users)
    share = distinct / shape.experts if shape.experts else 1.0
    each = shape.experts_used / shape.experts if shape.experts else 1.0
    return StepTraffic(
        dense=dense,
        experts={name: size * share for name, size in stacked.items()},
        stacked=stacked,
        choice=(shape.experts, shape.experts_used),
        dense_products=weights,
        head=head,
        expert_products={name: count * each for name, count in stacked_weights.items()},
        cache=cache_read(shape, workload, past),
        attention=attention_products(shape, past),
        layers=len(shape.layers),
        elements=len(shape.layers) * (4 * shape.width + 3 * shape.feed_forward),
        users=workload.users,
    )


def is_expert(name: str) -> bool:
    """Return whether a tensor holds the matrices of all experts of a layer."""
    return "_exps" in name


def cache_read(shape: ModelShape, workload: PlanWorkload, past: int) -> float:
    """Return the bytes of the KV cache that a step reads, and of states, read and written."""
    total = 0.0
    for layer, count in shape.kinds:
        positions = min(past, layer.window) if layer.window else past
        cells = positions * bytes_per_cell(layer, workload)
        total += count * workload.users * (cells + 2 * 4 * layer.state)
    return total


def attention_products(shape: ModelShape, past: int) -> float:
    """Return the multiply-adds of the attention of one token to `past` positions."""
    total = 0.0
    for layer, count in shape.kinds:
        if layer.keys or layer.values:
            positions = min(past, layer.window) if layer.window else past
            total += 2.0 * count * positions * layer.heads * layer.head_size
    return total


def add_by_key(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """Return the sums of two tables, key by key."""
    return {key: first.get(key, 0) + second.get(key, 0) for key in (*first, *second)}
