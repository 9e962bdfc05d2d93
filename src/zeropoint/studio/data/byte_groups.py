"""Where the bytes of a file went: by role of the tensors and by format, and over the layers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zeropoint.formats import find_format
from zeropoint.plans.formats.inventory import kind_of
from zeropoint.plans.formats.roles import Role, layer_of, role_of
from zeropoint.results.inventory import TensorEntry

EMBEDDING, HEAD, ATTENTION, FEED_FORWARD = "Embedding", "Output head", "Attention", "Feed-forward"
EXPERTS, OTHER = "Experts", "Other tensors"
GROUPS = (EMBEDDING, HEAD, ATTENTION, FEED_FORWARD, EXPERTS, OTHER)
_GROUP_OF = {
    Role.TOKEN_EMBEDDING: EMBEDDING,
    Role.OUTPUT: HEAD,
    Role.VALUES: ATTENTION,
    Role.KEYS: ATTENTION,
    Role.QUERIES: ATTENTION,
    Role.ATTENTION_OUTPUT: ATTENTION,
    Role.FFN_UP: FEED_FORWARD,
    Role.FFN_GATE: FEED_FORWARD,
    Role.FFN_DOWN: FEED_FORWARD,
}


@dataclass(frozen=True)
class ByteGroup:
    """The bytes of one group of tensors, by format: the format with the fewest bits first."""

    name: str
    formats: dict[str, int]

    @property
    def nbytes(self) -> int:
        """Bytes of all formats."""
        return sum(self.formats.values())


@dataclass(frozen=True)
class LayerRow:
    """The format of one kind of matrix in each layer; None where a layer has no such matrix."""

    kind: str
    formats: tuple[str | None, ...]


def byte_groups(tensors: Iterable[TensorEntry]) -> list[ByteGroup]:
    """Return the groups of GROUPS that have bytes, in that order."""
    totals: dict[str, dict[str, int]] = {}
    for tensor in tensors:
        formats = totals.setdefault(group_of(tensor.name), {})
        formats[tensor.format] = formats.get(tensor.format, 0) + tensor.bytes
    return [
        ByteGroup(name, {format: totals[name][format] for format in by_bits(totals[name])})
        for name in GROUPS
        if sum(totals.get(name, {}).values())
    ]


def layer_rows(tensors: Sequence[TensorEntry], limit: int) -> list[LayerRow]:
    """Return the `limit` kinds of matrix with the most bytes, in the order of the file."""
    found: dict[str, dict[int, TensorEntry]] = {}
    for tensor in tensors:
        layer = layer_of(tensor.name)
        if layer is not None and len(tensor.shape) > 1:
            found.setdefault(kind_of(tensor.name), {})[layer] = tensor
    size = {kind: sum(one.bytes for one in row.values()) for kind, row in found.items()}
    largest = set(sorted(found, key=lambda kind: -size[kind])[:limit])
    layers = sorted({layer for kind in largest for layer in found[kind]})
    return [
        LayerRow(kind, tuple(row[at].format if at in row else None for at in layers))
        for kind, row in found.items()
        if kind in largest
    ]


def group_of(name: str) -> str:
    """Return the group of a tensor.

    >>> group_of("blk.0.attn_q.weight"), group_of("blk.0.ffn_up_exps.weight"), group_of("x")
    ('Attention', 'Experts', 'Other tensors')
    """
    group = _GROUP_OF.get(role_of(name), OTHER)
    return EXPERTS if group == FEED_FORWARD and "_exps" in name else group


def by_bits(formats: Iterable[str]) -> list[str]:
    """Return names of formats, the one with the fewest bits per weight first."""
    return sorted(formats, key=lambda name: (find_format(name).bits_per_weight, name))
