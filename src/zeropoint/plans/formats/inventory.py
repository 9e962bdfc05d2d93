"""What a model file is made of, by format and by kind of tensor. No weight is read."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from zeropoint.checkpoints import TensorLike
from zeropoint.formats import UNQUANTIZED
from zeropoint.plans.formats.from_formats import recipe_of
from zeropoint.plans.formats.model_facts import CheckpointLike
from zeropoint.results.inventory import FormatShare, ModelOutline

TEXT_SHOWN = 1000  # characters of one value of a header that are displayed
ITEMS_SHOWN = 100  # of an array in a header
RECIPE_SHOWN = 1 << 20  # characters: as many as a recipe file may have

_LAYER = re.compile(r"^(?:blk|enc\.blk|dec\.blk|v\.blk)\.\d+\.", re.ASCII)


class SizedTensor(Protocol):
    """A tensor with a size: a TensorInfo or a Choice."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def elements(self) -> int: ...
    @property
    def nbytes(self) -> int: ...


def shares(pairs: Iterable[tuple[str, SizedTensor]]) -> list[FormatShare]:
    """Add up (label, tensor) pairs by label, the largest first."""
    groups: dict[str, list[SizedTensor]] = {}
    for label, tensor in pairs:
        groups.setdefault(label, []).append(tensor)
    shares = [_share(label, group) for label, group in groups.items()]
    return sorted(shares, key=lambda share: (-share.nbytes, share.label))


def _share(label: str, group: Sequence[SizedTensor]) -> FormatShare:
    elements = sum(tensor.elements for tensor in group)
    nbytes = sum(tensor.nbytes for tensor in group)
    bits = 8 * nbytes / elements if elements else 0.0
    return FormatShare(label, len(group), elements, nbytes, bits)


def kind_of(name: str) -> str:
    """Return what a tensor is, whatever its layer.

    >>> kind_of("blk.12.attn_v.weight"), kind_of("token_embd.weight"), kind_of("blk.0.attn_q.bias")
    ('attn_v', 'token_embd', 'attn_q.bias')
    """
    return _LAYER.sub("", name).removesuffix(".weight")


def outline(metadata: Mapping[str, object]) -> ModelOutline:
    """Read a model's figures from its GGUF metadata."""
    architecture = text(metadata.get("general.architecture"))

    def number(key: str) -> int | None:
        value = metadata.get(f"{architecture}.{key}")
        if isinstance(value, np.ndarray):
            same = len(set(value.tolist())) == 1  # one per layer, and they may differ
            value = value.tolist()[0] if same else None
        return int(value) if isinstance(value, int) else None

    tokens = metadata.get("tokenizer.ggml.tokens")
    return ModelOutline(
        name=bounded(text(metadata.get("general.name"))),
        architecture=bounded(architecture),
        layers=number("block_count"),
        width=number("embedding_length"),
        heads=number("attention.head_count"),
        key_value_heads=number("attention.head_count_kv"),
        context=number("context_length"),
        vocabulary=len(tokens) if isinstance(tokens, Sequence) else None,
        experts=number("expert_count"),
        experts_used=number("expert_used_count"),
    )


def bounded(value: Any) -> Any:
    """Return a value of a header as it is displayed: long texts and arrays are cut, and say so.

    A header may hold a text of 16 MiB under any key.

    >>> len(bounded("a" * 5000)), bounded("a")
    (1036, 'a')
    """
    if isinstance(value, str):
        left_out = len(value) - TEXT_SHOWN
        if left_out <= 0:
            return value
        half = TEXT_SHOWN // 2
        return f"{value[:half]} … ({left_out} characters are left out) … {value[-half:]}"
    if isinstance(value, np.ndarray | Sequence):
        shown = [bounded(item) for item in value[:ITEMS_SHOWN]]
        left_out = len(value) - len(shown)
        return [*shown, f"… ({left_out} more)"] if left_out > 0 else shown
    return value


def text(value: object) -> str | None:
    """Return a metadata value if it is text."""
    return value if isinstance(value, str) else None


# What a file says of its origin; the keys of zeropoint's own outputs come first.
ORIGIN = (
    "zeropoint.source.file",
    "zeropoint.source.sha256",
    "zeropoint.version",
    "general.source.url",
    "general.source.repo_url",
    "general.source.huggingface.repository",
    "general.base_model.0.name",
    "general.base_model.0.repo_url",
    "general.quantized_by",
    "general.license",
)


def origin(metadata: Mapping[str, object]) -> dict[str, object]:
    """Return what a file says of where it comes from."""
    return {key: bounded(metadata[key]) for key in ORIGIN if key in metadata}


def is_quantized(tensor: TensorLike) -> bool:
    """Tell whether a tensor is in a format that has already lost something."""
    return tensor.format.name not in UNQUANTIZED


def recipe_in(source: CheckpointLike) -> tuple[str | None, str]:
    """Return the recipe of a quantized file and where it is from: told by the file, or rebuilt."""
    told = text(source.metadata.get("zeropoint.recipe"))
    if told:
        return told.rstrip("\n"), "written by zeropoint"
    if not any(is_quantized(tensor) for tensor in source.tensors.values()):
        return None, ""
    architecture = text(source.metadata.get("general.architecture")) or ""
    return str(recipe_of(source.tensors.values(), architecture)).rstrip("\n"), "read off the file"


def imatrix(metadata: Mapping[str, object]) -> dict[str, object]:
    """Return what a file says of the importance matrix it was made with; empty without one."""
    start = "quantize.imatrix."
    return {
        key.removeprefix(start): bounded(value)
        for key, value in metadata.items()
        if key.startswith(start)
    }
