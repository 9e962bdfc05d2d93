"""What a token makes a machine read and multiply, counted from a model's tensors.

reading   every weight once, the token embedding one row; of experts those that are chosen:
          B users meet  E · (1 − (1 − k/E)^B)  distinct ones of E, if each takes k at random
caches    what is kept of the positions before, windows as far as they reach; states twice
products  every weight once per token; of experts k/E
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
    """Bytes and products of one step, in which each user gets a token."""

    dense: Mapping[str, int]  # bytes read, by format: weights that every token uses
    experts: Mapping[str, float]  # bytes read, by format: of the experts that are chosen
    stacked: Mapping[str, int]  # bytes of all experts, by format
    choice: tuple[int, int]  # experts of a layer, and how many of them a token uses
    dense_products: Mapping[str, int]  # weights that one token is multiplied with, by format,
    head: Mapping[str, int]  # those of the output matrix apart: a prompt needs its last token's
    expert_products: Mapping[str, float]
    cache: float  # bytes of caches and states
    attention: float  # multiply-adds of scores and values for one token of one user
    layers: int
    elements: int  # numbers that one token's norms, activations and sums go over
    users: int

    @property
    def all_experts(self) -> int:
        """Bytes of all experts."""
        return sum(self.stacked.values())

    @property
    def read(self) -> dict[str, float]:
        """Bytes of weights read, by format."""
        return added(self.dense, self.experts)

    def read_at_once(self, tokens: int) -> dict[str, float]:
        """Bytes of weights read, by format, for so many tokens of a prompt that go together."""
        experts, used = self.choice
        share = distinct_experts(experts, used, tokens) / experts if experts else 1.0
        return added(self.dense, {name: size * share for name, size in self.stacked.items()})

    @property
    def products(self) -> dict[str, float]:
        """Weights that each token of a prompt is multiplied with, by format."""
        return added(self.dense_products, self.expert_products)

    @property
    def active(self) -> float:
        """Weights that a token that is written is multiplied with."""
        return sum(self.products.values()) + sum(self.head.values())


def distinct_experts(experts: int, used: int, users: int) -> float:
    """Return how many of E experts B tokens meet that each choose k at random.

    >>> [round(distinct_experts(128, 8, users)) for users in (1, 4, 16)]
    [8, 29, 82]
    """
    if not experts:
        return 0.0
    return experts * (1.0 - (1.0 - min(used, experts) / experts) ** users)


def step_traffic(
    shape: ModelShape, tensors: Iterable[TensorLike], demand: PlanWorkload, *, past: int = 0
) -> StepTraffic:
    """Count one step after `past` positions of each user."""
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
    met = distinct_experts(shape.experts, shape.experts_used, demand.users)
    share = met / shape.experts if shape.experts else 1.0
    each = shape.experts_used / shape.experts if shape.experts else 1.0
    return StepTraffic(
        dense=dense,
        experts={name: size * share for name, size in stacked.items()},
        stacked=stacked,
        choice=(shape.experts, shape.experts_used),
        dense_products=weights,
        head=head,
        expert_products={name: count * each for name, count in stacked_weights.items()},
        cache=cache_read(shape, demand, past),
        attention=attention_products(shape, past),
        layers=len(shape.layers),
        elements=len(shape.layers) * (4 * shape.width + 3 * shape.feed_forward),
        users=demand.users,
    )


def is_expert(name: str) -> bool:
    """Tell whether a tensor holds the matrices of all experts of a layer."""
    return "_exps" in name


def cache_read(shape: ModelShape, demand: PlanWorkload, past: int) -> float:
    """Return the bytes of caches that one step reads, and of states that it reads and writes."""
    total = 0.0
    for layer, count in shape.kinds:
        seen = min(past, layer.window) if layer.window else past
        total += count * demand.users * (seen * bytes_per_cell(layer, demand) + 2 * 4 * layer.state)
    return total


def attention_products(shape: ModelShape, past: int) -> float:
    """Return the multiply-adds of one token's attention to `past` positions."""
    total = 0.0
    for layer, count in shape.kinds:
        if layer.keys or layer.values:
            seen = min(past, layer.window) if layer.window else past
            total += 2.0 * count * seen * layer.heads * layer.head_size
    return total


def added(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """Add two tables by key."""
    return {key: first.get(key, 0) + second.get(key, 0) for key in (*first, *second)}
