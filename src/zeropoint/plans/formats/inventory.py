"""Contents of a model file by format and by kind of tensor, from its header."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from zeropoint.checkpoints import TensorLike
from zeropoint.formats import UNQUANTIZED
from zeropoint.plans.formats.from_formats import recipe_of
from zeropoint.plans.formats.model_facts import CheckpointLike
from zeropoint.results.inventory import FormatShare, ModelOutline

# Of one value of a header that is displayed.
TEXT_SHOWN = 1000  # characters
ITEMS_SHOWN = 100  # elements of an array
RECIPE_SHOWN = 1 << 20  # characters, the maximum of a recipe file

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
    """Return the totals of (label, tensor) pairs by label, the one with most bytes first."""
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
    """Return the kind of a tensor: its name without the layer.

    >>> kind_of("blk.12.attn_v.weight"), kind_of("token_embd.weight"), kind_of("blk.0.attn_q.bias")
    ('attn_v', 'token_embd', 'attn_q.bias')
    """
    return _LAYER.sub("", name).removesuffix(".weight")


def outline(metadata: Mapping[str, object]) -> ModelOutline:
    """Return the dimensions of a model from its GGUF metadata; unknown ones are None."""
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
    """Return a value of a header for display; long texts and arrays are cut, with a note.

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
    """Return a metadata value if it is a string, else None."""
    return value if isinstance(value, str) else None


# Keys about the origin of a file; those that zeropoint writes come first.
ORIGIN = (
    "imatrix.chunk_count",
    "imatrix.chunk_size",
    "imatrix.datasets",
    "zeropoint.planned_chunks",
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
    "general.license.name",
    "general.license.link",
    "general.languages",
    "general.repo_url",
    "general.url",
)


def origin(metadata: Mapping[str, object]) -> dict[str, object]:
    """Return the keys of a file about its origin."""
    return {key: bounded(metadata[key]) for key in ORIGIN if key in metadata}


def is_quantized(tensor: TensorLike) -> bool:
    """Return whether a tensor is in a quantized format."""
    return tensor.format.name not in UNQUANTIZED


def recipe_in(source: CheckpointLike) -> tuple[str | None, str]:
    """Return the recipe of a quantized file, and whether the file has it or it was derived."""
    stored = text(source.metadata.get("zeropoint.recipe"))
    if stored:
        return stored.rstrip("\n"), "written by zeropoint"
    if not any(is_quantized(tensor) for tensor in source.tensors.values()):
        return None, ""
    architecture = text(source.metadata.get("general.architecture")) or ""
    return str(recipe_of(source.tensors.values(), architecture)).rstrip("\n"), "read off the file"


def imatrix(metadata: Mapping[str, object]) -> dict[str, object]:
    """Return the keys of a file about its importance matrix, without their prefix."""
    start = "quantize.imatrix."
    return {
        key.removeprefix(start): bounded(value)
        for key, value in metadata.items()
        if key.startswith(start)
    }
